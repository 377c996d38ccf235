# The functions: how large each is, what it is told, and who may call it.

locals {
  has_feeds = length(module.catalog.feeds) > 0

  # A catalog without feeds has no poller.
  deployed   = setsubtract(keys(local.functions), local.has_feeds ? [] : ["poller"])
  called     = setintersection(local.deployed, ["loader", "compactor", "deadletter", "replayer", "poller"])
  publishers = setintersection(local.deployed, ["receiver", "replayer", "poller"])
  accounts   = var.audit == null ? local.deployed : setunion(local.deployed, ["audit"])

  # Cloud Run's second address of a service says what it is before it is there, so nothing waits for a function in order to
  # name it. The audience is a word of our own, which each service knows as its own.
  name     = { for function in local.deployed : function => "${var.prefix}-${function}" }
  uri      = { for function in local.deployed : function => "https://${local.name[function]}-${data.google_project.this.number}.${var.region}.run.app" }
  audience = { for function in local.deployed : function => local.name[function] }

  # What Cloud Run is told of each, and what an environment may say otherwise.
  functions = {
    receiver = {
      description     = "Takes events over HTTPS"
      memory          = "1Gi"
      concurrency     = 250
      timeout_seconds = 60
      always_cpu      = false
      min             = 0
      max             = 20
      uses_ledger     = false
    }

    # A request ends before Pub/Sub's ack deadline of 60 s. Where deliveries come all the time, `always_cpu` is cheaper, and a
    # loader settles claims between requests too; where they do not, an instance that rests costs nothing.
    loader = {
      description     = "Makes each delivery one row or one dead letter"
      memory          = "1Gi"
      concurrency     = 250
      timeout_seconds = 55
      always_cpu      = false
      min             = 0
      max             = 10
      uses_ledger     = true
    }

    compactor = {
      description     = "Writes the archive"
      memory          = "1Gi"
      concurrency     = 8
      timeout_seconds = local.compact_deadline
      always_cpu      = false
      min             = 0
      max             = 4
      uses_ledger     = false
    }

    deadletter = {
      description     = "Makes a message whose deliveries are used up a dead letter"
      memory          = "1Gi"
      concurrency     = 80
      timeout_seconds = 55
      always_cpu      = false
      min             = 0
      max             = 2
      uses_ledger     = true
    }

    replayer = {
      description     = "Publishes archived events again"
      memory          = "1Gi"
      concurrency     = 4
      timeout_seconds = 3600
      always_cpu      = false
      min             = 0
      max             = 4
      uses_ledger     = false
    }

    poller = {
      description     = "Fetches feeds"
      memory          = "512Mi"
      concurrency     = 20
      timeout_seconds = 330
      always_cpu      = false
      min             = 0
      max             = 4
      uses_ledger     = false
    }
  }

  sizes = {
    for function in local.deployed : function => {
      cpu             = coalesce(try(var.functions[function].cpu, null), "1")
      memory          = coalesce(try(var.functions[function].memory, null), local.functions[function].memory)
      concurrency     = coalesce(try(var.functions[function].concurrency, null), local.functions[function].concurrency)
      timeout_seconds = coalesce(try(var.functions[function].timeout_seconds, null), local.functions[function].timeout_seconds)
      always_cpu      = coalesce(try(var.functions[function].always_cpu, null), local.functions[function].always_cpu)
      min             = coalesce(try(var.functions[function].min, null), local.functions[function].min)
      max             = coalesce(try(var.functions[function].max, null), local.functions[function].max)
      revision        = try(var.functions[function].revision, null)
    }
  }

  # The functions whose instances are in the network.
  networked = [for function in local.deployed : function if local.functions[function].uses_ledger || local.is_closed]

  # Whose tokens a function takes. The receiver takes those of everybody whom IAM lets in.
  expected_caller = {
    for function in local.called : function => {
      PIPAS_PUSH_AUDIENCE        = local.audience[function]
      PIPAS_PUSH_SERVICE_ACCOUNT = module.identity.caller[function].email
    }
  }

  ledger_env = merge(
    module.catalog.has_registry ? { PIPAS_REGISTRY_BUCKET = module.ledger.registry_bucket } : {},
    var.ledger.tls ? { PIPAS_REDIS_CA = "${local.ledger_folder}/ca.pem" } : {},
  )
  ledger_folder = "/etc/pipas-ledger"

  function_env = {
    receiver   = {}
    loader     = local.ledger_env
    deadletter = local.ledger_env
    compactor  = { PIPAS_ARCHIVE_BUCKET = module.archive.bucket }
    replayer   = { PIPAS_ARCHIVE_BUCKET = module.archive.bucket }
    poller = {
      PIPAS_REGISTRY_BUCKET = coalesce(module.ledger.registry_bucket, "none")
      PIPAS_TASKS_QUEUE     = try(module.schedule.queues["feeds"], "")
      PIPAS_POLLER_URL      = try(local.uri["poller"], "")
    }
  }

  env = {
    for function in local.deployed : function => merge(
      { GOOGLE_CLOUD_PROJECT = var.project },
      local.function_env[function],
      lookup(local.expected_caller, function, {}),
      coalesce(try(var.functions[function].env, null), {}),
    )
  }

  secret_env = {
    for function in local.deployed : function => merge(
      local.functions[function].uses_ledger ? { PIPAS_REDIS_URL = module.ledger.url_secret } : {},
      contains(local.maskers, function) ? { PIPAS_MASK_KEY = var.mask_key } : {},
      function == "poller" ? var.feed_secrets : {},
    )
  }

  # Those that make rows and dead letters, and so mask what is in them: a replay that merges makes rows too.
  maskers = var.mask_key == null ? [] : ["loader", "deadletter", "replayer"]

  # Who may call what: producers the receiver, and each caller its own function.
  invokers = {
    for function in local.deployed : function => merge(
      contains(local.called, function) ? { caller = module.identity.caller[function].member } : {},
      function == "receiver" ? var.producers : {},
      function == "receiver" && var.is_public ? { everyone = "allUsers" } : {},
      function == "receiver" && local.looks_with_token ? { uptime = google_project_service_identity.agent["monitoring.googleapis.com"].member } : {},
    )
  }

  open_ingress = var.edge == null ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
}

