output "budget" {
  description = "The budget's id."
  value       = google_billing_budget.this.id
}
