output "name" {
  description = "The service's name."
  value       = google_cloud_run_v2_service.this.name
}

output "uri" {
  description = "The service's address."
  value       = google_cloud_run_v2_service.this.uri
}

output "revision" {
  description = "The latest revision that is ready: what to go back to later."
  value       = google_cloud_run_v2_service.this.latest_ready_revision
}
