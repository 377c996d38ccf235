# A stream: its topic, the push subscription that feeds the loader, the pull subscription that feeds the compactor, and the
# topic of the messages whose deliveries are used up, with a subscription of its own: without one they would be lost.

resource "google_pubsub_topic" "events" {
  project                    = var.project
  name                       = var.stream.topic
  labels                     = local.labels
  kms_key_name               = var.kms_key
  message_retention_duration = var.settings.topic_retention

  dynamic "message_storage_policy" {
    for_each = length(var.regions) > 0 ? [var.regions] : []

    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }
}

resource "google_pubsub_topic" "dead_letter" {
  project      = var.project
  name         = var.stream.dead_letter_topic
  labels       = local.labels
  kms_key_name = var.kms_key

  dynamic "message_storage_policy" {
    for_each = length(var.regions) > 0 ? [var.regions] : []

    content {
      allowed_persistence_regions = message_storage_policy.value
    }
  }
}

resource "google_pubsub_subscription" "loader" {
  project                    = var.project
  name                       = var.stream.loader_subscription
  topic                      = google_pubsub_topic.events.id
  labels                     = local.labels
  ack_deadline_seconds       = var.settings.ack_deadline_seconds
  message_retention_duration = var.settings.retention
  enable_message_ordering    = var.stream.is_ordered

  push_config {
    push_endpoint = "${var.loader.uri}/push/${var.name}"

    # The audience is checked twice: by Cloud Run, and by the loader itself.
    oidc_token {
      service_account_email = var.loader.caller
      audience              = var.loader.audience
    }
  }

  # With 100 attempts and pauses that grow to ten minutes, an outage of 15 hours makes no dead letter.
  retry_policy {
    minimum_backoff = var.settings.minimum_backoff
    maximum_backoff = var.settings.maximum_backoff
  }

  # Deliveries that are held or refused for a while use attempts up, so there are as many as Pub/Sub allows by default.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letter.id
    max_delivery_attempts = var.stream.max_delivery_attempts
  }

  expiration_policy {
    ttl = ""
  }

  # The first failed delivery may need these already.
  depends_on = [google_pubsub_topic_iam_member.forwarder]
}

resource "google_pubsub_subscription" "archive" {
  project                    = var.project
  name                       = var.stream.archive_subscription
  topic                      = google_pubsub_topic.events.id
  labels                     = local.labels
  ack_deadline_seconds       = 60
  message_retention_duration = var.settings.archive_retention

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription" "dead_letter" {
  project                    = var.project
  name                       = var.stream.dead_letter_subscription
  topic                      = google_pubsub_topic.dead_letter.id
  labels                     = local.labels
  ack_deadline_seconds       = var.settings.ack_deadline_seconds
  message_retention_duration = var.settings.archive_retention

  push_config {
    push_endpoint = "${var.deadletter.uri}/push/${var.name}"

    oidc_token {
      service_account_email = var.deadletter.caller
      audience              = var.deadletter.audience
    }
  }

  # Nothing comes after this one: it is tried until it is taken, without haste.
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = ""
  }
}

# What the catalog declares for programs beside Pipas. Where the stream is ordered, so are they.
resource "google_pubsub_subscription" "further" {
  for_each = var.stream.subscriptions

  project                    = var.project
  name                       = each.value.id
  topic                      = google_pubsub_topic.events.id
  labels                     = local.labels
  ack_deadline_seconds       = each.value.ack_deadline_seconds
  message_retention_duration = "${each.value.retention_seconds}s"
  enable_message_ordering    = var.stream.is_ordered
  filter                     = each.value.filter == "" ? null : each.value.filter

  expiration_policy {
    ttl = ""
  }
}

locals {
  labels = merge(var.labels, { stream = substr(var.name, 0, 63) })
}
