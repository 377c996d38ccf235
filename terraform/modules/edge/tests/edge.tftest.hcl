mock_provider "google" {}

variables {
  project = "my-project"
  name    = "pipas"
  region  = "europe-west1"
  service = "pipas-receiver"
  domain  = "events.example.com"
}

run "bodies_are_nobodys_business" {
  command = plan

  assert {
    condition     = alltrue([for rule in google_compute_security_policy.this.rule : !strcontains(try(rule.match[0].expr[0].expression, ""), "Waf") && !strcontains(try(rule.match[0].expr[0].expression, ""), "body")])
    error_message = "No rule looks into an event."
  }

  assert {
    condition     = [for rule in google_compute_security_policy.this.rule : rule.rate_limit_options[0].rate_limit_threshold[0].count if rule.action == "throttle"] == [60000]
    error_message = "One address has a rate."
  }

  assert {
    condition     = [for rule in google_compute_security_policy.this.rule : rule.match[0].expr[0].expression if rule.action == "deny(404)"] == ["!request.path.startsWith('/v1/') && request.path != '/openapi.json'"]
    error_message = "Metrics and health are not the world's."
  }
}

run "only_tls_of_today" {
  command = plan

  assert {
    condition     = google_compute_global_forwarding_rule.this.port_range == "443" && google_compute_ssl_policy.this.min_tls_version == "TLS_1_2"
    error_message = "There is no plain HTTP."
  }

  assert {
    condition     = google_compute_region_network_endpoint_group.receiver.cloud_run[0].service == "pipas-receiver"
    error_message = "Behind it is the receiver."
  }
}

run "ranges_are_kept_out" {
  command = plan

  variables {
    blocked_ranges = ["192.0.2.0/24"]
  }

  assert {
    condition     = [for rule in google_compute_security_policy.this.rule : rule.priority if rule.description == "Ranges that are kept out"] == [100]
    error_message = "They are refused before anything else is looked at."
  }
}
