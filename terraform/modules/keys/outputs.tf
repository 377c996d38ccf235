output "key" {
  description = "The key. Whoever gets it gets it with the agents' use of it."
  value       = google_kms_crypto_key.data.id

  depends_on = [google_kms_crypto_key_iam_member.agent]
}
