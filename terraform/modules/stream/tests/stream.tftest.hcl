mock_provider "google" {}

variables {
  project      = "my-project"
  name         = "events"
  loader       = { uri = "https://loader.example", caller = "call-loader@example", audience = "pipas-loader" }
  deadletter   = { uri = "https://deadletter.example", caller = "call-deadletter@example", audience = "pipas-deadletter" }
  publishers   = { receiver = "serviceAccount:receiver@example", replayer = "serviceAccount:replayer@example" }
  compactor    = "serviceAccount:compactor@example"
  pubsub_agent = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"

  stream = {
    topic                    = "events"
    loader_subscription      = "events-loader"
    archive_subscription     = "events-archive"
    dead_letter_topic        = "events-dead-letter"
    dead_letter_subscription = "events-dead-letter"
    is_ordered               = true
    max_delivery_attempts    = 100
  }
}

run "a_stream_has_what_the_catalog_names" {
  command = plan

  assert {
    condition     = google_pubsub_topic.events.name == "events" && google_pubsub_topic.dead_letter.name == "events-dead-letter"
    error_message = "The topics have the catalog's names."
  }

  assert {
    condition = {
      loader      = google_pubsub_subscription.loader.name
      archive     = google_pubsub_subscription.archive.name
      dead_letter = google_pubsub_subscription.dead_letter.name
    } == { loader = "events-loader", archive = "events-archive", dead_letter = "events-dead-letter" }
    error_message = "The subscriptions have the catalog's names."
  }

  assert {
    condition     = google_pubsub_subscription.loader.enable_message_ordering && google_pubsub_subscription.archive.enable_message_ordering != true
    error_message = "Only the loader's subscription is ordered."
  }
}

run "further_subscriptions_are_for_those_who_are_named" {
  command = plan

  variables {
    stream = {
      topic                    = "events"
      loader_subscription      = "events-loader"
      archive_subscription     = "events-archive"
      dead_letter_topic        = "events-dead-letter"
      dead_letter_subscription = "events-dead-letter"
      is_ordered               = false
      max_delivery_attempts    = 100

      subscriptions = {
        live = { id = "events-live", filter = "", ack_deadline_seconds = 60, retention_seconds = 86400 }
      }
    }
    subscribers = { live = { board = "serviceAccount:board@example" } }
  }

  assert {
    condition     = google_pubsub_subscription.further["live"].name == "events-live" && google_pubsub_subscription.further["live"].message_retention_duration == "86400s"
    error_message = "A further subscription is what the catalog says."
  }

  assert {
    condition     = google_pubsub_subscription_iam_member.subscriber["live/board"].member == "serviceAccount:board@example" && google_pubsub_subscription_iam_member.subscriber["live/board"].role == "roles/pubsub.subscriber"
    error_message = "Who is named may pull it."
  }
}

run "deliveries_show_a_token_of_the_one_who_may_call" {
  command = plan

  assert {
    condition     = google_pubsub_subscription.loader.push_config[0].push_endpoint == "https://loader.example/push/events"
    error_message = "The loader is told the stream by the path."
  }

  assert {
    condition     = google_pubsub_subscription.loader.push_config[0].oidc_token[0].audience == "pipas-loader" && google_pubsub_subscription.loader.push_config[0].oidc_token[0].service_account_email == "call-loader@example"
    error_message = "The token is for the loader, of who may call it."
  }

  assert {
    condition     = google_pubsub_subscription.dead_letter.push_config[0].push_endpoint == "https://deadletter.example/push/events"
    error_message = "What was used up goes to the deadletter function."
  }
}

run "what_is_used_up_is_not_lost" {
  command = apply

  assert {
    condition     = google_pubsub_subscription.loader.retry_policy[0].minimum_backoff == "1s" && google_pubsub_subscription.loader.retry_policy[0].maximum_backoff == "600s" && google_pubsub_subscription.dead_letter.topic == google_pubsub_topic.dead_letter.id && length(google_pubsub_subscription.dead_letter.dead_letter_policy) == 0
    error_message = "Deliveries are tried again with pauses that grow, and dead letters until they are taken."
  }

  assert {
    condition     = google_pubsub_subscription.loader.dead_letter_policy[0].max_delivery_attempts == 100 && google_pubsub_subscription.loader.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letter.id
    error_message = "The dead-letter policy is the catalog's."
  }

  assert {
    condition     = google_pubsub_topic_iam_member.forwarder.role == "roles/pubsub.publisher" && google_pubsub_subscription_iam_member.forwarder.role == "roles/pubsub.subscriber" && google_pubsub_topic_iam_member.forwarder.member == google_pubsub_subscription_iam_member.forwarder.member
    error_message = "Pub/Sub's agent may move messages to the dead-letter topic."
  }

  assert {
    condition     = google_pubsub_subscription.loader.expiration_policy[0].ttl == "" && google_pubsub_subscription.archive.expiration_policy[0].ttl == "" && google_pubsub_subscription.dead_letter.expiration_policy[0].ttl == ""
    error_message = "No subscription expires."
  }
}
