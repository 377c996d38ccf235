# Who may do what with the tables. Jobs belong to the project; everything else is granted on datasets and tables.

resource "google_bigquery_dataset_iam_member" "loader" {
  for_each = var.datasets

  project    = var.project
  dataset_id = google_bigquery_dataset.this[each.key].dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = var.loader
}

# Not the datasets of the events: it writes dead letters and nothing else.
resource "google_bigquery_table_iam_member" "deadletter" {
  project    = var.project
  dataset_id = google_bigquery_table.this[local.dead_letters].dataset_id
  table_id   = google_bigquery_table.this[local.dead_letters].table_id
  role       = "roles/bigquery.dataEditor"
  member     = var.deadletter
}

resource "google_bigquery_dataset_iam_member" "reader" {
  for_each = { for pair in setproduct(var.datasets, keys(var.readers)) : "${pair[0]}/${pair[1]}" => pair }

  project    = var.project
  dataset_id = google_bigquery_dataset.this[each.value[0]].dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = var.readers[each.value[1]]
}

resource "google_project_iam_member" "jobs" {
  for_each = merge({ loader = var.loader, deadletter = var.deadletter }, var.readers)

  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = each.value
}
