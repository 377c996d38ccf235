# The network of those functions that use the ledger: one subnet for their instances, and the peering over which they reach
# Memorystore. Only what goes to private addresses takes this way; Google's APIs are reached from Cloud Run directly, unless the
# network is closed.

resource "google_compute_network" "this" {
  project                 = var.project
  name                    = var.name
  auto_create_subnetworks = false
  routing_mode            = "REGIONAL"
}

# Cloud Run takes two addresses for an instance, and some for those that are ending, in blocks of sixteen.
resource "google_compute_subnetwork" "functions" {
  project                  = var.project
  name                     = "${var.name}-functions"
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = var.functions_range
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = var.flow_sampling
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# The addresses that Google's services take in the network.
resource "google_compute_global_address" "services" {
  project       = var.project
  name          = "${var.name}-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  network       = google_compute_network.this.id
  address       = split("/", var.services_range)[0]
  prefix_length = tonumber(split("/", var.services_range)[1])
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.this.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]

  # Google lets the peering go some time after the last instance. It goes with the network; a destroy does not wait for it.
  deletion_policy = "ABANDON"
}

# In this network instances speak to the ledger and to nobody else.
resource "google_compute_firewall" "ledger" {
  project            = var.project
  name               = "${var.name}-allow-ledger"
  network            = google_compute_network.this.id
  description        = "Functions to Memorystore"
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = [var.services_range]

  allow {
    protocol = "tcp"
    ports    = ["6378", "6379"]
  }
}

resource "google_compute_firewall" "nothing_else" {
  project            = var.project
  name               = "${var.name}-deny-egress"
  network            = google_compute_network.this.id
  description        = "Functions to anybody else"
  direction          = "EGRESS"
  priority           = 65000
  destination_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}
