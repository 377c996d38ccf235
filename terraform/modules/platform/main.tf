# Pipas, composed: what the catalog declares, the functions, and what they stand on. An environment calls this and says how
# large it is.

module "catalog" {
  source = "../catalog"
  file   = var.catalog_file
}

module "identity" {
  source = "../identity"

  project      = var.project
  prefix       = var.prefix
  functions    = local.accounts
  called       = local.called
  pushed       = ["loader", "deadletter"]
  pubsub_agent = google_project_service_identity.agent["pubsub.googleapis.com"].member

  depends_on = [google_project_service.this]
}

module "network" {
  source = "../network"

  project         = var.project
  name            = var.prefix
  region          = var.region
  functions_range = var.network.functions_range
  services_range  = var.network.services_range
  is_closed       = local.is_closed
  has_feeds       = local.has_feeds

  depends_on = [google_project_service.this]
}

module "keys" {
  count  = var.cmek == null ? 0 : 1
  source = "../keys"

  project          = coalesce(var.cmek.project, var.project)
  name             = var.prefix
  location         = var.region
  rotation_days    = var.cmek.rotation_days
  protection_level = var.cmek.protection_level
  labels           = var.labels

  agents = merge(
    { for service in local.encrypting_agents : service => google_project_service_identity.agent[service].member },
    {
      "bigquery.googleapis.com" = "serviceAccount:${data.google_bigquery_default_service_account.this[0].email}"
      "storage.googleapis.com"  = "serviceAccount:${data.google_storage_project_service_account.this[0].email_address}"
    },
  )

  depends_on = [google_project_service.this, google_project_service.keys]
}

module "ledger" {
  source = "../ledger"

  project             = var.project
  name                = "${var.prefix}-ledger"
  region              = var.region
  network             = module.network.network
  memory_gb           = var.ledger.memory_gb
  has_replica         = var.ledger.has_replica
  redis_version       = var.ledger.redis_version
  tls                 = var.ledger.tls
  maintenance         = var.ledger.maintenance
  has_registry        = module.catalog.has_registry || local.has_feeds
  registry_bucket     = "${var.project}-${var.prefix}-registry"
  registry_location   = local.location
  deletion_protection = var.deletion_protection
  kms_key             = local.kms_key
  labels              = var.labels

  users          = { for function in ["loader", "deadletter"] : function => module.identity.member[function] }
  registry_users = { for function in setintersection(local.deployed, ["loader", "deadletter", "poller"]) : function => module.identity.member[function] }

  depends_on = [google_project_service.this]
}

module "archive" {
  source = "../archive"

  project           = var.project
  name              = "${var.prefix}-archive-${var.project}"
  location          = local.location
  colder            = var.archive.colder
  delete_after_days = var.archive.delete_after_days
  versioning        = var.archive.versioning
  soft_delete_days  = var.archive.soft_delete_days
  retention_days    = var.archive.retention_days
  retention_locked  = var.archive.retention_locked
  replica_location  = var.archive.replica_location
  replica_kms_key   = var.archive.replica_kms_key
  kms_key           = local.kms_key
  labels            = var.labels

  deletion_protection = var.deletion_protection

  # A replay keeps its checkpoints beside what it reads. Operators audit.
  writers   = { compactor = module.identity.member["compactor"] }
  replayers = { replayer = module.identity.member["replayer"] }
  readers   = merge(local.auditors, var.operators)

  depends_on = [google_project_service.this]
}

module "warehouse" {
  source = "../warehouse"

  project               = var.project
  location              = local.location
  datasets              = module.catalog.datasets
  tables                = module.catalog.tables
  views                 = module.catalog.views
  streams               = keys(module.catalog.streams)
  archive_bucket        = module.archive.bucket
  archive_tables        = var.archive.tables && module.catalog.archive.is_hive
  writers               = { for function in ["loader", "deadletter", "replayer"] : function => module.identity.member[function] }
  readers               = merge(var.readers, var.operators, local.auditors)
  redrivers             = var.operators
  deletion_protection   = var.deletion_protection
  storage_billing_model = var.storage_billing_model
  kms_key               = local.kms_key
  labels                = var.labels

  depends_on = [google_project_service.this]
}

module "stream" {
  source   = "../stream"
  for_each = module.catalog.streams

  project      = var.project
  name         = each.key
  stream       = each.value
  settings     = var.subscriptions
  regions      = var.message_regions
  kms_key      = local.kms_key
  labels       = var.labels
  pubsub_agent = google_project_service_identity.agent["pubsub.googleapis.com"].member
  compactor    = module.identity.member["compactor"]
  subscribers  = lookup(var.subscribers, each.key, {})

  loader = {
    uri      = local.uri["loader"]
    audience = local.audience["loader"]
    caller   = module.identity.caller["loader"].email
  }

  deadletter = {
    uri      = local.uri["deadletter"]
    audience = local.audience["deadletter"]
    caller   = module.identity.caller["deadletter"].email
  }

  publishers = merge({ for name in local.publishers : name => module.identity.member[name] }, var.operators)

  depends_on = [google_project_service.this]
}

module "telemetry" {
  count  = var.telemetry.is_on ? 1 : 0
  source = "../telemetry"

  project   = var.project
  region    = var.region
  prefix    = var.prefix
  image     = var.telemetry.collector_image
  functions = { for name in local.deployed : name => module.identity.member[name] }
  kms_key   = local.kms_key
  labels    = var.labels

  depends_on = [google_project_service.this]
}
