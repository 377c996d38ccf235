output "bucket" {
  description = "The archive's bucket."
  value       = google_storage_bucket.archive.name
}

output "replica_bucket" {
  description = "The copy's bucket; null: there is none."
  value       = one(google_storage_bucket.replica[*].name)
}
