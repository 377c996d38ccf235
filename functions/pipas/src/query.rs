//! `pipas query`: the warehouse in BigQuery's SQL.

use std::io::{self, Read, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};
use comfy_table::{Cell as TableCell, CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde::{Serialize, Serializer};

use crate::{
    cell::{Cell, Column, serialize_fields},
    cli::Global,
    instance::Endpoints,
    warehouse::{ResultSet, Warehouse},
};

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The query; `-` reads it from standard input
    sql: String,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// One array of objects
    Json,
    /// With a header line
    Csv,
    /// One object a line
    Ndjson,
}

pub(crate) async fn query(global: &Global, args: QueryArgs) -> anyhow::Result<()> {
    let endpoints = Endpoints::find(&global.data_dir)?;
    let mut sql = args.sql;
    if sql == "-" {
        sql.clear();
        io::stdin().read_to_string(&mut sql).context("cannot read the query")?;
    }
    let result = Warehouse::connect(&endpoints.bigquery, &endpoints.project).await?.query(&sql).await?;
    let format = if global.json { Format::Json } else { args.format };
    printed(write(&result, format, &mut io::stdout().lock()))
}

/// Prints a result as people read it, or as an array of objects.
pub(crate) fn print(result: &ResultSet, json: bool) -> anyhow::Result<()> {
    let format = if json { Format::Json } else { Format::Table };
    printed(write(result, format, &mut io::stdout().lock()))
}

/// Whoever has read enough may hang up.
fn printed(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn write(result: &ResultSet, format: Format, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Table => {
            writeln!(out, "{}", table(result))?;
            let count = result.rows.len();
            writeln!(out, "{count} row{}", if count == 1 { "" } else { "s" })
        }
        Format::Json => {
            let rows: Vec<_> = result.rows.iter().map(|row| Object(&result.columns, row)).collect();
            serde_json::to_writer_pretty(&mut *out, &rows)?;
            writeln!(out)
        }
        Format::Ndjson => result.rows.iter().try_for_each(|row| {
            serde_json::to_writer(&mut *out, &Object(&result.columns, row))?;
            writeln!(out)
        }),
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record(result.columns.iter().map(|column| &column.name))?;
            result.rows.iter().try_for_each(|row| csv.write_record(row.iter().map(Cell::text)))?;
            csv.flush()
        }
    }
}

/// The result as a table for a terminal.
pub(crate) fn table(result: &ResultSet) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(result.columns.iter().map(|column| &column.name));
    for row in &result.rows {
        table.add_row(row.iter().map(|cell| {
            let alignment = if cell.is_number() { CellAlignment::Right } else { CellAlignment::Left };
            let text = if matches!(cell, Cell::Null) { "NULL".to_owned() } else { cell.text() };
            TableCell::new(text).set_alignment(alignment)
        }));
    }
    table
}

/// A row as an object in the order of its columns.
struct Object<'a>(&'a [Column], &'a [Cell]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.0.iter().map(|column| column.name.as_str());
        serialize_fields(names.zip(self.1), serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format) -> String {
        let columns = serde_json::from_str(r#"[{"name":"b","type":"STRING"},{"name":"a","type":"INTEGER"}]"#);
        let rows = vec![
            vec![Cell::Text("x, \"y\"".into()), Cell::Number("1".into())],
            vec![Cell::Null, Cell::Number("22".into())],
        ];
        let mut out = Vec::new();
        write(&ResultSet { columns: columns.expect("columns"), rows }, format, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn each_format_keeps_the_order_of_columns() {
        assert_eq!(printed(Format::Csv), "b,a\n\"x, \"\"y\"\"\",1\n,22\n");
        assert_eq!(printed(Format::Ndjson), "{\"b\":\"x, \\\"y\\\"\",\"a\":1}\n{\"b\":null,\"a\":22}\n");
        assert!(printed(Format::Table).contains("NULL"), "{}", printed(Format::Table));
        assert!(printed(Format::Table).ends_with("2 rows\n"));
    }
}
