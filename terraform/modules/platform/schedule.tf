# What runs by the clock.

locals {
  # A run of the compactor ends by itself at the catalog's bound, and then finishes the objects that it holds.
  compact_deadline = min(1800, module.catalog.archive.max_seconds + 120)

  compact_triggers = {
    for stream in keys(module.catalog.streams) : "compact-${stream}" => {
      description      = "Archives ${stream}"
      schedule         = var.schedules.compact
      uri              = "${local.uri["compactor"]}/compact?stream=${stream}"
      caller           = module.identity.caller["compactor"].email
      audience         = local.audience["compactor"]
      deadline_seconds = local.compact_deadline
    }
  }

  merge_triggers = {
    for stream in keys(module.catalog.streams) : "merge-${stream}" => {
      description      = "Merges the last hours' objects of ${stream}"
      schedule         = var.schedules.merge
      uri              = "${local.uri["compactor"]}/compact?stream=${stream}&merge=true"
      caller           = module.identity.caller["compactor"].email
      audience         = local.audience["compactor"]
      deadline_seconds = local.compact_deadline
    }
  }

  janitor_trigger = {
    janitor = {
      description      = "Looks after the write streams"
      schedule         = var.schedules.janitor
      uri              = "${local.uri["loader"]}/janitor"
      caller           = module.identity.caller["loader"].email
      audience         = local.audience["loader"]
      deadline_seconds = local.sizes["loader"].timeout_seconds
    }
  }

  # Cloud Scheduler is triggered at most once a minute; the poller makes tasks for the fetches until the next.
  feed_triggers = {
    for name, feed in module.catalog.feeds : "poll-${name}" => {
      description      = "Fetches ${name} for ${feed.stream}"
      schedule         = "* * * * *"
      uri              = "${local.uri["poller"]}/poll?feed=${name}"
      caller           = module.identity.caller["poller"].email
      audience         = local.audience["poller"]
      deadline_seconds = 60
      paused           = var.schedules.feeds_paused
    }
  }
}

module "schedule" {
  source = "../schedule"

  project  = var.project
  region   = var.region
  prefix   = var.prefix
  paused   = var.schedules.paused
  triggers = merge(local.compact_triggers, local.merge_triggers, local.janitor_trigger, local.feed_triggers)

  queues = local.has_feeds ? {
    feeds = {
      enqueuer  = module.identity.member["poller"]
      caller_id = module.identity.caller["poller"].id
    }
  } : {}

  depends_on = [google_project_service.this]
}

# The closed account of each stream, from the archive and the tables alone: a day of it, which ended when everything of it was
# long archived.
module "audit" {
  source   = "../job"
  for_each = var.audit == null ? {} : module.catalog.streams

  project         = var.project
  region          = var.region
  name            = "${var.prefix}-audit-${each.key}"
  image           = var.audit.image
  args            = ["audit", "--json", "--stream", each.key, "--project", var.project, "--bucket", module.archive.bucket, "--from", var.audit.from, "--to", var.audit.to]
  env             = { PIPAS_CATALOG = "/etc/pipas/pipas.yaml" }
  service_account = module.identity.email["audit"]
  schedule        = var.audit.schedule
  cpu             = var.audit.cpu
  memory          = var.audit.memory
  timeout_seconds = var.audit.timeout_seconds

  binary_authorization = var.binary_authorization
  network              = local.is_closed ? module.network.network : null
  subnetwork           = local.is_closed ? module.network.subnetwork : null
  kms_key              = local.kms_key
  labels               = merge(var.labels, { function = "audit" })

  caller = {
    email  = google_service_account.auditor[0].email
    member = google_service_account.auditor[0].member
  }

  depends_on = [google_project_service.this, google_binary_authorization_policy.this]
}

# Who starts the audits, and nothing else.
resource "google_service_account" "auditor" {
  count = var.audit == null ? 0 : 1

  project      = var.project
  account_id   = "${var.prefix}-start-audit"
  display_name = "Pipas: starts audits"

  depends_on = [google_project_service.this]
}

locals {
  auditors = var.audit == null ? {} : { audit = module.identity.member["audit"] }
}
