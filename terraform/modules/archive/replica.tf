# A copy in another region, kept up by Storage Transfer as objects are written. What is deleted in the archive stays here
# until the lifecycle deletes it: the copy is also the guard against a mistaken deletion.

resource "google_storage_bucket" "replica" {
  count = var.replica_location == null ? 0 : 1

  project                     = var.project
  name                        = "${var.name}-replica"
  location                    = var.replica_location
  storage_class               = "NEARLINE"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection
  labels                      = var.labels

  versioning {
    enabled = true
  }

  dynamic "encryption" {
    for_each = var.replica_kms_key == null ? [] : [var.replica_kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.delete_after_days == null ? [] : [var.delete_after_days]

    content {
      action {
        type = "Delete"
      }

      condition {
        age = lifecycle_rule.value
      }
    }
  }
}

data "google_storage_transfer_project_service_account" "this" {
  count = var.replica_location == null ? 0 : 1

  project = var.project
}

data "google_storage_project_service_account" "this" {
  count = var.replica_location == null ? 0 : 1

  project = var.project
}

locals {
  transfer_roles = var.replica_location == null ? {} : {
    source_read   = { bucket = google_storage_bucket.archive.name, role = "roles/storage.objectViewer" }
    source_notify = { bucket = google_storage_bucket.archive.name, role = "roles/storage.legacyBucketOwner" }
    sink_write    = { bucket = google_storage_bucket.replica[0].name, role = "roles/storage.objectUser" }
    sink_look     = { bucket = google_storage_bucket.replica[0].name, role = "roles/storage.legacyBucketReader" }
  }
}

resource "google_storage_bucket_iam_member" "transfer" {
  for_each = local.transfer_roles

  bucket = each.value.bucket
  role   = each.value.role
  member = "serviceAccount:${data.google_storage_transfer_project_service_account.this[0].email}"
}

# Replication goes by notifications: Storage Transfer makes their topic and subscription, Cloud Storage publishes them.
resource "google_project_iam_member" "transfer" {
  count = var.replica_location == null ? 0 : 1

  project = var.project
  role    = "roles/pubsub.editor"
  member  = "serviceAccount:${data.google_storage_transfer_project_service_account.this[0].email}"
}

resource "google_project_iam_member" "notifier" {
  count = var.replica_location == null ? 0 : 1

  project = var.project
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${data.google_storage_project_service_account.this[0].email_address}"
}

resource "google_storage_transfer_job" "replica" {
  count = var.replica_location == null ? 0 : 1

  project     = var.project
  description = "Copies the archive to ${var.replica_location}"

  replication_spec {
    gcs_data_source {
      bucket_name = google_storage_bucket.archive.name
    }

    gcs_data_sink {
      bucket_name = google_storage_bucket.replica[0].name
    }

    transfer_options {
      overwrite_when                             = "DIFFERENT"
      delete_objects_from_source_after_transfer  = false
      delete_objects_unique_in_sink              = false
      overwrite_objects_already_existing_in_sink = false
    }
  }

  depends_on = [
    google_storage_bucket_iam_member.transfer,
    google_project_iam_member.transfer,
    google_project_iam_member.notifier,
  ]
}
