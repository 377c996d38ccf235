output "tables" {
  description = "The tables' ids."
  value       = { for name, table in google_bigquery_table.this : name => table.id }
}

output "views" {
  description = "The views' ids."
  value       = { for name, view in merge(google_bigquery_table.unique_view, google_bigquery_table.view) : name => view.id }
}

output "archive_tables" {
  description = "The archive's tables, by stream."
  value       = { for name, table in google_bigquery_table.archive : name => table.id }
}
