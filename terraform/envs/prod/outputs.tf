output "receiver_url" {
  description = "Where producers send events: POST {receiver_url}/v1/streams/{stream}/events."
  value       = module.pipas.receiver_url
}

output "replayer_url" {
  description = "Where operators start replays."
  value       = module.pipas.replayer_url
}

output "streams" {
  description = "The streams."
  value       = module.pipas.streams
}

output "archive_bucket" {
  description = "The archive's bucket."
  value       = module.pipas.archive_bucket
}

output "registry_bucket" {
  description = "The bucket of the registry of write streams."
  value       = module.pipas.registry_bucket
}

output "revisions" {
  description = "The functions' revisions: what to go back to later."
  value       = module.pipas.revisions
}

output "edge" {
  description = "The address that the domain points at, and the record by which Google sees that the domain is yours; null: there is no edge."
  value       = module.pipas.edge
}
