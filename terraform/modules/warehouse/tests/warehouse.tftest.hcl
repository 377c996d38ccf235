mock_provider "google" {}

variables {
  project        = "my-project"
  location       = "europe-west1"
  datasets       = ["transit", "pipas_ops"]
  streams        = ["trip-updates"]
  archive_bucket = "archive"
  writers        = { loader = "serviceAccount:loader@example", deadletter = "serviceAccount:deadletter@example" }
  readers        = { analysts = "group:analysts@example.com" }

  tables = {
    "transit.trips" = {
      stream      = "trip-updates"
      dataset     = "transit"
      table       = "trips"
      schema      = "[{\"name\":\"trip_id\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"},{\"name\":\"at\",\"type\":\"TIMESTAMP\"}]"
      partition   = { field = "at", type = "DAY" }
      cluster     = ["trip_id"]
      primary_key = ["trip_id"]
    }
    "pipas_ops.dead_letters" = {
      stream      = null
      dataset     = "pipas_ops"
      table       = "dead_letters"
      schema      = "[{\"name\":\"rejected_at\",\"type\":\"TIMESTAMP\",\"mode\":\"REQUIRED\"}]"
      partition   = { field = "rejected_at", type = "DAY" }
      cluster     = []
      primary_key = []
    }
  }

  views = {
    "transit.trips_unique" = { dataset = "transit", view = "trips_unique", query = "SELECT 1", is_unique = true }
    "transit.late"         = { dataset = "transit", view = "late", query = "SELECT 2", is_unique = false }
  }
}

run "tables_are_as_the_catalog_says" {
  command = plan

  assert {
    condition     = toset([for table in google_bigquery_table.this : "${table.dataset_id}.${table.table_id}"]) == toset(keys(var.tables))
    error_message = "The tables are the catalog's."
  }

  assert {
    condition     = google_bigquery_table.this["transit.trips"].schema == var.tables["transit.trips"].schema
    error_message = "The schema goes through as it is."
  }

  assert {
    condition     = google_bigquery_table.this["transit.trips"].time_partitioning[0].field == "at" && google_bigquery_table.this["transit.trips"].clustering == tolist(["trip_id"])
    error_message = "Partition and clustering are the catalog's."
  }

  assert {
    condition     = google_bigquery_table.this["transit.trips"].table_constraints[0].primary_key[0].columns == tolist(["trip_id"]) && length(google_bigquery_table.this["pipas_ops.dead_letters"].table_constraints) == 0
    error_message = "Only a table of upserts has a primary key."
  }

  assert {
    condition     = alltrue([for table in google_bigquery_table.this : table.deletion_protection])
    error_message = "No table with data can be deleted."
  }
}

run "views_and_the_archive_as_tables" {
  command = plan

  assert {
    condition     = google_bigquery_table.unique_view["transit.trips_unique"].view[0].query == "SELECT 1" && google_bigquery_table.view["transit.late"].view[0].query == "SELECT 2"
    error_message = "The views are the catalog's."
  }

  assert {
    condition     = google_bigquery_table.archive["trip-updates"].table_id == "archive_trip_updates" && google_bigquery_table.archive["trip-updates"].external_data_configuration[0].source_uris == tolist(["gs://archive/trip-updates/dt=*"])
    error_message = "The manifest is not part of the archive's table."
  }

  assert {
    condition     = google_storage_bucket_object.form["trip-updates"].name == "trip-updates/dt=1970-01-01/hr=00/empty.avro"
    error_message = "There is always a file that tells the columns."
  }
}

run "nobody_else_is_granted_anything" {
  command = plan

  assert {
    condition     = toset([for grant in google_bigquery_dataset_iam_member.writer : grant.member]) == toset(values(var.writers))
    error_message = "Only writers write."
  }

  assert {
    condition     = toset([for grant in google_bigquery_dataset_iam_member.reader : "${grant.dataset_id} ${grant.role} ${grant.member}"]) == toset([for dataset in var.datasets : "${dataset} roles/bigquery.dataViewer group:analysts@example.com"])
    error_message = "Readers only read."
  }

  assert {
    condition     = toset([for grant in google_project_iam_member.jobs : grant.role]) == toset(["roles/bigquery.jobUser"])
    error_message = "In the project only jobs are granted."
  }
}
