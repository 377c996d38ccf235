# Cloud Build: two triggers and two accounts. What anybody may push is checked, built and planned by an account that can change
# nothing; the plan is applied by another, after somebody has looked at it.

resource "google_service_account" "plan" {
  project      = var.project
  account_id   = "${var.prefix}-ci-plan"
  display_name = "Pipas: checks, builds and plans"
}

resource "google_service_account" "apply" {
  project      = var.project
  account_id   = "${var.prefix}-ci-apply"
  display_name = "Pipas: applies plans"
}

resource "google_cloudbuild_trigger" "plan" {
  project         = var.project
  location        = var.region
  name            = "${var.prefix}-plan"
  description     = "Checks, builds, and plans what it would change"
  filename        = "cloudbuild.yaml"
  service_account = google_service_account.plan.id
  substitutions   = local.substitutions

  repository_event_config {
    repository = var.repository

    push {
      branch = var.branch
    }
  }

  depends_on = [google_project_iam_member.plan]
}

# The same push starts it, and it waits until somebody approves.
resource "google_cloudbuild_trigger" "apply" {
  project         = var.project
  location        = var.region
  name            = "${var.prefix}-apply"
  description     = "Applies the plan of the same commit, once somebody has approved it, and sends an event through"
  filename        = "cloudbuild-apply.yaml"
  service_account = google_service_account.apply.id
  substitutions   = local.substitutions

  approval_config {
    approval_required = true
  }

  repository_event_config {
    repository = var.repository

    push {
      branch = var.branch
    }
  }

  depends_on = [google_project_iam_member.apply]
}

locals {
  substitutions = {
    _ENV          = var.environment
    _REGION       = var.region
    _REGISTRY     = var.registry
    _STATE_BUCKET = var.state_bucket
    _PLANS_BUCKET = var.plans_bucket
    _PROJECT      = coalesce(var.target_project, var.project)
  }
}
