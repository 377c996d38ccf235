# A perimeter of VPC Service Controls around the project: what keeps data answers only to what is inside, and to those named
# here. It begins as a dry run, which only logs what it would refuse. What is inside is the project's networks, so functions send
# everything through theirs: see the module `network`.

locals {
  resources  = ["projects/${var.project_number}"]
  identities = sort(distinct(concat(values(var.readers), values(var.operators))))
}

resource "google_access_context_manager_service_perimeter" "this" {
  parent                    = "accessPolicies/${var.access_policy}"
  name                      = "accessPolicies/${var.access_policy}/servicePerimeters/${replace(var.name, "-", "_")}"
  title                     = var.name
  use_explicit_dry_run_spec = !var.is_enforced

  dynamic "status" {
    for_each = var.is_enforced ? [local.resources] : []

    content {
      resources           = status.value
      restricted_services = var.services

      dynamic "ingress_policies" {
        for_each = length(local.identities) > 0 ? [local.identities] : []

        content {
          title = "Who is let in"

          ingress_from {
            identities = ingress_policies.value

            sources {
              access_level = "*"
            }
          }

          ingress_to {
            resources = local.resources

            dynamic "operations" {
              for_each = toset(var.services)

              content {
                service_name = operations.value

                method_selectors {
                  method = "*"
                }
              }
            }
          }
        }
      }
    }
  }

  dynamic "spec" {
    for_each = var.is_enforced ? [] : [local.resources]

    content {
      resources           = spec.value
      restricted_services = var.services

      dynamic "ingress_policies" {
        for_each = length(local.identities) > 0 ? [local.identities] : []

        content {
          title = "Who is let in"

          ingress_from {
            identities = ingress_policies.value

            sources {
              access_level = "*"
            }
          }

          ingress_to {
            resources = local.resources

            dynamic "operations" {
              for_each = toset(var.services)

              content {
                service_name = operations.value

                method_selectors {
                  method = "*"
                }
              }
            }
          }
        }
      }
    }
  }
}
