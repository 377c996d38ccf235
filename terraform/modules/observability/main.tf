# Who is told when something is wrong. Every alert says what it means and what to do; docs/metrics.md has the metrics.

resource "google_monitoring_notification_channel" "email" {
  for_each = var.emails

  project      = var.project
  display_name = "Pipas: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
}

locals {
  channels = concat([for channel in google_monitoring_notification_channel.email : channel.id], var.channels)
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  project               = var.project
  display_name          = "Pipas: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      query               = trimspace(each.value.query)
      duration            = each.value.duration
      evaluation_interval = "60s"

      # A metric of a function that has never run is not there yet.
      disable_metric_validation = true
    }
  }

  documentation {
    subject   = "Pipas: ${each.value.title}"
    content   = trimspace(each.value.meaning)
    mime_type = "text/markdown"
  }

  alert_strategy {
    auto_close = "86400s"
  }
}

# A trigger of Cloud Scheduler that failed leaves a line in the log and no metric.
resource "google_logging_metric" "failed_triggers" {
  project     = var.project
  name        = "${var.prefix}/failed_triggers"
  description = "Triggers of Cloud Scheduler that failed, by job"
  filter      = "resource.type=\"cloud_scheduler_job\" AND severity>=ERROR AND resource.labels.job_id:\"${var.prefix}-\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key        = "job"
      value_type = "STRING"
    }
  }

  label_extractors = { job = "EXTRACT(resource.labels.job_id)" }
}

# What a function logs as an error is for people: it logs a failure once, where it is handled.
resource "google_logging_metric" "errors" {
  project     = var.project
  name        = "${var.prefix}/errors"
  description = "Errors that functions have logged, by service"
  filter      = "resource.type=\"cloud_run_revision\" AND severity>=ERROR AND resource.labels.service_name:\"${var.prefix}-\" AND jsonPayload.message:*"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key        = "service"
      value_type = "STRING"
    }
  }

  label_extractors = { service = "EXTRACT(resource.labels.service_name)" }
}
