mock_provider "google" {}

variables {
  project  = "keys-project"
  name     = "pipas"
  location = "europe-west1"
  agents   = { "pubsub.googleapis.com" = "serviceAccount:pubsub@example", "storage.googleapis.com" = "serviceAccount:storage@example" }
}

# Only planned: a key cannot be destroyed, not even a test's.
run "agents_use_the_key_and_nobody_else" {
  command = plan

  assert {
    condition     = toset([for grant in google_kms_crypto_key_iam_member.agent : "${grant.role} ${grant.member}"]) == toset([for member in values(var.agents) : "roles/cloudkms.cryptoKeyEncrypterDecrypter ${member}"])
    error_message = "Each agent encrypts and decrypts, and manages nothing."
  }

  assert {
    condition     = google_kms_crypto_key.data.rotation_period == "7776000s"
    error_message = "There is a new version every 90 days."
  }
}
