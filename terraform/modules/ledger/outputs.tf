output "url_secret" {
  description = "The secret with the ledger's URL, and its version."
  value = {
    secret  = google_secret_manager_secret.url.secret_id
    version = google_secret_manager_secret_version.url.version
  }

  # Without these a revision that reads the secret does not start.
  depends_on = [google_secret_manager_secret_iam_member.url]
}

output "ca_secret" {
  description = "The secret with the certificates of those who signed the server's, and its version; null: no TLS."
  value = var.tls ? {
    secret  = google_secret_manager_secret.ca[0].secret_id
    version = google_secret_manager_secret_version.ca[0].version
  } : null

  depends_on = [google_secret_manager_secret_iam_member.ca]
}

output "instance" {
  description = "The instance's id, as Cloud Monitoring names it."
  value       = google_redis_instance.claims.id
}

output "registry_bucket" {
  description = "The registry's bucket; null: the catalog wants none."
  value       = one(google_storage_bucket.registry[*].name)
}
