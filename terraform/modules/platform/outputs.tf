output "receiver_url" {
  description = "Where producers send events: POST {receiver_url}/v1/streams/{stream}/events."
  value       = var.edge == null ? module.function["receiver"].uri : "https://${var.edge.domain}"
}

output "replayer_url" {
  description = "Where operators start replays."
  value       = module.function["replayer"].uri
}

output "streams" {
  description = "The streams."
  value       = sort(keys(module.catalog.streams))

  precondition {
    condition     = !module.catalog.hashes || var.mask_key != null
    error_message = "The catalog masks columns by hash: name the secret with the key in `mask_key`."
  }
}

output "topics" {
  description = "The topics' full names by stream."
  value       = { for name, stream in module.stream : name => stream.topic }
}

output "archive_bucket" {
  description = "The archive's bucket."
  value       = module.archive.bucket
}

output "registry_bucket" {
  description = "The bucket of the registry of write streams."
  value       = module.ledger.registry_bucket
}

output "revisions" {
  description = "The functions' revisions: what to go back to later."
  value       = { for name, function in module.function : name => function.revision }
}

output "edge" {
  description = "The address that the domain points at, and the record by which Google sees that the domain is yours; null: there is no edge."
  value = var.edge == null ? null : {
    address    = module.edge[0].address
    dns_record = module.edge[0].dns_record
  }
}

output "dashboard" {
  description = "The dashboard's id."
  value       = module.observability.dashboard
}
