# What a catalog declares. Reads pipas.yaml and the schemas and views beside it; makes nothing, and so needs no provider.
# Every default here is the catalog's own; `scripts/check-terraform` compares the result with what `pipas up` makes.

locals {
  folder   = dirname(var.file)
  document = yamldecode(file(var.file))

  # The archive's layout by default, of which BigQuery can make a table.
  hive = "{stream}/dt={yyyy}-{mm}-{dd}/hr={HH}/"

  # BigQuery clusters by four columns at most.
  max_cluster = 4

  streams = {
    for name, stream in local.document.streams : name => {
      description              = trimspace(try(coalesce(stream.description), ""))
      topic                    = name
      loader_subscription      = "${name}-loader"
      archive_subscription     = "${name}-archive"
      dead_letter_topic        = "${name}-dead-letter"
      dead_letter_subscription = "${name}-dead-letter"
      is_ordered               = try(coalesce(stream.ordering_key), null) != null
      max_delivery_attempts    = try(coalesce(stream.max_delivery_attempts), 100)

      # Those that are not Pipas' own, by the names in the catalog.
      subscriptions = {
        for key, further in try(coalesce(stream.subscriptions), {}) : key => {
          id                   = "${name}-${key}"
          filter               = trimspace(try(coalesce(further.filter), ""))
          ack_deadline_seconds = local._seconds_of[try(coalesce(further.ack_deadline), "60s")]
          retention_seconds    = local._seconds_of[try(coalesce(further.retention), "7d")]
        }
      }
    }
  }

  # The durations of subscriptions in seconds.
  _durations = toset(concat(["60s", "7d"], flatten([
    for stream in local.document.streams : [
      for further in try(values(stream.subscriptions), []) :
      compact([try(further.ack_deadline, null), try(further.retention, null)])
    ]
  ])))
  _seconds_of = {
    for text in local._durations : text => tonumber(substr(text, 0, length(text) - 1)) * local.seconds[substr(text, length(text) - 1, 1)]
  }

  # Every table with its stream, by `dataset.table`.
  _declared = merge([
    for stream_name, stream in local.document.streams : {
      for key, table in stream.tables : table.table => {
        stream = stream_name
        table  = table
        is_raw = try(table.raw == true, false)

        # Where a stream's events replace each other, its raw table keeps each all the same.
        delivery = try(
          coalesce(table.delivery),
          try(table.raw == true, false) && stream.delivery == "upsert" ? "exactly_once" : coalesce(stream.delivery),
          "exactly_once",
        )
        event_id = try(coalesce(table.event_id), coalesce(stream.event_id), "")
      }
    }
  ]...)

  # A raw table has the event, a time and a type. Another's schema file is a list of columns, or a map with the list as `fields`.
  _columns = merge(
    { for name, declared in local._declared : name => local._raw_columns if declared.is_raw },
    {
      for name, declared in local._declared : name => try(
        jsondecode(file("${local.folder}/${declared.table.schema}")).fields,
        jsondecode(file("${local.folder}/${declared.table.schema}")),
      ) if !declared.is_raw
    },
  )

  # The columns' names as the schema writes them, by their lower-case form: BigQuery compares names without regard to case.
  _names = {
    for name, columns in local._columns : name => { for column in columns : lower(column.name) => column.name }
  }

  # The primary key of an upsert table: `key`, else the column that `event_id` points at.
  _keys = {
    for name, declared in local._declared : name => [
      for column in try(coalescelist(declared.table.key), [trimprefix(declared.event_id, "/")]) :
      lookup(local._names[name], lower(column), column)
    ] if declared.delivery == "upsert"
  }

  tables = merge(
    {
      for name, declared in local._declared : name => {
        stream   = declared.stream
        delivery = declared.delivery
        dataset  = split(".", name)[0]
        table    = split(".", name)[1]
        schema   = local._schemas[name]
        partition = try(
          { field = declared.table.partition.field, type = declared.table.partition.type },
          declared.is_raw ? { field = "published_at", type = "DAY" } : null,
        )
        cluster     = try(coalescelist(declared.table.cluster), slice(local._keys[name], 0, min(length(local._keys[name]), local.max_cluster)), [])
        primary_key = try(local._keys[name], [])
      }
    },
    local._own_tables,
  )

  views = merge(
    {
      for name, declared in local._declared : "${name}_unique" => {
        dataset = split(".", name)[0]
        view    = "${split(".", name)[1]}_unique"
        query   = templatefile("${path.module}/own/unique.sql.tftpl", { table = name })
        # What the view reads must be there first; of the catalog's own views nobody knows, so they come last.
        is_unique = true
      } if declared.delivery != "upsert"
    },
    {
      for name, path in try(coalesce(local.document.views), {}) : name => {
        dataset   = split(".", name)[0]
        view      = split(".", name)[1]
        query     = file("${local.folder}/${path}")
        is_unique = false
      }
    },
    local._own_views,
  )

  # Terraform reads y, n, yes, no, on and off as booleans, and the functions read them as text. Nothing that is a name may be one.
  misread = [
    for name, declared in local._declared : name if length([
      for word in concat(
        try([for column in declared.table.key : column], []),
        try([for column in declared.table.cluster : column], []),
        try([declared.table.partition.field], []),
      ) : word if !startswith(jsonencode(word), "\"")
    ]) > 0
  ]

  # Whether a mask needs the key that values are hashed under.
  hashes = anytrue([
    for declared in values(local._declared) : contains(try(values(declared.table.mask), []), "hash")
  ])

  datasets = toset([for name in concat(keys(local.tables), keys(local.views)) : split(".", name)[0]])
}
