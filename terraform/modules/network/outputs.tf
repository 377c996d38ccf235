output "network" {
  description = "The network's id. Whoever gets it gets it with the peering."
  value       = google_compute_network.this.id

  depends_on = [google_service_networking_connection.services]
}

output "subnetwork" {
  description = "The functions' subnet."
  value       = google_compute_subnetwork.functions.id

  depends_on = [google_compute_firewall.ledger, google_compute_firewall.googleapis, google_compute_route.googleapis, google_dns_record_set.googleapis]
}

output "feeds_tag" {
  description = "The tag of instances that may reach the servers of feeds."
  value       = local.feeds_tag
}
