//! What BigQuery has: each event's rows, and each event's dead letters.

use anyhow::Context;
use catalog::{Delivery, Stream, Table, dead_letters_table, redrives_table};
use event::Reason;
use serde_json::Value;
use storage_write::Tables;

use super::{
    identity::{self, Key, event_key, message_key},
    interval::Interval,
    row_keys::RowKeys,
};

/// The rows of one event.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) key: Key,
    pub(super) count: u64,
    /// Whether one of them was published in the interval.
    pub(super) is_inside: bool,
    /// Whether the table's delivery allows more than one.
    pub(super) may_repeat: bool,
    /// Whether it is the row of an upsert table's key, and not of one event.
    pub(super) is_upsert: bool,
    table: &'a str,
    id: &'a str,
}

/// One dead letter.
#[derive(Debug, Clone)]
pub(super) struct Letter<'a> {
    /// Its name, which tells the tries of a redriven event apart.
    pub(super) letter_id: &'a str,
    /// The keys under which its event may be known, the likeliest first.
    pub(super) keys: Vec<Key>,
    pub(super) count: u64,
    /// It says that the event's id was used before for something else.
    pub(super) is_conflict: bool,
    /// It is of a message that was given up, and that only the id of the copy on the dead-letter topic names.
    pub(super) is_unnamed: bool,
    /// Whether it was published in the interval.
    pub(super) is_inside: bool,
    pub(super) table: Option<&'a str>,
    pub(super) id: &'a str,
}

impl<'a> Row<'a> {
    pub(super) fn new(table: &'a str, id: &'a str, count: u64, is_inside: bool, may_repeat: bool) -> Self {
        Self { key: event_key(Some(table), id), count, is_inside, may_repeat, is_upsert: false, table, id }
    }

    /// The row of a key of an upsert table, which `id` tells people.
    pub(super) fn of_key((table, key): (&'a str, Key), id: &'a str, count: u64, is_inside: bool) -> Self {
        Self { key, count, is_inside, may_repeat: false, is_upsert: true, table, id }
    }

    pub(super) fn name(&self) -> String {
        identity::name(Some(self.table), self.id)
    }
}

impl<'a> Letter<'a> {
    /// One of the event `id` in `table`.
    pub(super) fn of_event(table: Option<&'a str>, id: &'a str) -> Self {
        let keys = vec![event_key(table, id)];
        Self { letter_id: "", keys, count: 1, is_conflict: false, is_unnamed: false, is_inside: true, table, id }
    }

    /// One of a message that names no event.
    pub(super) fn of_message(table: Option<&'a str>, id: &'a str) -> Self {
        Self { keys: vec![message_key(id)], ..Self::of_event(table, id) }
    }

    /// No table took it then; the catalog may route it to one now. Never to a raw table: what the event is there has an end of
    /// its own.
    pub(super) fn or_routed(&mut self, stream: &Stream) {
        let routed = stream.tables.iter().filter(|table| !table.is_raw);
        self.keys.extend(routed.map(|table| event_key(Some(&table.name.to_string()), self.id)));
    }

