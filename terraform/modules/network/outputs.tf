output "network" {
  description = "The network's id. Whoever gets it gets it with the peering."
  value       = google_compute_network.this.id

  depends_on = [google_service_networking_connection.services]
}

output "subnetwork" {
  description = "The functions' subnet."
  value       = google_compute_subnetwork.functions.id

  depends_on = [google_compute_firewall.ledger]
}
