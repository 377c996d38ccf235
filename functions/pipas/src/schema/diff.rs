//! `pipas schema diff`: the catalog against the live tables.

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use catalog::{Catalog, Field, FieldType, Mode, TableSchema};
use clap::Args;
use serde::Serialize;
use storage_write::Tables;

use crate::{cli::Global, instance::Endpoints};

/// Compare the catalog's schemas with the live tables
///
/// Additive changes can be made to a table as it is, and the loader goes over to them while it runs: new columns, columns
/// that need no value any more, types and lengths that hold more. Breaking ones cannot, or lose something: a column that the
/// catalog does not have, a new REQUIRED column, another type. The exit code is 1 when there is a breaking change.
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
        match tables.get(&table.name).await {
            Ok((live, _)) => compare(&table.real_schema(), &live, &mut difference),
            Err(error) if error.is_not_found() => difference.additive.push("the table is not there yet".to_owned()),
            Err(error) => return Err(error).with_context(|| format!("reading {}", table.name)),
        }
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

fn compare(declared: &TableSchema, live: &TableSchema, difference: &mut Difference) {
    compare_fields(&declared.fields, &live.fields, "", difference);
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
    use super::*;

    fn compared(declared: &str, live: &str) -> String {
        let parse = |text: &str| TableSchema::parse(text).expect("a schema");
        let mut difference = Difference { table: "d.t".to_owned(), ..Difference::default() };
        compare(&parse(declared), &parse(live), &mut difference);
        told(&[difference])
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
