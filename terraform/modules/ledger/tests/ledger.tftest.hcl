mock_provider "google" {
  mock_resource "google_redis_instance" {
    defaults = {
      host            = "10.16.0.3"
      port            = 6378
      auth_string     = "0a1b2c"
      server_ca_certs = [{ cert = "old", create_time = "", expire_time = "", serial_number = "", sha1_fingerprint = "" }, { cert = "new", create_time = "", expire_time = "", serial_number = "", sha1_fingerprint = "" }]
    }
  }
}

variables {
  project           = "my-project"
  name              = "pipas-ledger"
  region            = "europe-west1"
  network           = "projects/my-project/global/networks/pipas"
  memory_gb         = 8
  users             = { loader = "serviceAccount:loader@example" }
  registry_users    = { loader = "serviceAccount:loader@example", poller = "serviceAccount:poller@example" }
  registry_bucket   = "registry"
  registry_location = "europe-west1"
}

run "a_full_ledger_refuses_and_never_forgets" {
  command = plan

  assert {
    condition     = google_redis_instance.claims.redis_configs == tomap({ "maxmemory-policy" = "noeviction" })
    error_message = "The ledger must not evict."
  }

  assert {
    condition     = google_redis_instance.claims.tier == "STANDARD_HA" && google_redis_instance.claims.auth_enabled && google_redis_instance.claims.transit_encryption_mode == "SERVER_AUTHENTICATION" && google_redis_instance.claims.connect_mode == "PRIVATE_SERVICE_ACCESS"
    error_message = "It has a replica, a password, TLS, and no public address."
  }

  assert {
    condition     = google_redis_instance.claims.persistence_config[0].persistence_mode == "RDB" && google_redis_instance.claims.deletion_protection
    error_message = "It is kept."
  }
}

run "the_loader_is_told_by_secrets" {
  command = apply

  assert {
    condition     = nonsensitive(local.url) == "rediss://:0a1b2c@10.16.0.3:6378"
    error_message = "The URL has the password, and TLS."
  }

  assert {
    condition     = local.ca == "old\nnew"
    error_message = "Every certificate that may have signed the server's is there."
  }

  assert {
    condition     = [for grant in google_secret_manager_secret_iam_member.url : grant.member] == ["serviceAccount:loader@example"]
    error_message = "Only the ledger's users read them."
  }
}

run "without_a_registry" {
  command = plan

  variables {
    has_registry = false
  }

  assert {
    condition     = output.registry_bucket == null && length(google_storage_bucket_iam_member.registry) == 0
    error_message = "A catalog with `registry: none` has no bucket."
  }
}

run "memory_is_whole" {
  command = plan

  variables {
    memory_gb = 1.5
  }

  expect_failures = [var.memory_gb]
}
