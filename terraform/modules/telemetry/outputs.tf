output "image" {
  description = "The collector's image."
  value       = var.image
}

output "collector" {
  description = "What a function needs for a collector beside it: its image, and the secret with its configuration."
  value = {
    image   = var.image
    secret  = google_secret_manager_secret.config.secret_id
    version = google_secret_manager_secret_version.config.version
  }

  # Without these a revision that mounts the secret does not start.
  depends_on = [google_secret_manager_secret_iam_member.config]
}
