output "streams" {
  description = "The streams by name: the topic, its subscriptions, whether they are ordered, and its feeds."
  value       = local.streams

  precondition {
    condition     = length(setintersection(["true", "false"], concat(keys(local.streams), flatten([for stream in local.streams : keys(stream.subscriptions)])))) == 0
    error_message = "Write streams and subscriptions that are named yes, no, on or off in quotation marks."
  }
}

output "datasets" {
  description = "The datasets of all tables and views."
  value       = local.datasets
}

output "tables" {
  description = "The tables by `dataset.table`, that of the dead letters among them, with their whole schemas as JSON."
  value       = local.tables

  precondition {
    condition     = length(local.misread) == 0
    error_message = "Write columns that are named y, n, yes, no, on or off in quotation marks, in `key`, `cluster` and `partition` of: ${join(", ", local.misread)}."
  }
}

output "views" {
  description = "The views by `dataset.view`: the catalog's, and those of unique rows."
  value       = local.views
}

output "quotas" {
  description = "How much of BigQuery's quotas the loaders may use."
  value = {
    share                        = try(coalesce(local.document.quotas.share), 0.8)
    create_write_stream_per_hour = try(coalesce(local.document.quotas.create_write_stream_per_hour), 10000)
    connections                  = try(coalesce(local.document.quotas.connections), 1000)
    throughput_bytes_per_second  = try(coalesce(local.document.quotas.throughput_bytes_per_second), 300000000)
  }
}

output "archive" {
  description = "How long one run of the compactor may take, and whether objects lie where BigQuery finds their partitions."
  value = {
    max_seconds = try(coalesce(local.document.archive.compact.max_seconds), 240)
    is_hive     = try(coalesce(local.document.archive.layout), local.hive) == local.hive
  }
}

output "has_registry" {
  description = "Whether write streams are registered in a bucket."
  value       = try(coalesce(local.document.registry), "storage") == "storage"
}

output "hashes" {
  description = "Whether a column is masked by a hash, so that the loaders need a key."
  value       = local.hashes
}

output "feeds" {
  description = "The feeds by name: the stream, how often it is fetched, and the environment variables that it needs."
  value       = local.feeds
}
