mock_provider "google" {}

variables {
  project      = "build-project"
  region       = "europe-west1"
  environment  = "prod"
  repository   = "projects/p/locations/r/connections/c/repositories/n"
  registry     = "europe-west1-docker.pkg.dev/build-project/pipas"
  state_bucket = "state"
  plans_bucket = "plans"
}

run "whoever_plans_changes_nothing_that_is_deployed" {
  command = plan

  assert {
    condition     = alltrue([for role in keys(google_project_iam_member.plan) : !can(regex("admin|editor|owner|Admin|Editor|Owner|Creator|User$", role))])
    error_message = "The account that plans has roles of readers."
  }

  assert {
    condition     = google_storage_bucket_iam_member.state_read.role == "roles/storage.objectViewer" && google_storage_bucket_iam_member.state_locked.condition[0].expression == "resource.name.endsWith('.tflock')"
    error_message = "It reads the state and writes its lock."
  }

  assert {
    condition     = google_storage_bucket_iam_member.plans_read.role == "roles/storage.objectViewer"
    error_message = "What is applied is what was planned."
  }
}

run "whoever_applies_makes_no_owner_and_waits_for_a_yes" {
  command = plan

  assert {
    condition     = length(setintersection(keys(google_project_iam_member.apply), ["roles/owner", "roles/editor", "roles/resourcemanager.projectIamAdmin", "roles/iam.securityAdmin"])) == 0
    error_message = "No role of the applier's grants whatever it likes."
  }

  assert {
    condition     = strcontains(google_project_iam_member.grants.condition[0].expression, "hasOnly([") && !can(regex("admin|owner|'roles/editor'", google_project_iam_member.grants.condition[0].expression))
    error_message = "In the project it grants only what functions need."
  }

  assert {
    condition     = google_cloudbuild_trigger.apply.approval_config[0].approval_required && google_cloudbuild_trigger.plan.filename == "cloudbuild.yaml" && google_cloudbuild_trigger.apply.filename == "cloudbuild-apply.yaml"
    error_message = "An apply waits for an approval."
  }

  assert {
    condition     = length(google_billing_account_iam_member.budget) + length(google_access_context_manager_access_policy_iam_member.perimeter) + length(google_project_iam_member.keys) == 0
    error_message = "Nothing is granted beyond the project unless it is asked for."
  }
}

run "beyond_the_project" {
  command = plan

  variables {
    manages = { billing_account = "000000-000000-000000", access_policy = "123", keys_project = "keys-project" }
  }

  assert {
    condition     = google_billing_account_iam_member.budget["apply"].role == "roles/billing.costsManager" && google_billing_account_iam_member.budget["plan"].role == "roles/billing.viewer"
    error_message = "A budget can be planned and applied."
  }

  assert {
    condition     = google_access_context_manager_access_policy_iam_member.perimeter["apply"].role == "roles/accesscontextmanager.policyEditor" && google_access_context_manager_access_policy_iam_member.perimeter["plan"].role == "roles/accesscontextmanager.policyReader"
    error_message = "A perimeter can be planned and applied."
  }

  assert {
    condition     = google_project_iam_member.keys["apply"].role == "roles/cloudkms.admin" && google_project_iam_member.keys["apply"].project == "keys-project" && google_project_iam_member.keys["plan"].role == "roles/cloudkms.viewer"
    error_message = "Keys can be planned and applied."
  }
}
