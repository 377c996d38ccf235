mock_provider "google" {}

variables {
  project      = "my-project"
  prefix       = "pipas"
  functions    = ["receiver", "loader", "replayer"]
  called       = ["loader", "replayer"]
  pushed       = ["loader"]
  pubsub_agent = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
}

run "each_function_is_somebody_and_is_called_by_somebody" {
  command = plan

  assert {
    condition     = { for name, account in google_service_account.function : name => account.account_id } == { receiver = "pipas-receiver", loader = "pipas-loader", replayer = "pipas-replayer" }
    error_message = "Each runs as an account of its own."
  }

  assert {
    condition     = { for name, account in google_service_account.caller : name => account.account_id } == { loader = "pipas-call-loader", replayer = "pipas-call-replayer" }
    error_message = "Each that is called is called by an account of its own."
  }
}

run "pubsub_signs_for_those_that_it_pushes_to" {
  command = plan

  assert {
    condition     = { for name, grant in google_service_account_iam_member.pushed : name => "${grant.role} ${grant.member}" } == { loader = "roles/iam.serviceAccountOpenIdTokenCreator ${var.pubsub_agent}" }
    error_message = "And for nobody else."
  }
}

run "a_prefix_leaves_room_for_the_longest_name" {
  command = plan

  variables {
    prefix = "much-too-long-a-prefix"
  }

  expect_failures = [var.prefix]
}
