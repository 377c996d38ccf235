output "address" {
  description = "What the domain's A record points at."
  value       = google_compute_global_address.this.address
}

output "dns_record" {
  description = "The record by which Google sees that the domain is yours: set it first."
  value       = google_certificate_manager_dns_authorization.this.dns_resource_record
}
