//! Fencing: a write stream that is finalized takes no rows any more, and its row count decides every claim that names it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use catalog::{TableName, dead_letters_table};
use event::Timestamp;
use exactly_once::{Input, is_reopening};
use registry::{Entry, Registry};
use serde_json::Value;
use service::chain;
use storage_write::{CallError, TablesError, WriteStreamName};
use tokio::time::sleep;

use crate::{loader::Services, recovery::RecoveryError, writer::Done};

/// Why nobody knows whether a stream takes rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FenceError {
    #[error(transparent)]
    Finalize(#[from] CallError),
    #[error(transparent)]
    Count(#[from] TablesError),
    #[error("the table shows another number of rows of the stream {stream} each time, though it takes none any more")]
    Unsteady { stream: String },
}

/// Between two counts of a stream that takes no more rows.
const RECOUNT: Duration = Duration::from_secs(1);
/// So often it is counted at most until two counts in a row are the same.
const COUNTS: usize = 10;

/// Fences the stream for the writer of its table. What the registry knows of another's stream is believed.
pub(crate) async fn fence(services: Arc<Services>, table: TableName, stream: Arc<str>, own: bool) -> Done {
    #[cfg(feature = "unfenced")]
    if services.unfenced {
        return Done::Input(Input::Fenced { stream, rows: 0 });
    }
    let owner = if own { "own" } else { "other" };
    let known = if own { None } else { recorded(&services, &table, &stream).await };
    let fenced = match known {
        Some(rows) => Ok(rows),
        None => finalize(&services, &table, &stream).await,
    };
    let result = if fenced.is_ok() { "fenced" } else { "failed" };
    services.metrics.fences.with_label_values(&[owner, result]).inc();
    let rows = match fenced {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%table, write.stream = &*stream, error = %chain(&error), "a write stream could not be fenced");
            return Done::Input(Input::FenceFailed { stream });
        }
    };
    tracing::info!(%table, write.stream = &*stream, write.rows = rows, fence.owner = owner, "write stream fenced");
    if let Some(registry) = &services.registry
        && let Err(error) = registry.fenced(&table, &stream, rows).await
    {
        // The fence stands whether it is written down or not.
        tracing::warn!(%table, write.stream = &*stream, error = %chain(&error), "a fence was not written down");
    }
    Done::Input(Input::Fenced { stream, rows })
}

/// What the registry knows of the stream's end.
async fn recorded(services: &Services, table: &TableName, stream: &str) -> Option<i64> {
    let registry = services.registry.as_ref()?;
    match registry.find(table, stream).await {
        Ok(entry) => entry.and_then(|entry| entry.fence).map(|fence| fence.rows),
        Err(error) => {
            tracing::warn!(%table, write.stream = stream, error = %chain(&error), "the registry does not answer");
            None
        }
    }
}

/// Finalizes the stream, and says how many rows it has for good.
async fn finalize(services: &Services, table: &TableName, stream: &str) -> Result<i64, FenceError> {
    if is_reopening(stream) {
        // Of a claim for no request.
        return Ok(0);
    }
    let name = WriteStreamName::of(&services.project, table, stream);
    match services.storage.finalize(&name).await {
        Err(error) if error.is_closed() => closed(services, table, stream).await,
        finalized => Ok(finalized?),
    }
}

/// How many rows a stream has that takes no more, though nobody was told so: it expired, or the answer to whoever finalized it
/// was lost. The registry may know; else the table says it, when it says the same twice.
async fn closed(services: &Services, table: &TableName, stream: &str) -> Result<i64, FenceError> {
    let mut before = None;
    for _ in 0..COUNTS {
        if let Some(rows) = recorded(services, table, stream).await {
            return Ok(rows);
        }
        let rows = match seen(services, table, &[stream]).await {
            Ok(seen) => seen.get(stream).map_or(0, |seen| seen.rows),
            Err(error) if error.is_not_found() => match services.tables.get(table).await {
                // Nor is there a table whose row a claim could stand for.
                Err(error) if error.is_not_found() => return Ok(0),
                _ => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        };
        if before.replace(rows) == Some(rows) {
            return Ok(rows);
        }
        sleep(RECOUNT).await;
    }
    Err(FenceError::Unsteady { stream: stream.to_owned() })
}

/// How many rows the stream has for good: as the registry knows, else by its end.
pub(crate) async fn rows(
    services: &Services,
    registry: &Registry,
    table: &TableName,
    stream: &str,
) -> Result<i64, RecoveryError> {
    match recorded(services, table, stream).await {
        Some(rows) => Ok(rows),
        None => end(services, registry, table, stream).await,
    }
}

/// Finalizes a stream that is entered in `registry`, and writes its rows down there.
pub(crate) async fn end(
    services: &Services,
    registry: &Registry,
    table: &TableName,
    stream: &str,
) -> Result<i64, RecoveryError> {
    let rows = finalize(services, table, stream).await?;
    registry.fenced(table, stream, rows).await?;
    Ok(rows)
}

/// What a table shows of a write stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Its rows.
    pub(crate) rows: i64,
    /// When the last of them was sealed.
    pub(crate) last: Option<Timestamp>,
}

/// What the table shows of these write streams; a stream of which it shows nothing is left out.
pub(crate) async fn seen(
    services: &Services,
    table: &TableName,
    streams: &[&str],
) -> Result<HashMap<String, Seen>, TablesError> {
    if streams.is_empty() {
        return Ok(HashMap::new());
    }
    let (column, time) = match *table == dead_letters_table().name {
        true => ("write_stream", "rejected_at"),
        false => ("ingest.write_stream", "ingest.loaded_at"),
    };
    let ids: Vec<String> = streams.iter().map(|stream| format!("'{}'", id(stream))).collect();
    let sql = format!(
        "SELECT {column}, COUNT(*), UNIX_MICROS(MAX({time})) FROM `{}.{table}` WHERE {column} IN ({}) GROUP BY 1",
        services.project,
        ids.join(", "),
    );
    let answer = services.tables.query(&sql).await?;
    let unusable = || TablesError::Unusable { table: table.clone(), detail: format!("{sql} counts nothing") };
    let seen = answer.rows.iter().map(|row| {
        let [stream, rows, last] = row.as_slice() else { return None };
        let last = integer(last).and_then(|micros| Timestamp::from_microsecond(micros).ok());
        Some((stream.as_str()?.to_owned(), Seen { rows: integer(rows)?, last }))
    });
    seen.map(|seen| seen.ok_or_else(unusable)).collect()
}

/// A stream of which the table shows another number of rows than its fence said.
pub(crate) fn mismatch(services: &Services, entry: &Entry, counted: i64, found: i64) {
    services.metrics.mismatches.inc();
    tracing::error!(
        table = %entry.table,
        write.stream = entry.stream,
        rows.counted = counted,
        rows.found = found,
        "a write stream's rows are not as many as its fence counted"
    );
}

/// An id is letters, digits, `-` and `_`; anything else is no stream of ours.
fn id(stream: &str) -> String {
    stream.chars().filter(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_')).collect()
}

pub(crate) fn integer(cell: &Value) -> Option<i64> {
    cell.as_i64().or_else(|| cell.as_str()?.parse().ok())
}
