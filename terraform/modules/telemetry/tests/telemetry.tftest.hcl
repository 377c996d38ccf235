mock_provider "google" {}

variables {
  project   = "my-project"
  region    = "europe-west1"
  prefix    = "pipas"
  functions = { loader = "serviceAccount:loader@example" }
}

run "functions_write_metrics_and_traces_and_read_their_configuration" {
  command = plan

  assert {
    condition     = toset([for grant in google_project_iam_member.writer : "${grant.role} ${grant.member}"]) == toset(["roles/monitoring.metricWriter serviceAccount:loader@example", "roles/cloudtrace.agent serviceAccount:loader@example"])
    error_message = "Nothing more is granted in the project."
  }

  assert {
    condition     = [for grant in google_secret_manager_secret_iam_member.config : "${grant.role} ${grant.member}"] == ["roles/secretmanager.secretAccessor serviceAccount:loader@example"]
    error_message = "The configuration is read."
  }
}

run "names_stay_as_they_are" {
  command = plan

  assert {
    condition     = yamldecode(local.config).exporters.googlemanagedprometheus.metric.add_metric_suffixes == false && startswith(yamldecode(local.config).receivers.otlp.protocols.http.endpoint, "localhost:")
    error_message = "Metrics keep their names, and nobody outside reaches the collector."
  }
}
