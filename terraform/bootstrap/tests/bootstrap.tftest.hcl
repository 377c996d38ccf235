mock_provider "google" {}

variables {
  project = "my-project"
  region  = "europe-west1"
}

run "state_and_plans_are_closed_and_kept" {
  command = plan

  assert {
    condition     = alltrue([for bucket in [google_storage_bucket.state, google_storage_bucket.plans] : bucket.public_access_prevention == "enforced" && bucket.uniform_bucket_level_access && bucket.versioning[0].enabled && !bucket.force_destroy])
    error_message = "Both hold secrets."
  }

  assert {
    condition     = length(module.ci) == 0 && contains(keys(google_project_service.this), "containerscanning.googleapis.com")
    error_message = "Without a repository there are no triggers; images are scanned all the same."
  }
}

run "with_a_repository_there_are_triggers" {
  command = apply

  variables {
    repository = "projects/p/locations/r/connections/c/repositories/n"
    manages    = { billing_account = "000000-000000-000000" }
  }

  assert {
    condition     = length(module.ci) == 1 && contains(keys(google_project_service.this), "billingbudgets.googleapis.com")
    error_message = "What Cloud Build manages has its service here."
  }
}
