# The images of the functions.

resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = var.location
  repository_id = var.name
  description   = "Pipas: the functions' images"
  format        = "DOCKER"
  kms_key_name  = var.kms_key
  labels        = var.labels

  # Tags may move, as that of the build's cache does: what is deployed is named by its digest.
  docker_config {
    immutable_tags = false
  }

  cleanup_policies {
    id     = "keep-what-may-be-rolled-back-to"
    action = "KEEP"

    most_recent_versions {
      keep_count = var.keep
    }
  }

  # Cloud Build tags what it has deployed.
  cleanup_policies {
    id     = "keep-what-was-deployed"
    action = "KEEP"

    condition {
      tag_state    = "TAGGED"
      tag_prefixes = ["deployed-"]
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "${var.delete_after_days * 86400}s"
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "reader" {
  for_each = var.readers

  project    = var.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.reader"
  member     = each.value
}

resource "google_artifact_registry_repository_iam_member" "writer" {
  for_each = var.writers

  project    = var.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.writer"
  member     = each.value
}
