mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}

mock_provider "google-beta" {
  mock_resource "google_project_service_identity" {
    defaults = { member = "serviceAccount:service-123456789012@gcp-sa.iam.gserviceaccount.com" }
  }
}

variables {
  project      = "my-project"
  region       = "europe-west1"
  catalog_file = "../../../pipas.yaml"
  ledger       = { memory_gb = 1 }

  images = {
    receiver   = "r/receiver@sha256:1111111111111111111111111111111111111111111111111111111111111111"
    loader     = "r/loader@sha256:2222222222222222222222222222222222222222222222222222222222222222"
    compactor  = "r/compactor@sha256:3333333333333333333333333333333333333333333333333333333333333333"
    deadletter = "r/deadletter@sha256:4444444444444444444444444444444444444444444444444444444444444444"
    replayer   = "r/replayer@sha256:5555555555555555555555555555555555555555555555555555555555555555"
    poller     = "r/poller@sha256:6666666666666666666666666666666666666666666666666666666666666666"
  }
}

run "the_catalog_is_made" {
  command = apply

  assert {
    condition     = toset(keys(module.stream)) == toset(keys(module.catalog.streams))
    error_message = "Each stream of the catalog is made."
  }

  assert {
    condition     = toset(keys(module.warehouse.tables)) == toset(keys(module.catalog.tables)) && toset(keys(module.warehouse.views)) == toset(keys(module.catalog.views))
    error_message = "Each table and view of the catalog is made."
  }

  assert {
    condition     = alltrue([for name, stream in module.stream : stream.subscriptions == { loader = "${name}-loader", archive = "${name}-archive", dead_letter = "${name}-dead-letter" }])
    error_message = "Each stream has its three subscriptions."
  }

  assert {
    condition     = toset(keys(module.schedule.triggers)) == toset(concat(["janitor"], flatten([for name in keys(module.catalog.streams) : ["compact-${name}", "merge-${name}"]])))
    error_message = "Each stream is archived and merged, and the janitor runs."
  }
}

run "nobody_is_let_in_who_is_not_named" {
  command = apply

  assert {
    condition     = alltrue([for members in values(local.invokers) : !contains(values(members), "allUsers")])
    error_message = "Nothing is open to everyone."
  }

  assert {
    condition     = length(local.invokers["receiver"]) == 0 && alltrue([for function in local.called : join(",", keys(local.invokers[function])) == "caller"])
    error_message = "Producers are named, or there are none; every other function has one caller."
  }

  assert {
    condition     = length(distinct(values(module.identity.email))) == length(local.deployed)
    error_message = "Each function has an account of its own."
  }

  assert {
    condition     = local.env["loader"]["PIPAS_PUSH_AUDIENCE"] == "pipas-loader" && local.env["loader"]["PIPAS_PUSH_SERVICE_ACCOUNT"] == module.identity.caller["loader"].email
    error_message = "The loader takes the tokens of its caller, for itself."
  }
}

run "everyone_may_send_behind_an_edge" {
  command = apply

  variables {
    is_public = true
    edge      = { domain = "events.example.com" }
  }

  assert {
    condition     = [for function, members in local.invokers : function if contains(values(members), "allUsers")] == ["receiver"]
    error_message = "Only the receiver is open to everyone."
  }

  assert {
    condition     = output.receiver_url == "https://events.example.com" && output.edge != null
    error_message = "Producers use the domain."
  }
}

run "everything_that_is_optional" {
  command = apply

  variables {
    audit        = { image = "r/pipas@sha256:7777777777777777777777777777777777777777777777777777777777777777", cpu = "2", memory = "8Gi" }
    archive      = { replica_location = "europe-west4" }
    budget       = { billing_account = "000000-000000-000000", amount = 100 }
    perimeter    = { access_policy = "123", readers = { shop = "serviceAccount:shop@example" } }
    uptime_check = true
    emails       = ["on-call@example.com"]
    operators    = { on-call = "group:on-call@example.com" }
  }

  assert {
    condition     = toset(keys(module.audit)) == toset(keys(module.catalog.streams))
    error_message = "Each stream is audited."
  }

  assert {
    condition     = length(module.perimeter) == 1 && length(module.budget) == 1 && toset(local.networked) == local.deployed
    error_message = "What is asked for is made, and within a perimeter every function is in the network."
  }

  assert {
    condition     = local.invokers["receiver"] == { uptime = google_project_service_identity.agent["monitoring.googleapis.com"].member }
    error_message = "Cloud Monitoring's agent is made before it is let in."
  }
}

