//! `pipas schema diff`: the catalog against the live tables.

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use catalog::{Catalog, Field, FieldType, Mode, Partition, Table};
use clap::Args;
use serde::Serialize;
use storage_write::{LiveTable, Tables};

use crate::{cli::Global, instance::Endpoints};

/// Compare the catalog's tables and views with the live ones
///
/// Additive changes can be made to a table as it is, and the loader goes over to them while it runs: new columns, columns
/// that need no value any more, types and lengths that hold more, other clustering. Breaking ones cannot, or lose something: a
/// column that the catalog does not have, a new REQUIRED column, another type, other partitioning. Of views it is told whether
/// they are there. The exit code is 1 when there is a breaking change.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct DiffArgs {
    /// The catalog
    #[arg(long, env = "PIPAS_CATALOG", default_value = "pipas.yaml", value_name = "FILE")]
    catalog: PathBuf,
    /// A Google Cloud project, with your default credentials; without it: the running local instance
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
}

/// How a table of the catalog differs from the live one.
#[derive(Debug, Default, Serialize)]
struct Difference {
    table: String,
    additive: Vec<String>,
    breaking: Vec<String>,
}

pub(super) async fn diff(global: &Global, args: DiffArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(&args.catalog)?;
    let tables = match &args.project {
        Some(project) => Tables::connect(project, None).await?,
        None => {
            let endpoints = Endpoints::find(&global.data_dir)?;
            Tables::connect(&endpoints.project, Some(&endpoints.bigquery)).await?
        }
    };
    let mut differences = Vec::new();
    for (_, table) in catalog.tables() {
        let mut difference = Difference { table: table.name.to_string(), ..Difference::default() };
        let live = tables.find(&table.name).await.with_context(|| format!("reading {}", table.name))?;
        compare(table, live.as_ref(), &mut difference);
        differences.push(difference);
    }
    let unique = catalog.tables().filter_map(|(_, table)| table.unique_view().map(|view| view.name));
    for name in unique.chain(catalog.views.keys().cloned()) {
        let mut difference = Difference { table: name.to_string(), ..Difference::default() };
        let live = tables.find(&name).await.with_context(|| format!("reading {name}"))?;
        compare_view(live.as_ref(), &mut difference);
        differences.push(difference);
    }
    let is_breaking = differences.iter().any(|difference| !difference.breaking.is_empty());
    if global.json {
        println!("{}", serde_json::to_string_pretty(&differences)?);
    } else {
        print!("{}", told(&differences));
    }
    Ok(if is_breaking { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The differences, for people.
fn told(differences: &[Difference]) -> String {
    let mut text = String::new();
    for Difference { table, additive, breaking } in differences {
        if additive.is_empty() && breaking.is_empty() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{table}: as declared");
            continue;
        }
        let _ = writeln!(text, "{table}:");
        for (kind, changes) in [("additive", additive), ("BREAKING", breaking)] {
            for change in changes {
                let _ = writeln!(text, "  {kind}: {change}");
            }
        }
    }
    text
}

fn compare(declared: &Table, live: Option<&LiveTable>, difference: &mut Difference) {
    let (schema, partition, cluster) = match live {
        Some(LiveTable::Table { schema, partition, cluster }) => (schema, partition, cluster),
        Some(LiveTable::Other(other)) => {
            difference.breaking.push(format!("a {other} stands under the table's name"));
            return;
        }
        None => {
            difference.additive.push("the table is not there yet".to_owned());
            return;
        }
    };
    compare_fields(&declared.real_schema().fields, &schema.fields, "", difference);
    let by = |Partition { field, partition_type }: &Partition| format!("{} of `{field}`", partition_type.name());
    let declared_partition = declared.partition.as_ref().map(by);
    let none = || "none".to_owned();
    let (is, to_be) = (partition.clone().unwrap_or_else(none), declared_partition.unwrap_or_else(none));
    if !is.eq_ignore_ascii_case(&to_be) {
        difference.breaking.push(format!("other partitions: {is} is to be {to_be}, for which the table is made anew"));
    }
    let listed = |columns: &[String]| if columns.is_empty() { none() } else { columns.join(", ") };
    let (is, to_be) = (listed(cluster), listed(&declared.cluster));
    if !is.eq_ignore_ascii_case(&to_be) {
        difference.additive.push(format!("other clustering: {is} is to be {to_be}, for rows that come from then on"));
    }
}

fn compare_view(live: Option<&LiveTable>, difference: &mut Difference) {
    match live {
        Some(LiveTable::Other(other)) if other == "VIEW" => {}
        Some(LiveTable::Other(other)) => difference.breaking.push(format!("a {other} stands under the view's name")),
        Some(LiveTable::Table { .. }) => {
            difference.breaking.push("a table stands under the view's name".to_owned());
        }
        None => difference.additive.push("the view is not there yet".to_owned()),
    }
}

fn compare_fields(declared: &[Field], live: &[Field], parent: &str, difference: &mut Difference) {
    let find = |fields: &'_ [Field], name: &str| fields.iter().position(|field| field.name.eq_ignore_ascii_case(name));
    for field in declared {
        let path = format!("{parent}{}", field.name);
        match find(live, &field.name) {
            Some(at) => compare_field(field, &live[at], &path, difference),
            None if field.mode == Mode::Required => difference
                .breaking
                .push(format!("the new column `{path}` is REQUIRED: rows that are there have no value for it")),
            None => difference.additive.push(format!("the new column `{path}` {}", said(field))),
        }
    }
    for field in live.iter().filter(|field| find(declared, &field.name).is_none()) {
        difference.breaking.push(format!("the column `{parent}{}` {} is not in the catalog", field.name, said(field)));
    }
}

fn compare_field(declared: &Field, live: &Field, path: &str, difference: &mut Difference) {
    let change = |what: &str| format!("`{path}`: {what}: {} is to be {}", said(live), said(declared));
    match (live.mode, declared.mode) {
        (old, new) if old == new => {}
        (Mode::Required, Mode::Nullable) => difference.additive.push(change("needs no value any more")),
        _ => difference.breaking.push(change("another mode")),
    }
    if live.field_type != declared.field_type {
        if holds_more(live.field_type, declared.field_type) {
            difference.additive.push(change("a wider type"));
        } else {
            difference.breaking.push(change("another type"));
        }
        return;
    }
    match (room(live), room(declared)) {
        (old, new) if old == new => {}
        (old, new) if old.iter().zip(&new).all(|(old, new)| new >= old) => {
            difference.additive.push(change("more room"))
        }
        _ => difference.breaking.push(change("less room")),
    }
    compare_fields(&declared.fields, &live.fields, &format!("{path}."), difference);
}

/// The types that BigQuery widens in place:
/// <https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules#coercion>.
fn holds_more(from: FieldType, to: FieldType) -> bool {
    use FieldType::{Bignumeric, Float, Integer, Numeric};
    matches!((from, to), (Integer, Numeric | Bignumeric | Float) | (Numeric, Bignumeric | Float) | (Bignumeric, Float))
}

/// Longest length, digits before the point, digits after it: all of them larger or equal hold more.
fn room(field: &Field) -> [u64; 3] {
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<u64>().ok());
    let scale = number(&field.scale).unwrap_or(0);
    let digits = number(&field.precision).map(|precision| (precision.saturating_sub(scale), scale));
    let (before, after) = digits.unwrap_or((u64::MAX, u64::MAX));
    [number(&field.max_length).unwrap_or(u64::MAX), before, after]
}

fn said(field: &Field) -> String {
    let mode = match field.mode {
        Mode::Nullable => "",
        Mode::Required => " REQUIRED",
        Mode::Repeated => " REPEATED",
    };
    let parameters = match (&field.max_length, &field.precision, &field.scale) {
        (Some(length), ..) => format!("({length})"),
        (None, Some(precision), Some(scale)) => format!("({precision}, {scale})"),
        (None, Some(precision), None) => format!("({precision})"),
        _ => String::new(),
    };
    format!("{}{parameters}{mode}", field.field_type.sql_name())
}

#[cfg(test)]
mod tests {
    use catalog::{PartitionType, TableSchema};

    use super::*;

    fn compared(declared: &str, live: &str) -> String {
        let parse = |text: &str| TableSchema::parse(text).expect("a schema");
        let mut difference = Difference { table: "d.t".to_owned(), ..Difference::default() };
        compare_fields(&parse(declared).fields, &parse(live).fields, "", &mut difference);
        told(&[difference])
    }

    /// How a table that is partitioned and clustered so differs from `live`.
    fn laid_out(partition: Option<(&str, PartitionType)>, cluster: &[&str], live: Option<&LiveTable>) -> String {
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let partition = partition.map(|(field, partition_type)| Partition { field: field.to_owned(), partition_type });
        let declared = Table { partition, cluster: columns(cluster), ..catalog::dead_letters_table() };
        let mut difference = Difference { table: "d.t".to_owned(), ..Difference::default() };
        compare(&declared, live, &mut difference);
        told(&[difference])
    }

    #[test]
    fn partitions_are_fixed_and_clusters_are_not() {
        let live = |partition: Option<&str>, cluster: &[&str]| LiveTable::Table {
            schema: catalog::dead_letters_table().real_schema(),
            partition: partition.map(str::to_owned),
            cluster: cluster.iter().map(|column| (*column).to_owned()).collect(),
        };
        let day = Some(("at", PartitionType::Day));
        let as_declared = live(Some("DAY of `at`"), &["stream", "reason"]);
        assert_eq!(laid_out(day, &["stream", "reason"], Some(&as_declared)), "d.t: as declared\n");
        insta::assert_snapshot!(laid_out(None, &["reason", "stream"], Some(&as_declared)), @r"
        d.t:
          additive: other clustering: stream, reason is to be reason, stream, for rows that come from then on
          BREAKING: other partitions: DAY of `at` is to be none, for which the table is made anew
        ");
        insta::assert_snapshot!(laid_out(day, &["stream"], Some(&live(Some("HOUR of `at`"), &[]))), @r"
        d.t:
          additive: other clustering: none is to be stream, for rows that come from then on
          BREAKING: other partitions: HOUR of `at` is to be DAY of `at`, for which the table is made anew
        ");
        assert_eq!(laid_out(day, &[], None), "d.t:\n  additive: the table is not there yet\n");
        let view = LiveTable::Other("VIEW".to_owned());
        assert_eq!(laid_out(day, &[], Some(&view)), "d.t:\n  BREAKING: a VIEW stands under the table's name\n");
    }

    #[test]
    fn a_view_is_there_or_not() {
        let viewed = |live: Option<&LiveTable>| {
            let mut difference = Difference { table: "d.v".to_owned(), ..Difference::default() };
            compare_view(live, &mut difference);
            told(&[difference])
        };
        let table = LiveTable::Table { schema: TableSchema { fields: Vec::new() }, partition: None, cluster: vec![] };
        assert_eq!(viewed(Some(&LiveTable::Other("VIEW".to_owned()))), "d.v: as declared\n");
        assert_eq!(viewed(None), "d.v:\n  additive: the view is not there yet\n");
        assert_eq!(viewed(Some(&table)), "d.v:\n  BREAKING: a table stands under the view's name\n");
    }

    #[test]
    fn additive_changes_stand_apart_from_breaking_ones() {
        let live = r#"[{"name":"id","type":"STRING","mode":"REQUIRED"},{"name":"n","type":"INT64"},
            {"name":"gone","type":"STRING"},{"name":"t","type":"STRING","maxLength":"10"},
            {"name":"d","type":"NUMERIC","precision":"10","scale":"2"},{"name":"x","type":"STRING"},
            {"name":"m","type":"STRING"},
            {"name":"s","type":"STRUCT","fields":[{"name":"a","type":"STRING"}]}]"#;
        let declared = r#"[{"name":"ID","type":"STRING"},{"name":"n","type":"FLOAT64"},
            {"name":"t","type":"STRING","maxLength":"5"},
            {"name":"d","type":"NUMERIC","precision":"12","scale":"3"},{"name":"x","type":"DATE"},
            {"name":"m","type":"STRING","mode":"REQUIRED"},
            {"name":"s","type":"STRUCT","fields":[{"name":"a","type":"STRING"},{"name":"b","type":"BOOL"}]},
            {"name":"new","type":"STRING","mode":"REQUIRED"},{"name":"list","type":"STRING","mode":"REPEATED"}]"#;
        insta::assert_snapshot!(compared(declared, live), @r"
        d.t:
          additive: `ID`: needs no value any more: STRING REQUIRED is to be STRING
          additive: `n`: a wider type: INT64 is to be FLOAT64
          additive: `d`: more room: NUMERIC(10, 2) is to be NUMERIC(12, 3)
          additive: the new column `s.b` BOOL
          additive: the new column `list` STRING REPEATED
          BREAKING: `t`: less room: STRING(10) is to be STRING(5)
          BREAKING: `x`: another type: STRING is to be DATE
          BREAKING: `m`: another mode: STRING is to be STRING REQUIRED
          BREAKING: the new column `new` is REQUIRED: rows that are there have no value for it
          BREAKING: the column `gone` STRING is not in the catalog
        ");
    }

    #[test]
    fn what_is_as_declared_is_said_to_be() {
        let schema = r#"[{"name":"id","type":"STRING","mode":"REQUIRED","description":"said otherwise"}]"#;
        assert_eq!(compared(schema, &schema.replace("said otherwise", "x")), "d.t: as declared\n");
    }
}
