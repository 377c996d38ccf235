mock_provider "google" {}

variables {
  project       = "my-project"
  prefix        = "pipas"
  emails        = ["on-call@example.com"]
  services      = { receiver = "pipas-receiver", loader = "pipas-loader" }
  max_instances = { pipas-receiver = 20, pipas-loader = 10 }
  quotas        = { share = 0.8 }
}

run "every_alert_says_what_to_do" {
  command = plan

  assert {
    condition     = alltrue([for alert in google_monitoring_alert_policy.this : length(alert.documentation[0].content) > 40 && contains(["CRITICAL", "ERROR", "WARNING"], alert.severity)])
    error_message = "An alert has a meaning and a severity."
  }

  assert {
    condition = length(setsubtract([
      "backlog", "late", "pushes", "dead_letters", "used_up", "ledger_memory", "ledger_evicts", "ledger_away", "ledger_connections", "ledger_role", "undelivered", "ledger_failover", "degraded", "appends", "braked", "connections", "write_streams", "throughput", "quota", "archive", "mismatch", "edge_errors",
    ], keys(output.alerts))) == 0
    error_message = "What must be told is told."
  }

  assert {
    condition     = toset(keys(google_monitoring_alert_policy.burn)) == toset(["availability-fast", "availability-slow", "latency-fast", "latency-slow", "freshness-fast", "freshness-slow"])
    error_message = "Each objective has a fast and a slow alarm."
  }

  assert {
    condition     = !contains(keys(output.alerts), "audit") && length(google_monitoring_uptime_check_config.receiver) == 0
    error_message = "What does not run is not watched."
  }
}

# The API refuses an objective of a metric that it has not seen yet: "unknown metric".
run "no_objective_waits_for_a_first_event" {
  command = plan

  assert {
    condition = !strcontains(join(" ", [
      google_monitoring_slo.availability.request_based_sli[0].good_total_ratio[0].total_service_filter,
      google_monitoring_slo.latency.request_based_sli[0].distribution_cut[0].distribution_filter,
      google_monitoring_slo.freshness.windows_based_sli[0].metric_sum_in_range[0].time_series,
    ]), "prometheus.googleapis.com")
    error_message = "Objectives are made of Google's own metrics."
  }

  assert {
    condition     = google_monitoring_slo.freshness.windows_based_sli[0].metric_sum_in_range[0].range[0].max == 60
    error_message = "The freshness objective is about the oldest event that waits."
  }
}

run "with_audits_and_a_look_from_outside" {
  command = plan

  variables {
    audit_jobs  = "pipas-audit-.+"
    uptime_host = "events.example.com"
  }

  assert {
    condition     = strcontains(output.alerts["audit"], "pipas-audit-.+") && google_monitoring_uptime_check_config.receiver[0].http_check[0].path == "/v1/streams"
    error_message = "An audit that does not close is told, and so is a receiver that does not answer."
  }
}

run "the_dashboard_begins_with_freshness" {
  command = plan

  assert {
    condition     = strcontains(jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles[0].widget.xyChart.dataSets[0].timeSeriesQuery.prometheusQuery, "pipas_loader_freshness_seconds_bucket")
    error_message = "The data's freshness comes first."
  }
}
