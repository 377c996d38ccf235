# What Terraform makes of a catalog, without any provider: for the test that compares it with what `pipas up` makes.

variable "file" {
  description = "The path of pipas.yaml."
  type        = string
}

module "catalog" {
  source = "../../modules/catalog"
  file   = var.file
}

output "plan" {
  description = "Everything that the catalog declares."
  value = {
    streams  = module.catalog.streams
    datasets = module.catalog.datasets
    tables   = module.catalog.tables
    views    = module.catalog.views
    quotas   = module.catalog.quotas
  }
}

terraform {
  required_version = ">= 1.11"
}