module "function" {
  source   = "../function"
  for_each = local.deployed

  project              = var.project
  region               = var.region
  name                 = local.name[each.key]
  description          = local.functions[each.key].description
  image                = var.images[each.key]
  service_account      = module.identity.email[each.key]
  audiences            = concat([local.audience[each.key]], each.key == "receiver" && var.edge != null ? ["https://${var.edge.domain}"] : [])
  env                  = local.env[each.key]
  secret_env           = local.secret_env[each.key]
  cpu                  = local.sizes[each.key].cpu
  memory               = local.sizes[each.key].memory
  concurrency          = local.sizes[each.key].concurrency
  timeout_seconds      = local.sizes[each.key].timeout_seconds
  always_cpu           = local.sizes[each.key].always_cpu
  instances            = { min = local.sizes[each.key].min, max = local.sizes[each.key].max }
  revision             = local.sizes[each.key].revision
  ingress              = each.key == "receiver" ? local.open_ingress : each.key == "replayer" ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_ONLY"
  invokers             = local.invokers[each.key]
  network              = contains(local.networked, each.key) ? module.network.network : null
  subnetwork           = contains(local.networked, each.key) ? module.network.subnetwork : null
  sends_all            = local.is_closed
  tags                 = each.key == "poller" ? ["pipas", module.network.feeds_tag] : ["pipas"]
  collector            = var.telemetry.is_on ? module.telemetry[0].collector : null
  trace_share          = var.telemetry.trace_share
  binary_authorization = var.binary_authorization
  deletion_protection  = var.deletion_protection
  kms_key              = local.kms_key
  labels               = merge(var.labels, { function = each.key })

  secret_files = local.functions[each.key].uses_ledger && var.ledger.tls ? {
    ledger-ca = {
      folder  = local.ledger_folder
      file    = "ca.pem"
      secret  = module.ledger.ca_secret.secret
      version = module.ledger.ca_secret.version
    }
  } : {}

  # A function that begins with a new catalog must find what the catalog declares.
  depends_on = [
    google_project_service.this,
    google_binary_authorization_policy.this,
    module.stream,
    module.warehouse,
    google_secret_manager_secret_iam_member.masker,
    google_secret_manager_secret_iam_member.poller,
  ]
}

resource "google_secret_manager_secret_iam_member" "masker" {
  for_each = toset(local.maskers)

  project   = var.project
  secret_id = var.mask_key.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = module.identity.member[each.value]
}

# A secret may be named by more than one variable.
resource "google_secret_manager_secret_iam_member" "poller" {
  for_each = local.has_feeds ? toset([for feed in values(var.feed_secrets) : feed.secret]) : []

  project   = var.project
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = module.identity.member["poller"]
}

# The replayer takes the tokens of its caller alone; operators may have them made.
resource "google_service_account_iam_member" "operator" {
  for_each = var.operators

  service_account_id = module.identity.caller["replayer"].id
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = each.value
}

# What a loader may use at once must be there.
check "loaders_fit_bigquerys_connections" {
  assert {
    condition     = local.sizes["loader"].max * length(module.catalog.tables) <= module.catalog.quotas.connections * module.catalog.quotas.share
    error_message = "${local.sizes["loader"].max} loaders with ${length(module.catalog.tables)} tables may open more connections than their share of the ${module.catalog.quotas.connections} that BigQuery gives: they will hold back. Ask Google for more and write it into `quotas`, or lower `functions.loader.max`."
  }
}

# An instance takes two addresses, and those that end keep theirs for a while.
check "instances_fit_the_subnet" {
  assert {
    condition     = 4 * sum([for function in local.networked : local.sizes[function].max]) <= pow(2, 32 - tonumber(split("/", var.network.functions_range)[1])) - 4
    error_message = "The subnet ${var.network.functions_range} is too small for so many instances."
  }
}
