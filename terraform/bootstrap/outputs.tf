output "state_bucket" {
  description = "The bucket of Terraform's state: terraform init -backend-config=bucket=…"
  value       = google_storage_bucket.state.name
}

output "plans_bucket" {
  description = "The bucket of the plans that wait to be applied."
  value       = google_storage_bucket.plans.name
}

output "registry" {
  description = "What an image's name begins with: scripts/build-containers REGISTRY TAG."
  value       = module.registry.url
}
