# Pipas for real: what it is given here is in terraform.tfvars, and everything optional is off until it is named there.

module "pipas" {
  source = "../../modules/platform"

  project               = var.project
  region                = var.region
  location              = var.location
  prefix                = var.prefix
  catalog_file          = "${path.module}/../../../pipas.yaml"
  images                = var.images
  functions             = var.functions
  producers             = var.producers
  is_public             = var.is_public
  operators             = var.operators
  readers               = var.readers
  mask_key              = var.mask_key
  subscribers           = var.subscribers
  feed_secrets          = var.feed_secrets
  ledger                = var.ledger
  archive               = var.archive
  subscriptions         = var.subscriptions
  network               = var.network
  schedules             = var.schedules
  telemetry             = merge(var.telemetry, { collector_image = try(coalesce(var.telemetry.collector_image, var.collector_image), null) })
  message_regions       = [var.region]
  audit                 = var.audit_image == null ? null : merge(var.audit, { image = var.audit_image })
  emails                = var.emails
  channels              = var.channels
  thresholds            = var.thresholds
  objectives            = var.objectives
  uptime_check          = var.uptime_check
  edge                  = var.edge
  perimeter             = var.perimeter
  cmek                  = var.cmek
  budget                = var.budget
  storage_billing_model = var.storage_billing_model
  binary_authorization  = var.binary_authorization
  deletion_protection   = true
  labels                = { app = "pipas", env = "prod" }
}
