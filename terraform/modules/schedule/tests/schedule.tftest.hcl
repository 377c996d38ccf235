mock_provider "google" {}

variables {
  project = "my-project"
  region  = "europe-west1"
  prefix  = "pipas"

  triggers = {
    janitor = {
      description = "Looks after the write streams"
      schedule    = "*/10 * * * *"
      uri         = "https://loader.example/janitor"
      caller      = "call-loader@example"
      audience    = "pipas-loader"
    }
  }
}

run "triggers_show_a_token" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.this["janitor"].http_target[0].oidc_token[0].audience == "pipas-loader" && google_cloud_scheduler_job.this["janitor"].time_zone == "Etc/UTC"
    error_message = "A trigger is for one function, in UTC."
  }

  assert {
    condition     = length(google_cloud_tasks_queue.this) == 0
    error_message = "There is no queue unless something needs it."
  }
}

run "a_trigger_may_wait_while_others_run" {
  command = plan

  variables {
    triggers = {
      poll    = { description = "", schedule = "* * * * *", uri = "https://example", caller = "c", audience = "a", paused = true }
      janitor = { description = "", schedule = "* * * * *", uri = "https://example", caller = "c", audience = "a" }
    }
  }

  assert {
    condition     = google_cloud_scheduler_job.this["poll"].paused && !google_cloud_scheduler_job.this["janitor"].paused
    error_message = "Only what is said to be paused is."
  }
}

run "who_makes_tasks_may_act_as_their_account" {
  command = plan

  variables {
    queues = { feeds = { enqueuer = "serviceAccount:poller@example", caller_id = "projects/my-project/serviceAccounts/call-poller@example" } }
  }

  assert {
    condition     = google_service_account_iam_member.enqueuer["feeds"].role == "roles/iam.serviceAccountUser" && google_cloud_tasks_queue_iam_member.enqueuer["feeds"].role == "roles/cloudtasks.enqueuer"
    error_message = "Without both no task is made."
  }
}

run "cloud_scheduler_waits_half_an_hour_at_most" {
  command = plan

  variables {
    triggers = {
      long = { description = "", schedule = "* * * * *", uri = "https://example", caller = "c", audience = "a", deadline_seconds = 3600 }
    }
  }

  expect_failures = [var.triggers]
}
