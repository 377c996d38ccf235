output "topic" {
  description = "The topic's full name."
  value       = google_pubsub_topic.events.id
}

output "subscriptions" {
  description = "The ids of the subscriptions, by what they feed."
  value = {
    loader      = google_pubsub_subscription.loader.name
    archive     = google_pubsub_subscription.archive.name
    dead_letter = google_pubsub_subscription.dead_letter.name
  }
}

output "further_subscriptions" {
  description = "The ids of the subscriptions that are not Pipas' own, by their names in the catalog."
  value       = { for name, subscription in google_pubsub_subscription.further : name => subscription.name }
}

output "dead_letter_topic" {
  description = "The full name of the topic of messages whose deliveries are used up."
  value       = google_pubsub_topic.dead_letter.id
}
