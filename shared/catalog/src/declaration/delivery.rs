use std::collections::BTreeSet;

use super::{cursor::Cursor, table::top_level, when};
use crate::{Delivery, Field, JsonPointer, Mode, TableSchema, Upsert};

/// BigQuery's bound on the top-level columns of a table that takes upserts.
const MAX_COLUMNS: usize = 2_000;

/// A delivery by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ExactlyOnce,
    AtLeastOnce,
    Upsert,
}

/// Reads `delivery`, of a stream or a table. `None`: there is a problem.
pub(super) fn kind(at: &Cursor<'_>) -> Option<Kind> {
    const DELIVERIES: [(&str, Kind); 3] =
        [("exactly_once", Kind::ExactlyOnce), ("at_least_once", Kind::AtLeastOnce), ("upsert", Kind::Upsert)];
    at.choice("delivery", &DELIVERIES)
}

/// What a table and its stream say of delivery.
#[derive(Debug)]
pub(super) struct Declared<'a> {
    /// `None`: what is declared is at fault.
    pub(super) kind: Option<Kind>,
    pub(super) key: Option<Cursor<'a>>,
    pub(super) sequence: Option<Cursor<'a>>,
    /// Where the event's id stands.
    pub(super) event_id: Option<JsonPointer>,
}

/// The delivery of the table at `at`. `None`: there is a problem.
pub(super) fn read(at: &Cursor<'_>, declared: Declared<'_>, schema: Option<&TableSchema>) -> Option<Delivery> {
    let Declared { kind, key, sequence, event_id } = declared;
    let pointer = sequence.as_ref().map(when::pointer);
    match kind? {
        Kind::Upsert => {
            let key = match &key {
                Some(key) => read_key(key, schema),
                None => key_of_id(at, event_id.as_ref(), schema),
            };
            if let Some(count) = schema.map(|schema| schema.fields.len() + 2).filter(|count| *count > MAX_COLUMNS) {
                at.problem(format!(
                    "BigQuery takes upserts for tables of at most {MAX_COLUMNS} top-level columns, but with `ingest` and \
                     `extra` this one has {count}"
                ));
            }
            let sequence = match pointer {
                Some(pointer) => Some(pointer?),
                None => None,
            };
            Some(Delivery::Upsert(Upsert { key: key?, sequence }))
        }
        other => {
            for (name, setting) in [("key", &key), ("sequence", &sequence)] {
                if let Some(setting) = setting {
                    setting.problem(format!("only a table with `delivery: upsert` has a `{name}`"));
                }
            }
            Some(if other == Kind::AtLeastOnce { Delivery::AtLeastOnce } else { Delivery::ExactlyOnce })
        }
    }
}

/// The columns of `key` (<https://cloud.google.com/bigquery/docs/information-schema-table-constraints#limitations>).
fn read_key(at: &Cursor<'_>, schema: Option<&TableSchema>) -> Option<Vec<String>> {
    let columns = at.list("a list of columns")?;
    if columns.is_empty() || columns.len() > Upsert::MAX_KEY {
        at.problem(format!("a primary key has 1 to {} columns, found {}", Upsert::MAX_KEY, columns.len()));
    }
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for column in &columns {
        let Some(name) = column.text("a column") else { continue };
        if !seen.insert(name.to_ascii_lowercase()) {
            column.problem(format!("the column `{name}` is named twice"));
        }
        let Some(schema) = schema else { continue };
        let Some(field) = top_level(column, schema, name, "keys rows by") else { continue };
        check(column, field);
        names.push(field.name.clone());
    }
    (!names.is_empty() && names.len() == columns.len()).then_some(names)
}

/// The key of a table that declares none: the event's id, where it is a column.
fn key_of_id(at: &Cursor<'_>, event_id: Option<&JsonPointer>, schema: Option<&TableSchema>) -> Option<Vec<String>> {
    let column = match event_id.map(JsonPointer::tokens) {
        Some([name]) => schema?.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)),
        Some(_) | None => None,
    };
    let Some(column) = column else {
        at.problem(
            "an upsert table needs a primary key: declare `key`, a list of top-level columns, or an `event_id` that points at one",
        );
        return None;
    };
    check(at, column);
    Some(vec![column.name.clone()])
}

/// Reports a column that cannot be of a primary key.
fn check(at: &Cursor<'_>, field: &Field) {
    let name = &field.name;
    if !field.field_type.fits_primary_key() {
        at.problem(format!(
            "a primary key has columns of STRING, INT64, BOOL, NUMERIC, BIGNUMERIC, DATE, DATETIME and TIMESTAMP, but \
             `{name}` is {}",
            field.field_type.sql_name()
        ));
    }
    match field.mode {
        Mode::Required => {}
        Mode::Repeated => at.problem(format!("a primary key has no REPEATED column, but `{name}` is one")),
        Mode::Nullable => at.problem(format!(
            "a column of a primary key must be REQUIRED, but `{name}` is NULLABLE: events without it would replace each other"
        )),
    }
}
