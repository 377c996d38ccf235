# A network for functions inside a perimeter of VPC Service Controls: everything that they send goes through it, to Google's APIs by the
# addresses that answer for the perimeter, and to nobody else; but for the poller, which fetches feeds from their servers.

locals {
  # https://cloud.google.com/vpc/docs/configure-private-google-access: the same everywhere.
  restricted_range = "199.36.153.4/30"
  private_range    = "199.36.153.8/30"
  feeds_tag        = "${var.name}-feeds"

  dns_records = var.is_closed ? {
    "restricted.googleapis.com." = { type = "A", values = [for at in range(4) : cidrhost(local.restricted_range, at)] }
    "private.googleapis.com."    = { type = "A", values = [for at in range(4) : cidrhost(local.private_range, at)] }
    "*.googleapis.com."          = { type = "CNAME", values = ["restricted.googleapis.com."] }

    # The keys of push tokens are read here, and no service of the perimeter's has them.
    "www.googleapis.com." = { type = "CNAME", values = ["private.googleapis.com."] }
  } : {}
}

resource "google_dns_managed_zone" "googleapis" {
  count = var.is_closed ? 1 : 0

  project     = var.project
  name        = "${var.name}-googleapis"
  dns_name    = "googleapis.com."
  description = "Google's APIs as the perimeter knows them"
  visibility  = "private"

  private_visibility_config {
    networks {
      network_url = google_compute_network.this.id
    }
  }
}

resource "google_dns_record_set" "googleapis" {
  for_each = local.dns_records

  project      = var.project
  managed_zone = google_dns_managed_zone.googleapis[0].name
  name         = each.key
  type         = each.value.type
  ttl          = 300
  rrdatas      = each.value.values
}

resource "google_compute_route" "googleapis" {
  for_each = var.is_closed ? { restricted = local.restricted_range, private = local.private_range } : {}

  project          = var.project
  name             = "${var.name}-googleapis-${each.key}"
  network          = google_compute_network.this.id
  description      = "Google's APIs"
  dest_range       = each.value
  next_hop_gateway = "default-internet-gateway"
}

resource "google_compute_firewall" "googleapis" {
  count = var.is_closed ? 1 : 0

  project            = var.project
  name               = "${var.name}-allow-googleapis"
  network            = google_compute_network.this.id
  description        = "Functions to Google's APIs"
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = [local.restricted_range, local.private_range]

  allow {
    protocol = "tcp"
    ports    = ["443"]
  }
}

resource "google_compute_firewall" "feeds" {
  count = var.is_closed && var.has_feeds ? 1 : 0

  project            = var.project
  name               = "${var.name}-allow-feeds"
  network            = google_compute_network.this.id
  description        = "The poller to feeds"
  direction          = "EGRESS"
  priority           = 2000
  destination_ranges = ["0.0.0.0/0"]
  target_tags        = [local.feeds_tag]

  allow {
    protocol = "tcp"
    ports    = ["80", "443"]
  }
}

resource "google_compute_router" "feeds" {
  count = var.is_closed && var.has_feeds ? 1 : 0

  project = var.project
  name    = "${var.name}-feeds"
  region  = var.region
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "feeds" {
  count = var.is_closed && var.has_feeds ? 1 : 0

  project                            = var.project
  name                               = "${var.name}-feeds"
  region                             = var.region
  router                             = google_compute_router.feeds[0].name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}
