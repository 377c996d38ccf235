# Keys of your own for everything that keeps data. A service encrypts as its service agent, so each agent gets the use of the
# key, before anything is made with it.

resource "google_kms_key_ring" "this" {
  project  = var.project
  name     = var.name
  location = var.location
}

resource "google_kms_crypto_key" "data" {
  name            = "data"
  key_ring        = google_kms_key_ring.this.id
  rotation_period = "${var.rotation_days * 86400}s"
  labels          = var.labels

  version_template {
    algorithm        = "GOOGLE_SYMMETRIC_ENCRYPTION"
    protection_level = var.protection_level
  }

  # Without the key the data is gone.
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = var.agents

  crypto_key_id = google_kms_crypto_key.data.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
