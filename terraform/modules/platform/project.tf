# The project itself: which services it uses, and the service agents that are granted something.

data "google_project" "this" {
  project_id = var.project
}

resource "google_project_service" "this" {
  for_each = toset(concat(
    [
      "artifactregistry.googleapis.com",
      "bigquery.googleapis.com",
      "bigquerystorage.googleapis.com",
      "cloudscheduler.googleapis.com",
      "cloudtrace.googleapis.com",
      "compute.googleapis.com",
      "iam.googleapis.com",
      "iamcredentials.googleapis.com",
      "logging.googleapis.com",
      "monitoring.googleapis.com",
      "pubsub.googleapis.com",
      "redis.googleapis.com",
      "run.googleapis.com",
      "secretmanager.googleapis.com",
      "servicenetworking.googleapis.com",
      "storage.googleapis.com",
    ],
    local.has_feeds ? ["cloudtasks.googleapis.com"] : [],
    var.edge == null ? [] : ["certificatemanager.googleapis.com"],
    var.cmek == null ? [] : ["cloudkms.googleapis.com"],
    var.archive.replica_location == null ? [] : ["storagetransfer.googleapis.com"],
    var.binary_authorization ? ["binaryauthorization.googleapis.com"] : [],
    var.budget == null ? [] : ["billingbudgets.googleapis.com"],
    local.is_closed ? ["accesscontextmanager.googleapis.com", "dns.googleapis.com"] : [],
  ))

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

# Keys may be in a project of their own, which must know of them too.
resource "google_project_service" "keys" {
  count = try(var.cmek.project, null) == null ? 0 : 1

  project            = var.cmek.project
  service            = "cloudkms.googleapis.com"
  disable_on_destroy = false
}

# Agents come into being when their service is first used; what is granted to one before would fail.
resource "google_project_service_identity" "agent" {
  for_each = toset(concat(
    ["pubsub.googleapis.com"],
    local.looks_with_token ? ["monitoring.googleapis.com"] : [],
    var.cmek == null ? [] : local.encrypting_agents,
  ))
  provider = google-beta

  project = var.project
  service = each.value

  depends_on = [google_project_service.this]
}

data "google_bigquery_default_service_account" "this" {
  count = var.cmek == null ? 0 : 1

  project = var.project

  depends_on = [google_project_service.this]
}

data "google_storage_project_service_account" "this" {
  count = var.cmek == null ? 0 : 1

  project = var.project

  depends_on = [google_project_service.this]
}

# BigQuery's and Cloud Storage's agents are told by data sources.
locals {
  encrypting_agents = [
    "artifactregistry.googleapis.com",
    "pubsub.googleapis.com",
    "redis.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
  ]

  # Cloud Monitoring looks at a receiver that is not open to everyone with a token of its agent.
  looks_with_token = var.uptime_check && !var.is_public

  # Within a perimeter functions send everything through the network: what they send elsewhere comes from outside.
  is_closed = var.perimeter != null

  location = coalesce(var.location, var.region)

  kms_key = var.cmek == null ? null : module.keys[0].key
}
