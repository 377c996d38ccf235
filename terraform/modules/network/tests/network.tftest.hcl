mock_provider "google" {}

variables {
  project = "my-project"
  name    = "pipas"
  region  = "europe-west1"
}

run "instances_speak_to_the_ledger_and_to_nobody_else" {
  command = plan

  assert {
    condition     = google_compute_firewall.ledger.destination_ranges == toset(["10.16.0.0/20"]) && [for deny in google_compute_firewall.nothing_else.deny : deny.protocol] == ["all"] && google_compute_firewall.nothing_else.priority > google_compute_firewall.ledger.priority
    error_message = "Everything but the ledger is refused."
  }

  assert {
    condition     = length(google_dns_managed_zone.googleapis) + length(google_compute_firewall.googleapis) + length(google_compute_router_nat.feeds) == 0
    error_message = "Google's APIs are not reached by this way."
  }

  assert {
    condition     = google_service_networking_connection.services.deletion_policy == "ABANDON"
    error_message = "A destroy does not wait for the peering."
  }
}

run "within_a_perimeter_apis_are_the_perimeters" {
  command = plan

  variables {
    is_closed = true
  }

  assert {
    condition     = toset(google_dns_record_set.googleapis["restricted.googleapis.com."].rrdatas) == toset(["199.36.153.4", "199.36.153.5", "199.36.153.6", "199.36.153.7"]) && google_dns_record_set.googleapis["*.googleapis.com."].rrdatas == tolist(["restricted.googleapis.com."])
    error_message = "Their names lead to the restricted addresses."
  }

  assert {
    condition     = contains(google_compute_firewall.googleapis[0].destination_ranges, "199.36.153.4/30") && [for allowed in google_compute_firewall.googleapis[0].allow : join(",", allowed.ports)] == ["443"]
    error_message = "The firewall lets them through, and TLS alone."
  }

  assert {
    condition     = length(google_compute_router_nat.feeds) == 0 && length(google_compute_firewall.feeds) == 0
    error_message = "Without feeds nothing leads out."
  }
}

run "feeds_are_outside" {
  command = plan

  variables {
    is_closed = true
    has_feeds = true
  }

  assert {
    condition     = length(google_compute_router_nat.feeds) == 1 && google_compute_firewall.feeds[0].target_tags == toset([output.feeds_tag])
    error_message = "The poller alone is let out."
  }
}
