# A job: a Cloud Run job that runs to its end, by the clock. It fails when its program exits with anything but 0.

resource "google_cloud_run_v2_job" "this" {
  project             = var.project
  name                = var.name
  location            = var.region
  deletion_protection = false
  labels              = var.labels

  dynamic "binary_authorization" {
    for_each = var.binary_authorization ? [true] : []

    content {
      use_default = binary_authorization.value
    }
  }

  template {
    labels = var.labels

    template {
      service_account = var.service_account
      timeout         = "${var.timeout_seconds}s"
      max_retries     = var.retries
      encryption_key  = var.kms_key

      dynamic "vpc_access" {
        for_each = var.subnetwork == null ? [] : [var.subnetwork]

        content {
          egress = "ALL_TRAFFIC"

          network_interfaces {
            network    = var.network
            subnetwork = vpc_access.value
            tags       = ["pipas"]
          }
        }
      }

      containers {
        image = var.image
        args  = var.args

        resources {
          limits = { cpu = var.cpu, memory = var.memory }
        }

        dynamic "env" {
          for_each = var.env

          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }
}

resource "google_cloud_run_v2_job_iam_member" "caller" {
  project  = var.project
  location = google_cloud_run_v2_job.this.location
  name     = google_cloud_run_v2_job.this.name
  role     = "roles/run.invoker"
  member   = var.caller.member
}

resource "google_cloud_scheduler_job" "this" {
  count = var.schedule == null ? 0 : 1

  project          = var.project
  region           = var.region
  name             = var.name
  description      = "Runs the job ${var.name}"
  schedule         = var.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "60s"

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.this.id}:run"

    oauth_token {
      service_account_email = var.caller.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  retry_config {
    retry_count          = 3
    min_backoff_duration = "30s"
    max_backoff_duration = "300s"
  }

  depends_on = [google_cloud_run_v2_job_iam_member.caller]
}
