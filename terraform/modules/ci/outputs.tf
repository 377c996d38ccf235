output "plan_account" {
  description = "The account that checks, builds and plans."
  value = {
    email  = google_service_account.plan.email
    member = google_service_account.plan.member
  }
}

output "apply_account" {
  description = "The account that applies."
  value = {
    email  = google_service_account.apply.email
    member = google_service_account.apply.member
  }
}
