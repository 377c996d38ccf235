# The receiver under a name of your own: a global load balancer with a certificate, and Cloud Armor before it.

resource "google_compute_region_network_endpoint_group" "receiver" {
  project               = var.project
  name                  = "${var.name}-receiver"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = var.service
  }
}

resource "google_compute_backend_service" "receiver" {
  project               = var.project
  name                  = "${var.name}-receiver"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.this.id

  backend {
    group = google_compute_region_network_endpoint_group.receiver.id
  }

  log_config {
    enable      = true
    sample_rate = var.log_sampling
  }
}

resource "google_compute_url_map" "this" {
  project         = var.project
  name            = var.name
  default_service = google_compute_backend_service.receiver.id
}

resource "google_compute_ssl_policy" "this" {
  project         = var.project
  name            = var.name
  profile         = "RESTRICTED"
  min_tls_version = "TLS_1_2"
}

# By a DNS record, so that the certificate is there before the name points here.
resource "google_certificate_manager_dns_authorization" "this" {
  project = var.project
  name    = var.name
  domain  = var.domain
}

resource "google_certificate_manager_certificate" "this" {
  project = var.project
  name    = var.name

  managed {
    domains            = [var.domain]
    dns_authorizations = [google_certificate_manager_dns_authorization.this.id]
  }
}

resource "google_certificate_manager_certificate_map" "this" {
  project = var.project
  name    = var.name
}

resource "google_certificate_manager_certificate_map_entry" "this" {
  project      = var.project
  name         = var.name
  map          = google_certificate_manager_certificate_map.this.name
  hostname     = var.domain
  certificates = [google_certificate_manager_certificate.this.id]
}

resource "google_compute_target_https_proxy" "this" {
  project         = var.project
  name            = var.name
  url_map         = google_compute_url_map.this.id
  certificate_map = "//certificatemanager.googleapis.com/${google_certificate_manager_certificate_map.this.id}"
  ssl_policy      = google_compute_ssl_policy.this.id
}

resource "google_compute_global_address" "this" {
  project = var.project
  name    = var.name
}

resource "google_compute_global_forwarding_rule" "this" {
  project               = var.project
  name                  = var.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.this.id
  labels                = var.labels

  # Without its entry the certificate map serves no certificate.
  depends_on = [google_certificate_manager_certificate_map_entry.this]
}
