# One service account for each function, and one for each function that is called: whoever calls the loader (its push
# subscriptions, its schedule) shows a token of `caller["loader"]`, and may call nothing else.

resource "google_service_account" "function" {
  for_each = var.functions

  project      = var.project
  account_id   = "${var.prefix}-${each.key}"
  display_name = "Pipas: runs the ${each.key}"
}

resource "google_service_account" "caller" {
  for_each = var.called

  project      = var.project
  account_id   = "${var.prefix}-call-${each.key}"
  display_name = "Pipas: calls the ${each.key}"
}

# Pub/Sub signs the tokens of its pushes as the caller.
resource "google_service_account_iam_member" "pushed" {
  for_each = var.pushed

  service_account_id = google_service_account.caller[each.key].name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = var.pubsub_agent
}
