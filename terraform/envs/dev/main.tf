# Pipas for trying things: small, without a replica, and deleted as easily as it is made.

module "pipas" {
  source = "../../modules/platform"

  project             = var.project
  region              = var.region
  prefix              = var.prefix
  catalog_file        = "${path.module}/../../../pipas.yaml"
  images              = var.images
  producers           = var.producers
  operators           = var.producers
  readers             = var.readers
  emails              = var.emails
  schedules           = var.schedules
  telemetry           = merge(var.telemetry, { collector_image = try(coalesce(var.telemetry.collector_image, var.collector_image), null) })
  mask_key            = var.mask_key
  ledger              = { memory_gb = 1, has_replica = false }
  archive             = { delete_after_days = 30, versioning = false }
  functions           = { loader = { max = 2 }, receiver = { max = 2 } }
  deletion_protection = false
  labels              = { app = "pipas", env = "dev" }
}
