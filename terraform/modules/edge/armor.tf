# Who is let through to the receiver. None of Cloud Armor's own rules is here: they look into the first kilobytes of a body, and an
# event may hold anything, an attack's text too; it is only ever stored, and an event that is refused is an event that is lost.

resource "google_compute_security_policy" "this" {
  project     = var.project
  name        = var.name
  description = "Before Pipas's receiver"

  adaptive_protection_config {
    layer_7_ddos_defense_config {
      enable = true
    }
  }

  dynamic "rule" {
    for_each = length(var.blocked_ranges) > 0 ? [var.blocked_ranges] : []

    content {
      action      = "deny(403)"
      priority    = 100
      description = "Ranges that are kept out"

      match {
        versioned_expr = "SRC_IPS_V1"

        config {
          src_ip_ranges = rule.value
        }
      }
    }
  }

  # The ways of producers. Metrics and health are the operator's.
  rule {
    action      = "deny(404)"
    priority    = 200
    description = "Anything but the producers' ways"

    match {
      expr {
        expression = "!request.path.startsWith('/v1/') && request.path != '/openapi.json'"
      }
    }
  }

  rule {
    action      = "throttle"
    priority    = 1000
    description = "At most ${var.requests_per_minute} requests a minute from one address"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.requests_per_minute
        interval_sec = 60
      }
    }
  }

  # Cloud Armor wants a last rule; none comes this far.
  rule {
    action      = "deny(403)"
    priority    = 2147483647
    description = "Everything else"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}
