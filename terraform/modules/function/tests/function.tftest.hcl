mock_provider "google" {}

variables {
  project         = "my-project"
  region          = "europe-west1"
  name            = "pipas-loader"
  description     = "Makes rows"
  image           = "europe-west1-docker.pkg.dev/p/pipas/loader@sha256:1111111111111111111111111111111111111111111111111111111111111111"
  service_account = "pipas-loader@example"
  audiences       = ["pipas-loader"]
  env             = { GOOGLE_CLOUD_PROJECT = "my-project" }
  secret_env      = { PIPAS_REDIS_URL = { secret = "ledger-url", version = "3" } }
  secret_files    = { ca = { folder = "/etc/pipas-ledger", file = "ca.pem", secret = "ledger-ca", version = "1" } }
  invokers        = { caller = "serviceAccount:pipas-call-loader@example" }
}

run "a_function_is_closed_unless_it_is_opened" {
  command = plan

  assert {
    condition     = google_cloud_run_v2_service.this.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" && google_cloud_run_v2_service.this.deletion_protection
    error_message = "Requests come from inside, and the service stays."
  }

  assert {
    condition     = [for grant in google_cloud_run_v2_service_iam_member.invoker : "${grant.role} ${grant.member}"] == ["roles/run.invoker serviceAccount:pipas-call-loader@example"]
    error_message = "Only those named may call it."
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].scaling[0].min_instance_count == 0 && google_cloud_run_v2_service.this.template[0].containers[0].resources[0].cpu_idle
    error_message = "Nothing runs when nothing arrives."
  }

  assert {
    condition     = length(google_cloud_run_v2_service.this.template[0].containers) == 1
    error_message = "Without a collector there is none."
  }
}

run "secrets_are_named_and_not_shown" {
  command = plan

  assert {
    condition     = [for env in google_cloud_run_v2_service.this.template[0].containers[0].env : env.value_source[0].secret_key_ref[0].version if env.name == "PIPAS_REDIS_URL"] == ["3"]
    error_message = "A secret is a version, so that a new one is a new revision."
  }

  assert {
    condition     = google_cloud_run_v2_service.this.template[0].volumes[0].secret[0].items[0].path == "ca.pem" && google_cloud_run_v2_service.this.template[0].containers[0].volume_mounts[0].mount_path == "/etc/pipas-ledger"
    error_message = "A file comes from a secret."
  }
}

run "with_a_collector" {
  command = plan

  variables {
    collector = { image = "collector", secret = "pipas-collector", version = "1" }
  }

  assert {
    condition     = [for container in google_cloud_run_v2_service.this.template[0].containers : container.name] == ["function", "collector"]
    error_message = "The collector is beside the function."
  }

  assert {
    condition     = [for env in google_cloud_run_v2_service.this.template[0].containers[0].env : env.value if env.name == "OTEL_EXPORTER_OTLP_ENDPOINT"] == ["http://localhost:4318"]
    error_message = "The function is told where it is."
  }
}

run "an_image_is_named_by_its_digest" {
  command = plan

  variables {
    image = "europe-west1-docker.pkg.dev/p/pipas/loader:latest"
  }

  expect_failures = [var.image]
}
