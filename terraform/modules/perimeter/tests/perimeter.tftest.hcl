mock_provider "google" {}

variables {
  access_policy  = "123"
  name           = "pipas"
  project_number = "456"
}

run "it_begins_as_a_dry_run" {
  command = plan

  assert {
    condition     = google_access_context_manager_service_perimeter.this.use_explicit_dry_run_spec && length(google_access_context_manager_service_perimeter.this.status) == 0 && length(google_access_context_manager_service_perimeter.this.spec) == 1
    error_message = "Nothing is refused until somebody says so."
  }

  assert {
    condition     = !contains(google_access_context_manager_service_perimeter.this.spec[0].restricted_services, "run.googleapis.com")
    error_message = "Producers are not asked who they are when they call a function of Cloud Run's: restricted, it would answer none of them."
  }

  assert {
    condition     = contains(google_access_context_manager_service_perimeter.this.spec[0].restricted_services, "bigquery.googleapis.com") && contains(google_access_context_manager_service_perimeter.this.spec[0].restricted_services, "storage.googleapis.com")
    error_message = "What keeps data is restricted."
  }
}

run "who_is_let_in" {
  command = plan

  variables {
    is_enforced = true
    readers     = { board = "serviceAccount:board@example" }
    operators   = { ci = "serviceAccount:ci@example" }
  }

  assert {
    condition     = google_access_context_manager_service_perimeter.this.status[0].ingress_policies[0].ingress_from[0].identities == toset(["serviceAccount:board@example", "serviceAccount:ci@example"])
    error_message = "Those who are named, and nobody else."
  }
}
