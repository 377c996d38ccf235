# The archive as tables: `SELECT … FROM pipas_ops.archive_courier_chat WHERE dt = '2024-02-01'`. BigQuery takes the columns of
# an Avro table from a file that matches, so each stream's prefix gets one without records, in a partition of its own.

resource "google_storage_bucket_object" "form" {
  for_each = var.archive_tables ? var.streams : []

  bucket       = var.archive_bucket
  name         = "${each.key}/dt=1970-01-01/hr=00/empty.avro"
  source       = "${path.module}/empty.avro"
  content_type = "application/avro"
}

resource "google_bigquery_table" "archive" {
  for_each = var.archive_tables ? var.streams : []

  project             = var.project
  dataset_id          = google_bigquery_dataset.this[local.own_dataset].dataset_id
  table_id            = "archive_${replace(each.key, "-", "_")}"
  description         = "The archive of ${each.key}. An hour that is being merged may show a message twice: count by message_id"
  deletion_protection = false
  labels              = merge(var.labels, { stream = substr(each.key, 0, 63) })

  external_data_configuration {
    source_format = "AVRO"
    source_uris   = ["gs://${var.archive_bucket}/${each.key}/dt=*"]
    autodetect    = true

    avro_options {
      use_avro_logical_types = true
    }

    hive_partitioning_options {
      mode                     = "CUSTOM"
      source_uri_prefix        = "gs://${var.archive_bucket}/${each.key}/{dt:DATE}/{hr:INTEGER}"
      require_partition_filter = true
    }
  }

  lifecycle {
    precondition {
      condition     = contains(var.datasets, local.own_dataset)
      error_message = "The catalog's datasets must hold ${local.own_dataset}."
    }
  }

  depends_on = [google_storage_bucket_object.form]
}
