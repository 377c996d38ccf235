# Who may do what with the tables. Jobs belong to the project; everything else is granted on datasets and tables.

# To finalise another's write stream, and to count its rows, a writer needs every table that events may have gone to.
resource "google_bigquery_dataset_iam_member" "writer" {
  for_each = { for pair in setproduct(var.datasets, keys(var.writers)) : "${pair[0]}/${pair[1]}" => pair }

  project    = var.project
  dataset_id = google_bigquery_dataset.this[each.value[0]].dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = var.writers[each.value[1]]
}

# What was published again is written down.
resource "google_bigquery_table_iam_member" "redriver" {
  for_each = contains(keys(var.tables), local.redrives) ? var.redrivers : {}

  project    = var.project
  dataset_id = google_bigquery_table.this[local.redrives].dataset_id
  table_id   = google_bigquery_table.this[local.redrives].table_id
  role       = "roles/bigquery.dataEditor"
  member     = each.value
}

resource "google_bigquery_dataset_iam_member" "reader" {
  for_each = { for pair in setproduct(var.datasets, keys(var.readers)) : "${pair[0]}/${pair[1]}" => pair }

  project    = var.project
  dataset_id = google_bigquery_dataset.this[each.value[0]].dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = var.readers[each.value[1]]
}

resource "google_project_iam_member" "jobs" {
  for_each = merge(var.writers, var.readers)

  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = each.value
}
