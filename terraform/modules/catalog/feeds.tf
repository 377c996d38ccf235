# The documents that the poller fetches.

locals {
  seconds = { s = 1, m = 60, h = 3600, d = 86400 }

  feeds = merge([
    for stream_name, stream in local.document.streams : {
      for name, feed in try(coalesce(stream.feeds), {}) : name => {
        stream        = stream_name
        every_seconds = tonumber(substr(feed.every, 0, length(feed.every) - 1)) * local.seconds[substr(feed.every, length(feed.every) - 1, 1)]

        # The variables that have what the catalog does not say: secrets, and what differs between deployments.
        variables = compact(concat(
          [try(feed.url.env, null)],
          [for header in try(values(feed.headers), []) : try(header.env, null)],
        ))
      }
    }
  ]...)
}
