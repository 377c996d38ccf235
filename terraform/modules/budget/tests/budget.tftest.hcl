mock_provider "google" {}

variables {
  billing_account = "000000-000000-000000"
  project_number  = "456"
  name            = "Pipas"
  amount          = 100
  channels        = ["projects/p/notificationChannels/1"]
}

run "people_are_told_before_the_month_is_over" {
  command = plan

  assert {
    condition     = google_billing_budget.this.budget_filter[0].projects == toset(["projects/456"]) && google_billing_budget.this.amount[0].specified_amount[0].units == "100"
    error_message = "It is this project's."
  }

  assert {
    condition     = [for rule in google_billing_budget.this.threshold_rules : rule.threshold_percent if rule.spend_basis == "FORECASTED_SPEND"] == [1] && length(google_billing_budget.this.threshold_rules) == 4
    error_message = "A forecast counts too."
  }

  assert {
    condition     = google_billing_budget.this.all_updates_rule[0].pubsub_topic == null && google_billing_budget.this.all_updates_rule[0].disable_default_iam_recipients
    error_message = "Those who are named are told, by channels alone."
  }
}

run "programs_are_told_by_a_topic" {
  command = plan

  variables {
    topic = "projects/p/topics/cost"
  }

  assert {
    condition     = google_billing_budget.this.all_updates_rule[0].pubsub_topic == "projects/p/topics/cost" && google_billing_budget.this.all_updates_rule[0].schema_version == "1.0"
    error_message = "The topic is the budget's."
  }
}
