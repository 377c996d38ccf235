output "channels" {
  description = "Everybody who is told."
  value       = local.channels
}

output "dashboard" {
  description = "The dashboard's id."
  value       = google_monitoring_dashboard.this.id
}

output "alerts" {
  description = "The alerts' queries by name, for the test that knows the metrics' catalogue."
  value       = { for name, alert in local.alerts : name => trimspace(alert.query) }
}
