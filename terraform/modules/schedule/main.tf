# What runs by the clock: Cloud Scheduler's triggers, each with a token of the account that may call that one function, and
# the queue by which the poller spreads its fetches.

resource "google_cloud_scheduler_job" "this" {
  for_each = var.triggers

  project          = var.project
  region           = var.region
  name             = "${var.prefix}-${each.key}"
  description      = each.value.description
  schedule         = each.value.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "${each.value.deadline_seconds}s"
  paused           = var.paused || each.value.paused

  http_target {
    http_method = "POST"
    uri         = each.value.uri

    oidc_token {
      service_account_email = each.value.caller
      audience              = each.value.audience
    }
  }

  # Whatever is triggered here may be triggered twice.
  retry_config {
    retry_count          = each.value.retries
    min_backoff_duration = "5s"
    max_backoff_duration = "60s"
    max_doublings        = 4
  }
}

resource "google_cloud_tasks_queue" "this" {
  for_each = var.queues

  project  = var.project
  location = var.region
  name     = "${var.prefix}-${each.key}"

  rate_limits {
    max_dispatches_per_second = each.value.per_second
    max_concurrent_dispatches = each.value.at_once
  }

  # What fails for longer is the poller's to judge: it fetches a feed that fails less often.
  retry_config {
    max_attempts       = each.value.attempts
    max_retry_duration = "${each.value.retry_seconds}s"
    min_backoff        = "1s"
    max_backoff        = "5s"
    max_doublings      = 3
  }

  stackdriver_logging_config {
    sampling_ratio = 0.1
  }
}

resource "google_cloud_tasks_queue_iam_member" "enqueuer" {
  for_each = { for name, queue in var.queues : name => queue.enqueuer }

  project  = var.project
  location = google_cloud_tasks_queue.this[each.key].location
  name     = google_cloud_tasks_queue.this[each.key].name
  role     = "roles/cloudtasks.enqueuer"
  member   = each.value
}

# Who makes a task with a token must be allowed to act as the token's account.
resource "google_service_account_iam_member" "enqueuer" {
  for_each = var.queues

  service_account_id = each.value.caller_id
  role               = "roles/iam.serviceAccountUser"
  member             = each.value.enqueuer
}
