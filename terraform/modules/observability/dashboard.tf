# One dashboard, the data's freshness first.

locals {
  tiles = [
    {
      title = "From acceptance to row, p50 and p99 (s)"
      lines = {
        "p50" = "histogram_quantile(0.5, sum by (le) (rate(pipas_loader_freshness_seconds_bucket[5m])))"
        "p99" = "histogram_quantile(0.99, sum by (le) (rate(pipas_loader_freshness_seconds_bucket[5m])))"
      }
    },
    {
      title = "Oldest event that is no row yet (s)"
      lines = {
        "age" = "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age{monitored_resource=\"pubsub_subscription\", subscription_id=~\".+-loader\"})"
      }
    },
    {
      title = "Events received (1/s)"
      lines = {
        "events" = "sum by (stream, result) (rate(pipas_receiver_events_total[5m]))"
      }
    },
    {
      title = "What became of deliveries (1/s)"
      lines = {
        "deliveries" = "sum by (stream, outcome) (rate(pipas_loader_deliveries_total[5m]))"
      }
    },
    {
      title = "Dead letters, by hour"
      lines = {
        "dead letters" = "sum by (stream) (increase(pipas_loader_deliveries_total{outcome=\"dead_lettered\"}[1h]))"
      }
    },
    {
      title = "Pushes that were not acked, by reason (1/s)"
      lines = {
        "nacks" = "sum by (reason) (rate(pipas_loader_nacks_total[5m]))"
      }
    },
    {
      title = "Receiver: answers by class (1/s)"
      lines = {
        "answers" = "sum by (response_code_class) (rate(run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\", service_name=\"${var.services.receiver}\"}[5m]))"
      }
    },
    {
      title = "Receiver: p99 of answers (ms)"
      lines = {
        "p99" = "histogram_quantile(0.99, sum by (le) (rate(run_googleapis_com:request_latencies_bucket{monitored_resource=\"cloud_run_revision\", service_name=\"${var.services.receiver}\"}[5m])))"
      }
    },
    {
      title = "AppendRows: answers by outcome (1/s)"
      lines = {
        "appends" = "sum by (outcome) (rate(pipas_append_requests_total[5m]))"
      }
    },
    {
      title = "AppendRows: p99 (s)"
      lines = {
        "p99" = "histogram_quantile(0.99, sum by (le) (rate(pipas_append_duration_seconds_bucket[5m])))"
      }
    },
    {
      title = "Rows of a request, on average"
      lines = {
        "rows" = "sum(rate(pipas_loader_request_rows_sum[5m])) / sum(rate(pipas_loader_request_rows_count[5m]))"
      }
    },
    {
      title = "BigQuery's quotas: the share that is used"
      lines = {
        "write streams of an hour" = "sum(increase(pipas_loader_write_streams_total[1h])) / max(pipas_loader_quota_limit{quota=\"create_write_stream\"})"
        "connections"              = "sum(pipas_append_connections) / max(pipas_loader_quota_limit{quota=\"connections\"})"
        "throughput"               = "sum(rate(pipas_append_bytes_total[5m])) / max(pipas_loader_quota_limit{quota=\"throughput\"})"
      }
    },
    {
      title = "Ledger: memory"
      lines = {
        "used" = "max(redis_googleapis_com:stats_memory_usage_ratio{monitored_resource=\"redis_instance\"})"
      }
    },
    {
      title = "Ledger: p99 of calls (s)"
      lines = {
        "p99" = "histogram_quantile(0.99, sum by (le, call) (rate(pipas_loader_ledger_duration_seconds_bucket[5m])))"
      }
    },
    {
      title = "Ledger: generation, recoveries by hour"
      lines = {
        "generation" = "max(pipas_loader_generation)"
        "recoveries" = "sum(increase(pipas_loader_recoveries_total[1h]))"
      }
    },
    {
      title = "Fences of write streams, by hour"
      lines = {
        "fences" = "sum by (owner, result) (increase(pipas_loader_fences_total[1h]))"
      }
    },
    {
      title = "Oldest message that is not archived yet (s)"
      lines = {
        "age" = "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age{monitored_resource=\"pubsub_subscription\", subscription_id=~\".+-archive\"})"
      }
    },
    {
      title = "Archived (B/s)"
      lines = {
        "messages" = "sum by (stream) (rate(pipas_compactor_message_bytes_total[15m]))"
        "objects"  = "sum by (stream) (rate(pipas_compactor_object_bytes_total[15m]))"
      }
    },
    {
      title = "Instances"
      lines = {
        "instances" = "sum by (service_name) (run_googleapis_com:container_instance_count{monitored_resource=\"cloud_run_revision\", service_name=~\"${var.prefix}-.*\"})"
      }
    },
    {
      title = "Quotas that were used up, by hour"
      lines = {
        "exceeded" = "sum by (service, quota_metric) (increase(serviceruntime_googleapis_com:quota_exceeded{monitored_resource=\"consumer_quota\"}[1h]))"
      }
    },
  ]

  columns = 48
  width   = 24
  height  = 16
}

resource "google_monitoring_dashboard" "this" {
  project = var.project

  dashboard_json = jsonencode({
    displayName = "Pipas"
    labels      = { pipas = "" }
    mosaicLayout = {
      columns = local.columns
      tiles = [
        for at, tile in local.tiles : {
          xPos   = (at % 2) * local.width
          yPos   = floor(at / 2) * local.height
          width  = local.width
          height = local.height
          widget = {
            title = tile.title
            xyChart = {
              dataSets = [
                for legend, query in tile.lines : {
                  plotType       = "LINE"
                  targetAxis     = "Y1"
                  legendTemplate = length(tile.lines) > 1 ? legend : ""
                  timeSeriesQuery = {
                    prometheusQuery = query
                  }
                }
              ]
              yAxis = { scale = "LINEAR" }
            }
          }
        }
      ]
    }
  })
}
