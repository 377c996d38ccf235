# How the functions' traces and metrics reach Cloud Trace and Managed Service for Prometheus: a collector beside each function,
# to which it speaks OTLP, and which speaks to Google with the function's own account.

resource "google_secret_manager_secret" "config" {
  project             = var.project
  secret_id           = "${var.prefix}-collector"
  deletion_protection = false
  labels              = var.labels

  replication {
    user_managed {
      replicas {
        location = var.region

        dynamic "customer_managed_encryption" {
          for_each = var.kms_key == null ? [] : [var.kms_key]

          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }
}

# No secret, but files come to Cloud Run as secrets.
resource "google_secret_manager_secret_version" "config" {
  secret                 = google_secret_manager_secret.config.id
  secret_data_wo         = local.config
  secret_data_wo_version = substr(sha256(local.config), 0, 12)
}

resource "google_secret_manager_secret_iam_member" "config" {
  for_each = var.functions

  project   = var.project
  secret_id = google_secret_manager_secret.config.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value
}

locals {
  config = file("${path.module}/collector.yaml")
  roles  = ["roles/monitoring.metricWriter", "roles/cloudtrace.agent"]
}

# There is nothing smaller than the project that these could be granted on.
resource "google_project_iam_member" "writer" {
  for_each = { for pair in setproduct(keys(var.functions), local.roles) : "${pair[0]}/${pair[1]}" => pair }

  project = var.project
  role    = each.value[1]
  member  = var.functions[each.value[0]]
}
