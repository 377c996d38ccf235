# The archive: one bucket of Avro objects. Objects are written once and never changed; what the compactor merges it writes
# anew and then deletes, so deleted objects are kept for a while.

resource "google_storage_bucket" "archive" {
  project                     = var.project
  name                        = var.name
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection
  labels                      = var.labels

  versioning {
    enabled = var.versioning
  }

  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  dynamic "retention_policy" {
    for_each = var.retention_days == null ? [] : [var.retention_days]

    content {
      retention_period = tostring(retention_policy.value * 86400)
      is_locked        = var.retention_locked
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }

  dynamic "logging" {
    for_each = var.log_bucket == null ? [] : [var.log_bucket]

    content {
      log_bucket        = logging.value
      log_object_prefix = var.name
    }
  }

  # Colder with age. Manifest entries stay as they are: they are small, and every reading begins with them.
  dynamic "lifecycle_rule" {
    for_each = var.colder

    content {
      action {
        type          = "SetStorageClass"
        storage_class = lifecycle_rule.key
      }

      condition {
        age            = lifecycle_rule.value
        matches_suffix = [".avro"]
      }
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

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      days_since_noncurrent_time = var.noncurrent_days
      with_state                 = "ARCHIVED"
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = 7
    }
  }

  lifecycle {
    precondition {
      condition     = var.retention_days == null || !var.versioning
      error_message = "Cloud Storage takes a retention policy or versioning, not both: set versioning = false."
    }
  }
}

# The compactor writes, merges and sweeps what every stream has here: all of the bucket but the checkpoints.
resource "google_storage_bucket_iam_member" "writer" {
  for_each = var.writers

  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectUser"
  member = each.value
}

resource "google_storage_bucket_iam_member" "checkpoints" {
  for_each = var.replayers

  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectUser"
  member = each.value

  condition {
    title      = "Only checkpoints"
    expression = "resource.name.startsWith('projects/_/buckets/${var.name}/objects/_replay/')"
  }
}

resource "google_storage_bucket_iam_member" "reader" {
  for_each = merge(var.readers, var.replayers)

  bucket = google_storage_bucket.archive.name
  role   = "roles/storage.objectViewer"
  member = each.value
}
