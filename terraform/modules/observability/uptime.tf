# Whether the receiver answers from outside. Every five minutes; it keeps an instance warm for as long.

resource "google_monitoring_uptime_check_config" "receiver" {
  count = var.uptime_host == null ? 0 : 1

  project      = var.project
  display_name = "Pipas: the receiver"
  timeout      = "10s"
  period       = "300s"

  # Cloud Run keeps paths that end in z for itself.
  http_check {
    path         = "/v1/streams"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    dynamic "service_agent_authentication" {
      for_each = var.uptime_with_token ? [true] : []

      content {
        type = "OIDC_TOKEN"
      }
    }
  }

  monitored_resource {
    type = "uptime_url"

    labels = {
      project_id = var.project
      host       = var.uptime_host
    }
  }
}

resource "google_monitoring_alert_policy" "uptime" {
  count = var.uptime_host == null ? 0 : 1

  project               = var.project
  display_name          = "Pipas: the receiver does not answer"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "The receiver does not answer"

    condition_threshold {
      filter          = "metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND resource.type=\"uptime_url\" AND metric.label.\"check_id\"=\"${google_monitoring_uptime_check_config.receiver[0].uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "600s"

      aggregations {
        alignment_period     = "600s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  conditions {
    display_name = "The certificate ends within two weeks"

    condition_threshold {
      filter          = "metric.type=\"monitoring.googleapis.com/uptime_check/time_until_ssl_cert_expires\" AND resource.type=\"uptime_url\" AND metric.label.\"check_id\"=\"${google_monitoring_uptime_check_config.receiver[0].uptime_check_id}\""
      comparison      = "COMPARISON_LT"
      threshold_value = 14
      duration        = "600s"

      aggregations {
        alignment_period     = "1200s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_MEAN"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    subject   = "Pipas: the receiver does not answer"
    content   = "From more than one place in the world the receiver does not answer, or its certificate is about to end. Look at the Cloud Run service, then at the load balancer and DNS."
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}
