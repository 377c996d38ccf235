output "name" {
  description = "The perimeter's name."
  value       = google_access_context_manager_service_perimeter.this.name
}
