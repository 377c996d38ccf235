# The registry of write streams: small objects that are read and changed all the time, and must not be lost: they are what a
# ledger is made whole from. What the poller knows of its feeds is kept here too.

resource "google_storage_bucket" "registry" {
  count = var.has_registry ? 1 : 0

  project                     = var.project
  name                        = var.registry_bucket
  location                    = var.registry_location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection
  labels                      = var.labels

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = 7 * 86400
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }

  # The generation is one object that is rewritten with each recovery; entries are deleted by the janitor.
  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      days_since_noncurrent_time = 7
      with_state                 = "ARCHIVED"
    }
  }
}

resource "google_storage_bucket_iam_member" "registry" {
  for_each = var.has_registry ? var.registry_users : {}

  bucket = google_storage_bucket.registry[0].name
  role   = "roles/storage.objectUser"
  member = each.value
}
