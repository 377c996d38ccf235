# Schemas as the BigQuery API writes them: legacy type names, and numbers of digits as strings. Schemas nest, and HCL does not
# recurse, so the names are replaced in the JSON's text: inside a string a quotation mark is escaped, and matches nothing here.

locals {
  _pipas_columns = jsondecode(file("${path.module}/own/columns.json"))
  _raw_columns   = jsondecode(file("${path.module}/own/raw.json"))

  _whole_schemas = merge(
    {
      for name, columns in local._columns : name => jsonencode(concat(
        [for column in columns : column],
        # A raw table knows no columns that an event's field could miss.
        [for column in local._pipas_columns : column if !(local._declared[name].is_raw && column.name == "extra")],
      ))
    },
    {
      for name in keys(local.own_tables) :
      "${local.own_dataset}.${name}" => jsonencode(jsondecode(file("${path.module}/own/${name}.json")))
    },
  )

  _upper_schemas = {
    for name, schema in local._whole_schemas : name => replace(
      replace(schema, "/\"(precision|scale|maxLength)\":([0-9]+)/", "\"$1\":\"$2\""),
      "/(?i)\"type\":\"(INT64|INTEGER)\"/", "\"type\":\"INTEGER\"",
    )
  }

  _float_schemas = {
    for name, schema in local._upper_schemas : name => replace(
      replace(schema, "/(?i)\"type\":\"(FLOAT64|FLOAT)\"/", "\"type\":\"FLOAT\""),
      "/(?i)\"type\":\"(BOOL|BOOLEAN)\"/", "\"type\":\"BOOLEAN\"",
    )
  }

  _decimal_schemas = {
    for name, schema in local._float_schemas : name => replace(
      replace(schema, "/(?i)\"type\":\"DECIMAL\"/", "\"type\":\"NUMERIC\""),
      "/(?i)\"type\":\"BIGDECIMAL\"/", "\"type\":\"BIGNUMERIC\"",
    )
  }

  _schemas = {
    for name, schema in local._decimal_schemas : name => replace(
      schema, "/(?i)\"type\":\"(STRUCT|RECORD)\"/", "\"type\":\"RECORD\"",
    )
  }
}