    pub(super) fn name(&self) -> String {
        identity::name(self.table, self.id)
    }
}

/// Hands every event of `table` that was published in `interval`, or within the stream's window of it, to `take`.
pub(super) async fn of_table(
    tables: &Tables,
    stream: &Stream,
    table: &Table,
    interval: &Interval,
    mut take: impl FnMut(&Row<'_>),
) -> anyhow::Result<()> {
    let name = table.name.to_string();
    if let Some(keys) = RowKeys::of(table)? {
        return of_upsert_table(tables, (&name, &keys), interval, take).await;
    }
    let may_repeat = table.delivery == Delivery::AtLeastOnce;
    let sql = format!(
        "SELECT ingest.event_id, COUNT(*), COUNTIF({inside}) FROM `{name}` \
         WHERE ingest.event_id IS NOT NULL AND {near} GROUP BY ingest.event_id",
        inside = interval.condition("ingest.published_at"),
        near = interval.widened(stream.dedupe_window).condition("ingest.published_at"),
    );
    each(tables, &sql, |row| {
        let (id, count, inside) = (text(row, 0), number(row, 1)?, number(row, 2)?);
        take(&Row::new(&name, id.unwrap_or_default(), count, inside > 0, may_repeat));
        Some(())
    })
    .await
}

/// Hands every row of an upsert table to `take`: an event of the interval may be replaced by one of any later time.
async fn of_upsert_table(
    tables: &Tables,
    (name, keys): (&str, &RowKeys),
    interval: &Interval,
    mut take: impl FnMut(&Row<'_>),
) -> anyhow::Result<()> {
    let columns = keys.columns();
    let cast = columns.iter().map(|column| format!("CAST(`{column}` AS STRING)")).collect::<Vec<_>>().join(", ");
    let group = (1..=columns.len()).map(|at| at.to_string()).collect::<Vec<_>>().join(", ");
    let inside = interval.condition("ingest.published_at");
    let sql = format!("SELECT {cast}, COUNT(*), COUNTIF({inside}) FROM `{name}` GROUP BY {group}");
    each(tables, &sql, |row| {
        let values: Vec<Option<&str>> = (0..columns.len()).map(|at| text(row, at)).collect();
        let (count, inside) = (number(row, columns.len())?, number(row, columns.len() + 1)?);
        let id = values.iter().map(|value| value.unwrap_or("NULL")).collect::<Vec<_>>().join(", ");
        take(&Row::of_key((name, keys.of_row(&values)?), &id, count, inside > 0));
        Some(())
    })
    .await
}

/// Hands the dead letters of `stream` of those times to `take`, one by one.
pub(super) async fn of_dead_letters(
    tables: &Tables,
    stream: &Stream,
    interval: &Interval,
    mut take: impl FnMut(&Letter<'_>),
) -> anyhow::Result<()> {
    let sql = format!(
        "SELECT `table`, event_id, IF(event_id IS NULL, message_id, NULL), reason, dead_letter_id, COUNT(*), \
         COUNTIF({inside}) FROM `{name}` WHERE stream = '{stream}' AND {near} GROUP BY 1, 2, 3, 4, 5",
        inside = interval.condition("published_at"),
        name = dead_letters_table().name,
        stream = stream.name,
        near = interval.widened(stream.dedupe_window).condition("published_at"),
    );
    each(tables, &sql, |row| {
        let (table, id, message) = (text(row, 0), text(row, 1), text(row, 2));
        let mut letter = match (id, message) {
            (Some(id), _) => Letter::of_event(table, id),
            (None, message) => Letter::of_message(table, message?),
        };
        if table.is_none() && id.is_some() {
            letter.or_routed(stream);
        }
        let is_of = |reason: Reason| text(row, 3) == Some(reason.code());
        letter.is_conflict = is_of(Reason::PayloadConflict);
        letter.is_unnamed = id.is_none() && is_of(Reason::ExhaustedRetries);
        letter.letter_id = text(row, 4)?;
        (letter.count, letter.is_inside) = (number(row, 5)?, number(row, 6)? > 0);
        take(&letter);
        Some(())
    })
    .await
}

/// The dead letters of `stream` that are marked as published again.
pub(super) async fn redriven(tables: &Tables, stream: &Stream) -> anyhow::Result<Vec<String>> {
    let (name, stream) = (redrives_table().name, &stream.name);
    let sql = format!("SELECT DISTINCT dead_letter_id FROM `{name}` WHERE stream = '{stream}'");
    match tables.query(&sql).await {
        Ok(answer) => Ok(answer.rows.iter().filter_map(|row| text(row, 0)).map(str::to_owned).collect()),
        // A deployment that is older than redrives.
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Hands every row of the query's answer to `take`, which gives none for what it cannot read.
async fn each(tables: &Tables, sql: &str, mut take: impl FnMut(&[Value]) -> Option<()>) -> anyhow::Result<()> {
    let mut pages = tables.query_pages(sql).await?;
    while let Some(page) = pages.next().await? {
        for row in page {
            take(&row).with_context(|| format!("a row of the answer cannot be read: {row:?}"))?;
        }
    }
    Ok(())
}

fn text(row: &[Value], at: usize) -> Option<&str> {
    row.get(at)?.as_str()
}

fn number(row: &[Value], at: usize) -> Option<u64> {
    let cell = row.get(at)?;
    cell.as_u64().or_else(|| cell.as_str()?.parse().ok())
}
