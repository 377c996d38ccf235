# What is promised, and how fast the promise is used up. Burn rates after the SRE workbook: fast, for somebody at once; slow, for
# somebody today.

resource "google_monitoring_custom_service" "this" {
  project      = var.project
  service_id   = var.prefix
  display_name = "Pipas"
}

# Events are taken.
resource "google_monitoring_slo" "availability" {
  project             = var.project
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "${var.prefix}-availability"
  display_name        = "${var.objectives.availability * 100} % of requests are not answered with 5xx"
  goal                = var.objectives.availability
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      total_service_filter = "metric.type=\"run.googleapis.com/request_count\" resource.type=\"cloud_run_revision\" resource.label.\"service_name\"=\"${var.services.receiver}\""
      bad_service_filter   = "metric.type=\"run.googleapis.com/request_count\" resource.type=\"cloud_run_revision\" resource.label.\"service_name\"=\"${var.services.receiver}\" metric.label.\"response_code_class\"=\"5xx\""
    }
  }
}

# They are taken quickly.
resource "google_monitoring_slo" "latency" {
  project             = var.project
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "${var.prefix}-latency"
  display_name        = "${var.objectives.latency * 100} % of requests are answered within ${var.objectives.latency_ms} ms"
  goal                = var.objectives.latency
  rolling_period_days = 28

  request_based_sli {
    distribution_cut {
      distribution_filter = "metric.type=\"run.googleapis.com/request_latencies\" resource.type=\"cloud_run_revision\" resource.label.\"service_name\"=\"${var.services.receiver}\""

      range {
        max = var.objectives.latency_ms
      }
    }
  }
}

# They are rows soon: the minutes in which none of them waits long. Of a metric of Pub/Sub's, because an objective cannot be made of a
# metric that nobody has written yet, as the loaders' own is in a new project; the alert `late` looks at that one. Summed over the
# streams, so that one that stands still is not lost among those that run.
resource "google_monitoring_slo" "freshness" {
  project             = var.project
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "${var.prefix}-freshness"
  display_name        = "In ${var.objectives.freshness * 100} % of minutes no event waits for its row longer than ${var.objectives.backlog_seconds} s"
  goal                = var.objectives.freshness
  rolling_period_days = 28

  windows_based_sli {
    window_period = "60s"

    metric_sum_in_range {
      time_series = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" resource.type=\"pubsub_subscription\" resource.label.\"subscription_id\"=ends_with(\"-loader\")"

      range {
        min = 0
        max = var.objectives.backlog_seconds
      }
    }
  }
}

locals {
  slos = {
    availability = { id = google_monitoring_slo.availability.id, title = "availability" }
    latency      = { id = google_monitoring_slo.latency.id, title = "latency" }
    freshness    = { id = google_monitoring_slo.freshness.id, title = "freshness" }
  }

  burns = {
    fast = { severity = "CRITICAL", window = "3600s", rate = 14.4, says = "In an hour a fiftieth of what 28 days allow is used up." }
    slow = { severity = "WARNING", window = "21600s", rate = 6, says = "In six hours a twentieth of what 28 days allow is used up." }
  }
}

resource "google_monitoring_alert_policy" "burn" {
  for_each = { for pair in setproduct(keys(local.slos), keys(local.burns)) : "${pair[0]}-${pair[1]}" => { slo = local.slos[pair[0]], burn = local.burns[pair[1]] } }

  project               = var.project
  display_name          = "Pipas: the ${each.value.slo.title} objective burns (${each.key})"
  combiner              = "OR"
  severity              = each.value.burn.severity
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "The ${each.value.slo.title} objective burns"

    condition_threshold {
      filter          = "select_slo_burn_rate(\"${each.value.slo.id}\", \"${each.value.burn.window}\")"
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.burn.rate
      duration        = "0s"
    }
  }

  documentation {
    subject   = "Pipas: the ${each.value.slo.title} objective burns"
    content   = "${each.value.burn.says} The dashboard shows since when."
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
