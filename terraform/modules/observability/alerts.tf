# The alerts, in PromQL. Metrics of Google's have a colon in their names; the others are the functions' own.

locals {
  _run    = "monitored_resource=\"cloud_run_revision\""
  _pubsub = "monitored_resource=\"pubsub_subscription\""

  data_alerts = {
    backlog = {
      title    = "events wait to become rows"
      severity = "CRITICAL"
      duration = "300s"
      query    = <<-EOT
        max by (subscription_id) (
          pubsub_googleapis_com:subscription_oldest_unacked_message_age{${local._pubsub}, subscription_id=~".+-loader"}
        ) > ${var.thresholds.unacked_seconds}
      EOT
      meaning  = <<-EOT
        The oldest event of a stream is older than ${var.thresholds.unacked_seconds} s and no row yet. Nothing is lost: Pub/Sub keeps it for seven days.
        Look at the loader's errors, at `pipas_loader_nacks_total` by reason, and at the ledger. A backlog goes down by itself once the cause is gone.
      EOT
    }

    undelivered = {
      title    = "many events wait to become rows"
      severity = "ERROR"
      duration = "300s"
      query    = <<-EOT
        max by (subscription_id) (
          pubsub_googleapis_com:subscription_num_undelivered_messages{${local._pubsub}, subscription_id=~".+-loader"}
        ) > ${var.thresholds.undelivered}
      EOT
      meaning  = <<-EOT
        More than ${var.thresholds.undelivered} events of a stream are no rows yet: more arrive than loaders take. Look at `instances` and at `pipas_loader_nacks_total` by reason;
        raise `functions.loader.max`, after `pipas check` has said what BigQuery's connections allow.
      EOT
    }

    late = {
      title    = "events become rows late"
      severity = "WARNING"
      duration = "900s"
      query    = <<-EOT
        histogram_quantile(${var.objectives.freshness}, sum by (le, stream) (rate(pipas_loader_freshness_seconds_bucket[10m]))) > ${var.objectives.freshness_seconds}
      EOT
      meaning  = <<-EOT
        For a quarter of an hour more than ${format("%.3g", (1 - var.objectives.freshness) * 100)} % of a stream's events have taken longer than ${var.objectives.freshness_seconds} s from acceptance to row.
        The dashboard tells which part of the way takes the time: AppendRows, the ledger, or loaders that start. Where little arrives, it is the start: `functions.loader.min = 1` ends it.
      EOT
    }

    archive = {
      title    = "the compactor does not run"
      severity = "ERROR"
      duration = "300s"
      query    = <<-EOT
        max by (subscription_id) (
          pubsub_googleapis_com:subscription_oldest_unacked_message_age{${local._pubsub}, subscription_id=~".+-archive"}
        ) > ${var.thresholds.unarchived_seconds}
        or
        time() - max by (stream) (pipas_compactor_last_run_timestamp_seconds) > ${var.thresholds.unarchived_seconds}
      EOT
      meaning  = <<-EOT
        Messages of a stream have waited longer than ${var.thresholds.unarchived_seconds} s for the archive. They are kept for seven days, and then they are missing in it.
        Look at the trigger in Cloud Scheduler, and at the compactor's errors. `POST /compact?stream=…` may be run at any time.
      EOT
    }

    pushes = {
      title    = "pushes are refused"
      severity = "ERROR"
      duration = "600s"
      query    = <<-EOT
        sum by (subscription_id) (rate(pubsub_googleapis_com:subscription_push_request_count{${local._pubsub}, response_class!="ack"}[5m]))
          /
        sum by (subscription_id) (rate(pubsub_googleapis_com:subscription_push_request_count{${local._pubsub}}[5m]))
          > ${var.thresholds.refused_share}
      EOT
      meaning  = <<-EOT
        More than ${var.thresholds.refused_share * 100} % of a subscription's pushes are not acknowledged; each comes again. A loader that is full refuses with 429, and one whose ledger is away with 503: both are meant.
        `pipas_loader_nacks_total` by reason tells which. 401 and 403 are a wrong audience or service account.
      EOT
    }

    dead_letters = {
      title    = "events become dead letters"
      severity = "WARNING"
      duration = "0s"
      query    = <<-EOT
        sum by (stream) (increase(pipas_loader_deliveries_total{outcome="dead_lettered"}[10m])) > ${var.thresholds.dead_letters}
      EOT
      meaning  = <<-EOT
        Events of a stream cannot be loaded. `SELECT reason, detail, pointer, COUNT(*) FROM pipas_ops.dead_letters WHERE rejected_at > TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 HOUR) GROUP BY ALL` tells why.
        Mend the schema or the producer, then send them again.
      EOT
    }

    used_up = {
      title    = "deliveries are used up"
      severity = "CRITICAL"
      duration = "0s"
      query    = <<-EOT
        sum by (subscription_id) (increase(pubsub_googleapis_com:subscription_dead_letter_message_count{${local._pubsub}}[10m])) > 0
      EOT
      meaning  = <<-EOT
        Pub/Sub has tried a hundred times to deliver messages and has moved them to the stream's dead-letter topic, from where they become dead letters with the reason that says so. The loader was away, or refused them, for hours.
      EOT
    }

    dead_letters_wait = {
      title    = "dead letters are not taken"
      severity = "ERROR"
      duration = "600s"
      query    = <<-EOT
        max by (subscription_id) (
          pubsub_googleapis_com:subscription_oldest_unacked_message_age{${local._pubsub}, subscription_id=~".+-dead-letter"}
        ) > 1800
      EOT
      meaning  = <<-EOT
        Messages whose deliveries were used up wait to be written to `pipas_ops.dead_letters`. Look at the deadletter function's errors. After seven days they are gone from Pub/Sub; the archive has them.
      EOT
    }

    mismatch = {
      title    = "rows are not what was counted"
      severity = "CRITICAL"
      duration = "0s"
      query    = "sum(increase(pipas_loader_stream_mismatches_total[1h])) > 0"
      meaning  = <<-EOT
        The janitor found a write stream of which a table shows another number of rows than its fence counted: an event may be missing or doubled. Run `pipas audit` for the stream and the hours in question, and keep the logs.
      EOT
    }

    alarm = {
      title    = "the protocol met what cannot happen"
      severity = "CRITICAL"
      duration = "0s"
      query    = "sum(increase(pipas_loader_alarms_total[10m])) > 0"
      meaning  = <<-EOT
        The loader met something that cannot happen while the promise's assumptions hold, and stopped before it could do harm. Its error in the log names it. Run `pipas audit`.
      EOT
    }

    appends = {
      title    = "BigQuery refuses rows"
      severity = "ERROR"
      duration = "600s"
      query    = <<-EOT
        sum(rate(pipas_append_requests_total{outcome!="ok"}[5m])) / sum(rate(pipas_append_requests_total[5m])) > ${var.thresholds.append_errors_share}
      EOT
      meaning  = <<-EOT
        More than ${var.thresholds.append_errors_share * 100} % of AppendRows requests do not end well. The label `outcome` tells why: `resource_exhausted` is a quota, `stream_gone` and `ambiguous` are BigQuery's trouble, `schema_mismatch_extra_fields` is a table that was changed.
      EOT
    }
  }

  platform_alerts = {
    ledger_memory = {
      title    = "the ledger is almost full"
      severity = "CRITICAL"
      duration = "300s"
      query    = <<-EOT
        max by (instance_id) (redis_googleapis_com:stats_memory_usage_ratio{monitored_resource="redis_instance"}) > ${var.thresholds.ledger_memory_share}
      EOT
      meaning  = <<-EOT
        A full ledger refuses claims, and events wait. Raise `ledger.memory_gb`, or shorten a stream's `dedupe_window`; docs/capacity.md has the sizes.
      EOT
    }

    ledger_evicts = {
      title    = "a full ledger deletes claims"
      severity = "CRITICAL"
      duration = "0s"
      query    = "max(pipas_loader_ledger_evicts) > 0"
      meaning  = <<-EOT
        The ledger's `maxmemory-policy` is not `noeviction`: somebody changed it. Once its memory is full it forgets who claimed what, and an event may become two rows. Set it back.
      EOT
    }

    ledger_away = {
      title    = "the ledger does not answer"
      severity = "CRITICAL"
      duration = "300s"
      query    = "sum by (call) (increase(pipas_loader_ledger_unknown_total[5m])) > 0"
      meaning  = <<-EOT
        For five minutes calls of the ledger have had no answer. Events wait in Pub/Sub; nothing is lost or doubled. Look at the Memorystore instance, at its maintenance, and
        whether the loaders' instances are in the network. A wrong certificate authority shows in the loaders' log.
      EOT
    }

    ledger_connections = {
      title    = "the ledger has almost as many connections as it takes"
      severity = "WARNING"
      duration = "300s"
      query    = <<-EOT
        max by (instance_id) (redis_googleapis_com:clients_connected{monitored_resource="redis_instance"}) > ${var.thresholds.ledger_connections}
      EOT
      meaning  = "Memorystore takes 65,000 connections. A loader opens one: somebody else uses the ledger, or connections are not closed."
    }

    ledger_role = {
      title    = "the ledger failed over"
      severity = "WARNING"
      duration = "0s"
      query    = <<-EOT
        max by (instance_id) (changes(redis_googleapis_com:replication_role{monitored_resource="redis_instance"}[10m])) > 0
      EOT
      meaning  = "The ledger's replica has become its primary: a failure, a maintenance, or somebody's command. If newest claims were lost, «the ledger was made whole» follows; if it does not, none were."
    }

    ledger_failover = {
      title    = "the ledger was made whole"
      severity = "WARNING"
      duration = "0s"
      query    = "sum by (result) (increase(pipas_loader_recoveries_total[10m])) > 0"
      meaning  = <<-EOT
        The ledger failed over or came back without its newest claims, and a loader restored them from the tables (`result="done"`). Events waited meanwhile. `failed`: it is tried again; look at the loader's errors.
      EOT
    }

    degraded = {
      title    = "the ledger is not whole for a table"
      severity = "ERROR"
      duration = "120s"
      query    = "max(pipas_loader_degraded_tables) > 0"
      meaning  = <<-EOT
        After a loss of claims a table could not be read in time, so that the ledger does not know its rows. Its events wait in Pub/Sub, or are written without claims where the stream says `on_ledger_loss: append`; the other tables go on. The loader's errors name the table and the reason; a loader tries again each half minute.
      EOT
    }

    unclaimed = {
      title    = "rows are written without claims"
      severity = "ERROR"
      duration = "0s"
      query    = "sum by (stream) (increase(pipas_loader_unclaimed_total[10m])) > 0"
      meaning  = <<-EOT
        The ledger is away, and the stream says `on_ledger_loss: append`: its events are written in time, and perhaps twice. The views `<table>_unique` show each once.
      EOT
    }

    braked = {
      title    = "loaders hold back for a quota"
      severity = "WARNING"
      duration = "300s"
      query    = "sum by (quota) (increase(pipas_loader_braked_total[10m])) > 0"
      meaning  = <<-EOT
        The loaders have used their share (${var.quotas.share * 100} %) of a quota of BigQuery's and hold back, so that events come later: `create_write_stream`, `connections` or `throughput`. Ask Google for more, and write the new figure into `quotas` of pipas.yaml.
      EOT
    }

    write_streams = {
      title    = "the write streams of the hour are almost used up"
      severity = "WARNING"
      duration = "300s"
      query    = <<-EOT
        sum(increase(pipas_loader_write_streams_total[1h])) / max(pipas_loader_quota_limit{quota="create_write_stream"}) > ${var.thresholds.quota_share}
      EOT
      meaning  = "Loaders create almost as many write streams as BigQuery allows in an hour. Loaders that start and stop often, or fences, do that: see `pipas_loader_fences_total` and `pipas_loader_rotations_total`. Raise `functions.loader.min`, or ask Google for more and write it into `quotas` of pipas.yaml."
    }

    connections = {
      title    = "the connections to the Storage Write API are almost used up"
      severity = "WARNING"
      duration = "300s"
      query    = <<-EOT
        sum(pipas_append_connections) / max(pipas_loader_quota_limit{quota="connections"}) > ${var.thresholds.quota_share}
      EOT
      meaning  = "Each loader opens a connection for each table that it writes to. Ask Google for more and write it into `quotas` of pipas.yaml, or let fewer loaders run."
    }

    throughput = {
      title    = "the throughput of the Storage Write API is almost used up"
      severity = "WARNING"
      duration = "300s"
      query    = <<-EOT
        sum(rate(pipas_append_bytes_total[5m])) / max(pipas_loader_quota_limit{quota="throughput"}) > ${var.thresholds.quota_share}
      EOT
      meaning  = "More rows are appended than BigQuery takes for long. Ask Google for more and write it into `quotas` of pipas.yaml; `US` and `EU` have ten times a region's."
    }

    quota = {
      title    = "a quota is used up"
      severity = "CRITICAL"
      duration = "0s"
      query    = <<-EOT
        sum by (service, quota_metric, limit_name) (
          increase(serviceruntime_googleapis_com:quota_exceeded{monitored_resource="consumer_quota", service=~"(bigquerystorage|bigquery|pubsub|run|cloudtasks)\\.googleapis\\.com"}[10m])
        ) > 0
      EOT
      meaning  = "Google refuses calls of this project because a quota is used up. Ask for more under IAM & Admin, Quotas; docs/deploy.md says which is met at what rate."
    }

    edge_errors = {
      title    = "the receiver fails"
      severity = "CRITICAL"
      duration = "300s"
      query    = <<-EOT
        sum(rate(run_googleapis_com:request_count{${local._run}, service_name="${var.services.receiver}", response_code_class="5xx"}[5m]))
          /
        sum(rate(run_googleapis_com:request_count{${local._run}, service_name="${var.services.receiver}"}[5m]))
          > ${var.thresholds.edge_errors_share}
      EOT
      meaning  = <<-EOT
        More than ${var.thresholds.edge_errors_share * 100} % of the producers' requests are answered with 5xx. They are told to send again, and an `Idempotency-Key` makes that harmless. Look at Pub/Sub first.
      EOT
    }

    instances = {
      title    = "a function has almost as many instances as it may"
      severity = "WARNING"
      duration = "600s"
      query = join("\nor\n", [
        for name, most in var.max_instances :
        "sum(run_googleapis_com:container_instance_count{${local._run}, service_name=\"${name}\", state=\"active\"}) > ${floor(0.8 * most)}"
      ])
      meaning = "More than four fifths of the instances that a function may have are at work. Raise `instances.max`; for the loader see first what `pipas check` says of BigQuery's connections."
    }

    triggers = {
      title    = "a trigger fails"
      severity = "ERROR"
      duration = "0s"
      query    = "sum by (job) (increase(logging_googleapis_com:user_${replace(var.prefix, "-", "_")}_failed_triggers{monitored_resource=\"cloud_scheduler_job\"}[30m])) > 2"
      meaning  = "Cloud Scheduler called a function in vain, more than twice in half an hour. Its log says what the answer was."
    }

    errors = {
      title    = "functions log errors"
      severity = "WARNING"
      duration = "0s"
      query    = "sum by (service) (increase(logging_googleapis_com:user_${replace(var.prefix, "-", "_")}_errors{monitored_resource=\"cloud_run_revision\"}[10m])) > 0"
      meaning  = "A function logged an error, which is always meant for people: what needs nobody is a warning."
    }
  }

  audit_alerts = var.audit_jobs == null ? {} : {
    audit = {
      title    = "an audit does not close"
      severity = "CRITICAL"
      duration = "0s"
      query    = <<-EOT
        sum by (job_name) (increase(run_googleapis_com:job_completed_execution_count{monitored_resource="cloud_run_job", job_name=~"${var.audit_jobs}", result="failed"}[1h])) > 0
      EOT
      meaning  = "`pipas audit` found events that are missing or doubled, or could not look. Its log has the account as a line of JSON with `\"closed\": false` and up to ten of each, or says why it could not."
    }
  }

  alerts = merge(local.data_alerts, local.platform_alerts, local.audit_alerts)
}
