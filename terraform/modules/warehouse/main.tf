# The warehouse: the datasets, tables and views that the catalog declares.
#
# No table asks for a partition filter: the janitor and the audit look rows up by their write stream and by their event.

resource "google_bigquery_dataset" "this" {
  for_each = var.datasets

  project                    = var.project
  dataset_id                 = each.key
  location                   = var.location
  description                = each.key == local.own_dataset ? "Pipas's own: dead letters, and the archive as tables" : "Made from pipas.yaml"
  labels                     = var.labels
  max_time_travel_hours      = var.max_time_travel_hours
  storage_billing_model      = var.storage_billing_model
  delete_contents_on_destroy = !var.deletion_protection

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      kms_key_name = default_encryption_configuration.value
    }
  }
}

resource "google_bigquery_table" "this" {
  for_each = var.tables

  project             = var.project
  dataset_id          = google_bigquery_dataset.this[each.value.dataset].dataset_id
  table_id            = each.value.table
  schema              = each.value.schema
  clustering          = length(each.value.cluster) > 0 ? each.value.cluster : null
  deletion_protection = var.deletion_protection
  labels              = each.value.stream == null ? var.labels : merge(var.labels, { stream = substr(each.value.stream, 0, 63) })

  dynamic "time_partitioning" {
    for_each = each.value.partition == null ? [] : [each.value.partition]

    content {
      type  = time_partitioning.value.type
      field = time_partitioning.value.field
    }
  }

  dynamic "table_constraints" {
    for_each = length(each.value.primary_key) > 0 ? [each.value.primary_key] : []

    content {
      primary_key {
        columns = table_constraints.value
      }
    }
  }

  dynamic "encryption_configuration" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      kms_key_name = encryption_configuration.value
    }
  }
}

resource "google_bigquery_table" "unique_view" {
  for_each = { for name, view in var.views : name => view if view.is_unique }

  project             = var.project
  dataset_id          = google_bigquery_dataset.this[each.value.dataset].dataset_id
  table_id            = each.value.view
  deletion_protection = false
  labels              = var.labels

  view {
    query          = each.value.query
    use_legacy_sql = false
  }

  # `SELECT *` is read when the view is made: a new column shows in it only once it is made again.
  lifecycle {
    replace_triggered_by = [terraform_data.columns[each.key]]
  }

  depends_on = [google_bigquery_table.this]
}

resource "terraform_data" "columns" {
  for_each = toset([for name, view in var.views : name if view.is_unique])

  input = [for column in jsondecode(var.tables[trimsuffix(each.key, "_unique")].schema) : column.name]
}

resource "google_bigquery_table" "view" {
  for_each = { for name, view in var.views : name => view if !view.is_unique }

  project             = var.project
  dataset_id          = google_bigquery_dataset.this[each.value.dataset].dataset_id
  table_id            = each.value.view
  deletion_protection = false
  labels              = var.labels

  view {
    query          = each.value.query
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.this, google_bigquery_table.unique_view]
}

locals {
  own_dataset = "pipas_ops"
  redrives    = "pipas_ops.redrives"
}
