# What an environment may use beyond its project. The one account reads it, the other manages it.

locals {
  billing = var.manages.billing_account == null ? {} : {
    plan  = { role = "roles/billing.viewer", member = google_service_account.plan.member }
    apply = { role = "roles/billing.costsManager", member = google_service_account.apply.member }
  }

  policy = var.manages.access_policy == null ? {} : {
    plan  = { role = "roles/accesscontextmanager.policyReader", member = google_service_account.plan.member }
    apply = { role = "roles/accesscontextmanager.policyEditor", member = google_service_account.apply.member }
  }

  # In the target the planner may look at services and grants already.
  keys = var.manages.keys_project == null ? {} : merge(
    {
      plan  = { role = "roles/cloudkms.viewer", member = google_service_account.plan.member }
      apply = { role = "roles/cloudkms.admin", member = google_service_account.apply.member }
    },
    var.manages.keys_project == local.target ? {} : {
      plan_services  = { role = "roles/serviceusage.serviceUsageViewer", member = google_service_account.plan.member }
      plan_grants    = { role = "roles/iam.securityReviewer", member = google_service_account.plan.member }
      apply_services = { role = "roles/serviceusage.serviceUsageAdmin", member = google_service_account.apply.member }
    },
  )
}

resource "google_billing_account_iam_member" "budget" {
  for_each = local.billing

  billing_account_id = var.manages.billing_account
  role               = each.value.role
  member             = each.value.member
}

resource "google_access_context_manager_access_policy_iam_member" "perimeter" {
  for_each = local.policy

  name   = "accessPolicies/${var.manages.access_policy}"
  role   = each.value.role
  member = each.value.member
}

resource "google_project_iam_member" "keys" {
  for_each = local.keys

  project = var.manages.keys_project
  role    = each.value.role
  member  = each.value.member
}
