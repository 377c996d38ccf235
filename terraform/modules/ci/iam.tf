# What the two accounts may do. The one that plans reads the target, with a reader's basic role, because it reads whatever is there; it
# writes images, plans, and the lock of the state. The one that applies manages what is in modules/, and grants only the roles that are
# granted there.
#
# It makes the functions' accounts and says who may act as them, so it may act as any account of the target: a narrower role than
# serviceAccountUser would only look narrower. It says who may call a function, so run.developer is not enough. Give Pipas a project
# of its own, in which there is nobody else to act as; and the plan is looked at before it is applied.

locals {
  target = coalesce(var.target_project, var.project)

  plan_roles = {
    "roles/containeranalysis.occurrences.viewer" = var.project
    "roles/logging.logWriter"                    = var.project
    "roles/bigquery.metadataViewer"              = local.target
    "roles/viewer"                               = local.target
    "roles/iam.securityReviewer"                 = local.target
    "roles/serviceusage.serviceUsageConsumer"    = local.target
  }

  apply_roles = {
    "roles/logging.logWriter"                = var.project
    "roles/bigquery.dataOwner"               = local.target
    "roles/bigquery.jobUser"                 = local.target
    "roles/certificatemanager.editor"        = local.target
    "roles/cloudscheduler.admin"             = local.target
    "roles/cloudtasks.queueAdmin"            = local.target
    "roles/compute.loadBalancerAdmin"        = local.target
    "roles/compute.networkAdmin"             = local.target
    "roles/binaryauthorization.policyEditor" = local.target
    "roles/dns.admin"                        = local.target
    "roles/compute.securityAdmin"            = local.target
    "roles/iam.serviceAccountAdmin"          = local.target
    "roles/iam.serviceAccountUser"           = local.target
    "roles/logging.configWriter"             = local.target
    "roles/monitoring.editor"                = local.target
    "roles/pubsub.admin"                     = local.target
    "roles/redis.admin"                      = local.target
    "roles/run.admin"                        = local.target
    "roles/secretmanager.admin"              = local.target
    "roles/servicenetworking.networksAdmin"  = local.target
    "roles/serviceusage.serviceUsageAdmin"   = local.target
    "roles/storage.admin"                    = local.target
    "roles/storagetransfer.admin"            = local.target
  }

  # What modules/ grant on the project, and nothing more: an apply cannot make an owner.
  granted_roles = [
    "roles/bigquery.jobUser",
    "roles/cloudtrace.agent",
    "roles/monitoring.metricWriter",
    "roles/pubsub.editor",
    "roles/pubsub.publisher",
  ]
}

resource "google_project_iam_member" "plan" {
  for_each = local.plan_roles

  project = each.value
  role    = each.key
  member  = google_service_account.plan.member
}

# What Terraform asks for when it looks at what is there, and no viewer may: the ledger's password, which the state has anyway.
resource "google_project_iam_custom_role" "planner" {
  project     = local.target
  role_id     = "${replace(var.prefix, "-", "_")}_planner"
  title       = "Pipas: planner"
  description = "What terraform plan needs beside the viewer's roles"
  permissions = ["redis.instances.getAuthString", "storage.buckets.get"]
}

resource "google_project_iam_member" "planner" {
  project = local.target
  role    = google_project_iam_custom_role.planner.id
  member  = google_service_account.plan.member
}

# The one kind of object that Terraform makes, and no event.
resource "google_project_iam_member" "plan_objects" {
  project = local.target
  role    = "roles/storage.objectViewer"
  member  = google_service_account.plan.member

  condition {
    title      = "Only the archive's empty files"
    expression = "resource.name.endsWith('/empty.avro')"
  }
}

# The smoke test's token for the receiver.
resource "google_service_account_iam_member" "apply" {
  service_account_id = google_service_account.apply.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = google_service_account.apply.member
}

resource "google_project_iam_member" "apply" {
  for_each = local.apply_roles

  project = each.value
  role    = each.key
  member  = google_service_account.apply.member
}

resource "google_project_iam_member" "grants" {
  project = local.target
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.apply.member

  condition {
    title       = "Only what Pipas's functions need"
    description = "Grants and takes away the roles that Terraform's modules name"
    expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in local.granted_roles : "'${role}'"])}])"
  }
}

# Terraform's state, and the plans: the planner reads the state and locks it, and writes plans; the other reads plans and writes the
# state.
resource "google_storage_bucket_iam_member" "state_written" {
  bucket = var.state_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.apply.member
}

resource "google_storage_bucket_iam_member" "state_read" {
  bucket = var.state_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.plan.member
}

resource "google_storage_bucket_iam_member" "state_locked" {
  bucket = var.state_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.plan.member

  condition {
    title      = "Only locks"
    expression = "resource.name.endsWith('.tflock')"
  }
}

# A commit that is built again is planned again, so plans are written over.
resource "google_storage_bucket_iam_member" "plans_written" {
  bucket = var.plans_bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.plan.member
}

resource "google_storage_bucket_iam_member" "plans_read" {
  bucket = var.plans_bucket
  role   = "roles/storage.objectViewer"
  member = google_service_account.apply.member
}
