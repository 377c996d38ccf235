# A function: a Cloud Run service, who may call it, and nothing else. What it may do is granted where the things are that it
# does it to.

resource "google_cloud_run_v2_service" "this" {
  project             = var.project
  name                = var.name
  location            = var.region
  description         = var.description
  ingress             = var.ingress
  deletion_protection = var.deletion_protection
  custom_audiences    = var.audiences
  labels              = var.labels

  template {
    service_account                  = var.service_account
    timeout                          = "${var.timeout_seconds}s"
    max_instance_request_concurrency = var.concurrency
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    encryption_key                   = var.kms_key
    labels                           = var.labels

    scaling {
      min_instance_count = var.instances.min
      max_instance_count = var.instances.max
    }

    containers {
      name  = "function"
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = var.cpu, memory = var.memory }
        cpu_idle          = !var.always_cpu
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.env

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secret_env

        content {
          name = env.key

          value_source {
            secret_key_ref {
              secret  = env.value.secret
              version = env.value.version
            }
          }
        }
      }

      dynamic "volume_mounts" {
        for_each = var.secret_files

        content {
          name       = volume_mounts.key
          mount_path = volume_mounts.value.folder
        }
      }

      # Whether it has read its catalog and listens. Not /readyz: a ledger that is away must not keep instances from starting.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 30

        http_get {
          path = "/healthz"
          port = 8080
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3

        http_get {
          path = "/healthz"
          port = 8080
        }
      }
    }

    # Takes traces and metrics by OTLP and hands them on. Nothing waits for it: a function starts as soon without it.
    dynamic "containers" {
      for_each = local.collectors

      content {
        name  = "collector"
        image = containers.value.image
        args  = ["--config=/etc/otelcol-google/config.yaml"]

        resources {
          limits   = { cpu = "0.5", memory = "256Mi" }
          cpu_idle = !var.always_cpu
        }

        volume_mounts {
          name       = "collector"
          mount_path = "/etc/otelcol-google"
        }
      }
    }

    dynamic "volumes" {
      for_each = local.collectors

      content {
        name = "collector"

        secret {
          secret = volumes.value.secret

          items {
            path    = "config.yaml"
            version = volumes.value.version
          }
        }
      }
    }

    dynamic "volumes" {
      for_each = var.secret_files

      content {
        name = volumes.key

        secret {
          secret = volumes.value.secret

          items {
            path    = volumes.value.file
            version = volumes.value.version
          }
        }
      }
    }

    dynamic "vpc_access" {
      for_each = var.subnetwork == null ? [] : [var.subnetwork]

      content {
        egress = var.sends_all ? "ALL_TRAFFIC" : "PRIVATE_RANGES_ONLY"

        network_interfaces {
          network    = var.network
          subnetwork = vpc_access.value
          tags       = var.tags
        }
      }
    }
  }

  traffic {
    type    = var.revision == null ? "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST" : "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
    percent = 100

    # A revision of before, to go back to while a mended one is built.
    revision = var.revision
  }

  dynamic "binary_authorization" {
    for_each = var.binary_authorization ? [true] : []

    content {
      use_default = binary_authorization.value
    }
  }

  lifecycle {
    # Set by whoever deploys with another tool.
    ignore_changes = [client, client_version]
  }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.invokers

  project  = var.project
  location = google_cloud_run_v2_service.this.location
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = each.value
}

locals {
  collectors = var.collector == null ? [] : [var.collector]

  telemetry_env = var.collector == null ? {} : {
    OTEL_EXPORTER_OTLP_ENDPOINT = "http://localhost:4318"
    OTEL_SERVICE_NAME           = var.name
    OTEL_TRACES_SAMPLER         = "parentbased_traceidratio"
    OTEL_TRACES_SAMPLER_ARG     = tostring(var.trace_share)
  }

  env = merge(local.telemetry_env, var.env)
}
