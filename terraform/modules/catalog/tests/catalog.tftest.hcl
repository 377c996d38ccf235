# What Terraform reads in a catalog. tests/system/terraform.rs compares it with what the functions read.

variables {
  file = "tests/fixture/pipas.yaml"
}

run "streams" {
  command = plan

  assert {
    condition     = output.streams["trips"].topic == "trips" && output.streams["trips"].dead_letter_topic == "trips-dead-letter"
    error_message = "A stream's topics are named after it."
  }

  assert {
    condition     = output.streams["trips"].is_ordered && !output.streams["clicks"].is_ordered
    error_message = "A stream is ordered when it has an ordering key."
  }

  assert {
    condition     = output.streams["clicks"].description == "" && output.streams["clicks"].max_delivery_attempts == 100
    error_message = "What is left empty has its default."
  }
}

run "tables" {
  command = plan

  assert {
    condition     = toset(keys(output.tables)) == toset(["transit.trips", "transit.positions", "web.latest", "pipas_ops.dead_letters", "pipas_ops.redrives"])
    error_message = "The tables are the catalog's and Pipas's own."
  }

  assert {
    condition     = output.tables["transit.trips"].primary_key == ["trip_id"] && output.tables["transit.trips"].cluster == ["trip_id"]
    error_message = "An upsert table without a key has the column that its event id points at, as the schema writes it, and is clustered by it."
  }

  assert {
    condition     = output.tables["web.latest"].primary_key == ["trip_id", "version"] && output.tables["web.latest"].delivery == "upsert"
    error_message = "A declared key is written as the schema writes it."
  }

  assert {
    condition     = output.tables["transit.positions"].partition == { field = "day", type = "MONTH" } && output.tables["transit.positions"].primary_key == []
    error_message = "A table's own delivery and partition count."
  }

  assert {
    condition     = [for column in jsondecode(output.tables["transit.positions"].schema) : column.name] == ["vehicle", "day", "distance", "ingest", "extra"]
    error_message = "Pipas's columns come last."
  }

  assert {
    condition     = [for field in jsondecode(output.tables["transit.trips"].schema)[2].fields : field.type] == ["NUMERIC", "FLOAT", "BOOLEAN"]
    error_message = "Types have the API's names, at any depth."
  }

  assert {
    condition     = jsondecode(output.tables["transit.trips"].schema)[2].fields[0].precision == "10" && jsondecode(output.tables["transit.positions"].schema)[0].maxLength == "10"
    error_message = "The API takes numbers of digits as strings."
  }

  assert {
    condition     = jsondecode(output.tables["transit.trips"].schema)[2].fields[0].description == "says \"type\":\"INT64\" <&>"
    error_message = "A description is left as it is."
  }
}

run "views" {
  command = plan

  assert {
    condition     = toset(keys(output.views)) == toset(["transit.positions_unique", "web.both", "pipas_ops.open_dead_letters"])
    error_message = "Every table but an upsert one has a view of its unique rows."
  }

  assert {
    condition     = output.datasets == toset(["transit", "web", "pipas_ops"])
    error_message = "The datasets are those of the tables and views."
  }
}

run "settings" {
  command = plan

  assert {
    condition     = output.quotas.connections == 50 && output.quotas.share == 0.8 && !output.has_registry
    error_message = "Quotas and registry are the catalog's, else the defaults."
  }
}

run "raw_tables" {
  command = plan

  variables {
    file = "tests/fixture/raw.yaml"
  }

  assert {
    condition     = [for column in jsondecode(output.tables["transit.all"].schema) : column.name] == ["payload", "published_at", "event_type", "ingest"]
    error_message = "A raw table has the event, a time, its type, and how the row came to be."
  }

  assert {
    condition     = output.tables["transit.all"].delivery == "exactly_once" && output.tables["transit.all"].partition == { field = "published_at", type = "DAY" }
    error_message = "A raw table keeps each event, by day."
  }

  assert {
    condition     = output.streams["trips"].max_delivery_attempts == 20
    error_message = "A stream may have fewer deliveries."
  }
}

run "subscriptions_and_masks" {
  command = plan

  variables {
    file = "tests/fixture/subscribed.yaml"
  }

  assert {
    condition = output.streams["trips"].subscriptions == {
      board = { id = "trips-board", filter = "", ack_deadline_seconds = 60, retention_seconds = 604800 }
      late  = { id = "trips-late", filter = "attributes.state = \"late\"", ack_deadline_seconds = 120, retention_seconds = 86400 }
    }
    error_message = "A stream's further subscriptions are what the catalog says, else the defaults."
  }

  assert {
    condition     = output.hashes
    error_message = "A column that is hashed needs a key."
  }
}

run "feeds" {
  command = plan

  variables {
    file = "tests/fixture/feeds.yaml"
  }

  assert {
    condition     = output.feeds["fleet"].every_seconds == 20 && toset(output.feeds["fleet"].variables) == toset(["FLEET_URL", "FLEET_KEY"])
    error_message = "A feed tells how often it is fetched, and what it needs."
  }
}

run "a_column_that_yaml_reads_as_a_boolean_is_refused" {
  command = plan

  variables {
    file = "tests/fixture/misread.yaml"
  }

  expect_failures = [output.tables]
}
