# The claim ledger, and what outlives it: Memorystore for Redis with a replica, and the bucket in which write streams are
# registered.
#
# Redis and not Valkey: the loader signs in with a password, which Memorystore for Redis has and Memorystore for Valkey has
# not; Valkey's IAM tokens end after an hour, and the loader does not renew them.

resource "google_redis_instance" "claims" {
  project        = var.project
  name           = var.name
  display_name   = "Pipas: claims"
  region         = var.region
  tier           = var.has_replica ? "STANDARD_HA" : "BASIC"
  memory_size_gb = var.memory_gb
  redis_version  = var.redis_version

  # A full server must refuse claims, never forget settled events.
  redis_configs = { maxmemory-policy = "noeviction" }

  auth_enabled            = true
  transit_encryption_mode = var.tls ? "SERVER_AUTHENTICATION" : "DISABLED"
  connect_mode            = "PRIVATE_SERVICE_ACCESS"
  authorized_network      = var.network
  customer_managed_key    = var.kms_key
  deletion_protection     = var.deletion_protection
  labels                  = var.labels

  # After the loss of both nodes the snapshot is where the recovery begins; the tables tell the rest.
  persistence_config {
    persistence_mode    = "RDB"
    rdb_snapshot_period = "ONE_HOUR"
  }

  maintenance_policy {
    weekly_maintenance_window {
      day = var.maintenance.day

      start_time {
        hours   = var.maintenance.hour
        minutes = 0
        seconds = 0
        nanos   = 0
      }
    }
  }
}

# The password is the URL's, so the URL is a secret. The version's number follows the password: a new one is a new version,
# and a new revision of the loader.
resource "google_secret_manager_secret" "url" {
  project             = var.project
  secret_id           = "${var.name}-url"
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

resource "google_secret_manager_secret_version" "url" {
  secret                 = google_secret_manager_secret.url.id
  secret_data_wo         = local.url
  secret_data_wo_version = nonsensitive(substr(sha256(local.url), 0, 12))
}

# Who signed the server's certificate. No secret, but files come to Cloud Run as secrets.
resource "google_secret_manager_secret" "ca" {
  count = var.tls ? 1 : 0

  project             = var.project
  secret_id           = "${var.name}-ca"
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

resource "google_secret_manager_secret_version" "ca" {
  count = var.tls ? 1 : 0

  secret                 = google_secret_manager_secret.ca[0].id
  secret_data_wo         = local.ca
  secret_data_wo_version = substr(sha256(local.ca), 0, 12)
}

resource "google_secret_manager_secret_iam_member" "url" {
  for_each = var.users

  project   = var.project
  secret_id = google_secret_manager_secret.url.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value
}

resource "google_secret_manager_secret_iam_member" "ca" {
  for_each = var.tls ? var.users : {}

  project   = var.project
  secret_id = google_secret_manager_secret.ca[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value
}

locals {
  scheme = var.tls ? "rediss" : "redis"
  url    = "${local.scheme}://:${google_redis_instance.claims.auth_string}@${google_redis_instance.claims.host}:${google_redis_instance.claims.port}"
  # There are two while Google changes them.
  ca = join("\n", [for ca in google_redis_instance.claims.server_ca_certs : ca.cert])
}
