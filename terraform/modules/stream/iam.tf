# Who may do what with the stream.

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = var.publishers

  project = var.project
  topic   = google_pubsub_topic.events.name
  role    = "roles/pubsub.publisher"
  member  = each.value
}

resource "google_pubsub_subscription_iam_member" "compactor" {
  project      = var.project
  subscription = google_pubsub_subscription.archive.name
  role         = "roles/pubsub.subscriber"
  member       = var.compactor
}

resource "google_pubsub_subscription_iam_member" "subscriber" {
  for_each = merge([
    for name, members in var.subscribers : { for key, member in members : "${name}/${key}" => { name = name, member = member } }
  ]...)

  project      = var.project
  subscription = google_pubsub_subscription.further[each.value.name].name
  role         = "roles/pubsub.subscriber"
  member       = each.value.member
}

# Pub/Sub itself moves a message to the dead-letter topic: it publishes it there, and acknowledges it here.
resource "google_pubsub_topic_iam_member" "forwarder" {
  project = var.project
  topic   = google_pubsub_topic.dead_letter.name
  role    = "roles/pubsub.publisher"
  member  = var.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "forwarder" {
  project      = var.project
  subscription = google_pubsub_subscription.loader.name
  role         = "roles/pubsub.subscriber"
  member       = var.pubsub_agent
}