run "an_audit_has_the_processors_that_its_memory_needs" {
  command = plan

  variables {
    audit = { image = "r/pipas@sha256:7777777777777777777777777777777777777777777777777777777777777777", memory = "8Gi" }
  }

  expect_failures = [var.audit]
}

run "a_policy_of_the_registry_alone" {
  command = plan

  variables {
    binary_authorization = true
    telemetry            = { collector_image = "mirror/collector@sha256:8888888888888888888888888888888888888888888888888888888888888888" }
  }

  assert {
    condition     = toset([for pattern in google_binary_authorization_policy.this[0].admission_whitelist_patterns : pattern.name_pattern]) == toset(["mirror/*", "r/*"]) && google_binary_authorization_policy.this[0].default_admission_rule[0].evaluation_mode == "ALWAYS_DENY"
    error_message = "Only what comes from the registries runs."
  }
}

# Only planned: a key cannot be destroyed, not even a test's.
run "keys_of_your_own" {
  command = plan

  variables {
    cmek = {}
  }

  assert {
    condition     = length(module.keys) == 1 && length(google_project_service_identity.agent) == length(local.encrypting_agents)
    error_message = "Every service that encrypts has an agent that may."
  }
}

run "feeds_bring_the_poller" {
  command = apply

  variables {
    catalog_file = "../catalog/tests/fixture/feeds.yaml"
    feed_secrets = { FLEET_KEY = { secret = "fleet-key", version = "1" }, FLEET_URL = { secret = "fleet-url", version = "1" } }
    mask_key     = { secret = "mask-key", version = "1" }
  }

  # What each function reads is compared with this file by a test of the functions.
  assert {
    condition     = jsonencode({ for function in local.deployed : function => sort(concat(keys(local.env[function]), keys(local.secret_env[function]))) }) == jsonencode({ for function, told in jsondecode(file("tests/told.json")) : function => sort(told) })
    error_message = "tests/told.json is what functions are told."
  }

  assert {
    condition     = contains(local.deployed, "poller") && contains(keys(module.schedule.triggers), "poll-fleet") && contains(keys(module.schedule.queues), "feeds")
    error_message = "A catalog with feeds has a poller, its triggers and its queue."
  }

  assert {
    condition     = contains(keys(local.secret_env["poller"]), "FLEET_KEY") && local.env["poller"]["PIPAS_POLLER_URL"] == "https://pipas-poller-123456789012.europe-west1.run.app"
    error_message = "The poller gets what the feeds name, and its own address."
  }

  assert {
    condition     = { for secret, grant in google_secret_manager_secret_iam_member.poller : secret => grant.role } == { fleet-key = "roles/secretmanager.secretAccessor", fleet-url = "roles/secretmanager.secretAccessor" }
    error_message = "The poller may read them."
  }
}

run "hashes_need_their_key" {
  command = plan

  variables {
    catalog_file = "../catalog/tests/fixture/subscribed.yaml"
  }

  expect_failures = [output.streams]
}

run "loaders_get_the_key_and_subscribers_their_subscription" {
  command = apply

  variables {
    catalog_file = "../catalog/tests/fixture/subscribed.yaml"
    mask_key     = { secret = "mask-key", version = "1" }
    subscribers  = { trips = { board = { screens = "serviceAccount:screens@example" } } }
  }

  assert {
    condition     = [for function, secrets in local.secret_env : function if contains(keys(secrets), "PIPAS_MASK_KEY")] == ["deadletter", "loader", "replayer"]
    error_message = "Who makes rows and dead letters has the key, and nobody else."
  }

  assert {
    condition     = toset(keys(google_secret_manager_secret_iam_member.masker)) == toset(["loader", "deadletter", "replayer"])
    error_message = "Who has the key may read it."
  }

  assert {
    condition     = module.stream["trips"].further_subscriptions == { board = "trips-board", late = "trips-late" }
    error_message = "The catalog's further subscriptions are made."
  }
}

run "more_loaders_than_connections_are_noticed" {
  command = apply

  variables {
    functions = { loader = { max = 300 } }
    network   = { functions_range = "10.8.0.0/20" }
  }

  expect_failures = [check.loaders_fit_bigquerys_connections]
}

run "keys_and_data_are_in_one_region" {
  command = plan

  variables {
    cmek     = {}
    location = "EU"
  }

  expect_failures = [var.cmek]
}
