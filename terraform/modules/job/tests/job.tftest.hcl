mock_provider "google" {}

variables {
  project         = "my-project"
  region          = "europe-west1"
  name            = "pipas-audit-events"
  image           = "r/pipas@sha256:1111111111111111111111111111111111111111111111111111111111111111"
  args            = ["audit", "--stream", "events"]
  service_account = "pipas-audit@example"
  caller          = { email = "start@example", member = "serviceAccount:start@example" }
}

run "a_job_is_started_by_the_one_who_is_named" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_job_iam_member.caller.role == "roles/run.invoker" && google_cloud_run_v2_job_iam_member.caller.member == "serviceAccount:start@example"
    error_message = "Nobody else starts it."
  }

  assert {
    condition     = length(google_cloud_scheduler_job.this) == 0 && google_cloud_run_v2_job.this.template[0].template[0].max_retries == 0 && length(google_cloud_run_v2_job.this.template[0].template[0].vpc_access) == 0
    error_message = "Without a schedule somebody starts it, and what fails is told at once."
  }
}

run "by_the_clock_and_through_the_network" {
  command = apply

  variables {
    schedule             = "30 2 * * *"
    network              = "projects/p/global/networks/n"
    subnetwork           = "projects/p/regions/r/subnetworks/s"
    binary_authorization = true
    cpu                  = "2"
    memory               = "8Gi"
    timeout_seconds      = 600
  }

  assert {
    condition     = google_cloud_run_v2_job.this.template[0].template[0].containers[0].resources[0].limits == tomap({ cpu = "2", memory = "8Gi" }) && google_cloud_run_v2_job.this.template[0].template[0].timeout == "600s"
    error_message = "A run is as large as is asked for."
  }

  assert {
    condition     = google_cloud_scheduler_job.this[0].http_target[0].oauth_token[0].service_account_email == "start@example" && google_cloud_scheduler_job.this[0].time_zone == "Etc/UTC"
    error_message = "The clock shows the caller's token."
  }

  assert {
    condition     = google_cloud_run_v2_job.this.template[0].template[0].vpc_access[0].egress == "ALL_TRAFFIC" && google_cloud_run_v2_job.this.binary_authorization[0].use_default
    error_message = "Within a perimeter everything goes through the network, and the project's policy counts."
  }
}
