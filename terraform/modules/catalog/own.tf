# What every deployment has, whatever its catalog says: the tables of pipas_ops.

locals {
  own_dataset = "pipas_ops"

  own_tables = {
    dead_letters = { partition = "rejected_at", cluster = ["stream", "reason"] }
    redrives     = { partition = "redriven_at", cluster = ["dead_letter_id"] }
  }

  own_views = ["open_dead_letters"]

  _own_tables = {
    for name, own in local.own_tables : "${local.own_dataset}.${name}" => {
      stream      = null
      delivery    = "exactly_once"
      dataset     = local.own_dataset
      table       = name
      schema      = local._schemas["${local.own_dataset}.${name}"]
      partition   = { field = own.partition, type = "DAY" }
      cluster     = own.cluster
      primary_key = []
    }
  }

  _own_views = {
    for name in local.own_views : "${local.own_dataset}.${name}" => {
      dataset   = local.own_dataset
      view      = name
      query     = file("${path.module}/own/${name}.sql")
      is_unique = false
    }
  }
}
