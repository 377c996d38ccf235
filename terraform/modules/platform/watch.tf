# Who is told what, what it may cost, and how it is reached from outside.

module "observability" {
  source = "../observability"

  project           = var.project
  prefix            = var.prefix
  emails            = var.emails
  channels          = var.channels
  services          = { receiver = local.name["receiver"], loader = local.name["loader"] }
  max_instances     = { for function in local.deployed : local.name[function] => local.sizes[function].max }
  quotas            = module.catalog.quotas
  audit_jobs        = var.audit == null ? null : "${var.prefix}-audit-.+"
  uptime_host       = var.uptime_check ? coalesce(try(var.edge.domain, null), trimprefix(local.uri["receiver"], "https://")) : null
  uptime_with_token = !var.is_public
  thresholds        = var.thresholds
  objectives        = var.objectives
  labels            = var.labels

  depends_on = [google_project_service.this]
}

module "budget" {
  count  = var.budget == null ? 0 : 1
  source = "../budget"

  billing_account = var.budget.billing_account
  project_number  = data.google_project.this.number
  name            = "Pipas in ${var.project}"
  amount          = var.budget.amount
  currency        = var.budget.currency
  topic           = var.budget.topic
  channels        = slice(module.observability.channels, 0, min(5, length(module.observability.channels)))

  depends_on = [google_project_service.this]
}

module "edge" {
  count  = var.edge == null ? 0 : 1
  source = "../edge"

  project             = var.project
  name                = var.prefix
  region              = var.region
  service             = module.function["receiver"].name
  domain              = var.edge.domain
  requests_per_minute = var.edge.requests_per_minute
  blocked_ranges      = var.edge.blocked_ranges
  labels              = var.labels

  depends_on = [google_project_service.this]
}

# The project's policy: nothing runs but images of the registries that this deployment's own come from. It is the project's only one,
# so whatever else runs in the project is bound by it too.
resource "google_binary_authorization_policy" "this" {
  count = var.binary_authorization ? 1 : 0

  project                       = var.project
  description                   = "Images of Pipas's registry alone"
  global_policy_evaluation_mode = "ENABLE"

  dynamic "admission_whitelist_patterns" {
    for_each = local.registries

    content {
      name_pattern = "${admission_whitelist_patterns.value}/*"
    }
  }

  default_admission_rule {
    evaluation_mode  = "ALWAYS_DENY"
    enforcement_mode = "ENFORCED_BLOCK_AND_AUDIT_LOG"
  }

  depends_on = [google_project_service.this]
}

locals {
  # An image's name without what follows the last slash.
  registries = toset([
    for image in concat(
      values(var.images),
      var.audit == null ? [] : [var.audit.image],
      var.telemetry.is_on ? [module.telemetry[0].image] : [],
    ) : dirname(split("@", image)[0])
  ])
}

module "perimeter" {
  count  = var.perimeter == null ? 0 : 1
  source = "../perimeter"

  access_policy  = var.perimeter.access_policy
  name           = var.prefix
  project_number = data.google_project.this.number
  is_enforced    = var.perimeter.is_enforced
  readers        = var.perimeter.readers
  operators      = var.perimeter.operators

  depends_on = [google_project_service.this]
}
