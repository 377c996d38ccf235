//! Fencing what an old generation left, and seeing its rows.

use std::{collections::BTreeMap, time::Duration};

use catalog::TableName;
use event::Timestamp;
use futures::{StreamExt, TryStreamExt, stream};
use registry::Entry;
use tokio::time::{Instant, sleep};

use super::{MARGIN, Recovery, RecoveryError};
use crate::fence;

/// Streams that are fenced at once.
const AT_ONCE: usize = 8;
/// Rows that a fence counted are visible at once; so long at most.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(250);
/// Streams that one query asks about.
const STREAMS_A_QUERY: usize = 500;

/// A stream that takes no rows any more.
#[derive(Debug, Clone)]
pub(super) struct Fenced {
    entry: Entry,
    rows: i64,
    at: Timestamp,
}

impl Fenced {
    fn was_seen(&self) -> bool {
        self.entry.fence.as_ref().is_some_and(|fence| fence.verified_at.is_some())
    }
}

/// Fences every stream that was made under a generation before this one.
pub(super) async fn fence_all(recovery: &Recovery, generation: u64) -> Result<Vec<Fenced>, RecoveryError> {
    let entries = recovery.registry.entries().await?;
    let old = entries.into_iter().filter(|entry| entry.generation < generation);
    stream::iter(old).map(|entry| end(recovery, entry)).buffer_unordered(AT_ONCE).try_collect().await
}

async fn end(recovery: &Recovery, entry: Entry) -> Result<Fenced, RecoveryError> {
    let (rows, at) = match &entry.fence {
        Some(fence) => (fence.rows, fence.at),
        None => {
            let rows = fence::end(&recovery.services, &recovery.registry, &entry.table, &entry.stream).await?;
            (rows, Timestamp::now())
        }
    };
    Ok(Fenced { entry, rows, at })
}

/// Waits until the tables show every row of the streams that were fenced since `cut`; `None`: since the tables' windows began, for
/// what is older is not restored. Not of those whose rows were seen before: they may have been deleted since.
pub(super) async fn see_rows(
    recovery: &Recovery,
    fenced: &[Fenced],
    cut: Option<Timestamp>,
) -> Result<(), RecoveryError> {
    let deadline = Instant::now() + PATIENCE;
    let mut by_table: BTreeMap<&TableName, Vec<&Fenced>> = BTreeMap::new();
    let since = |table: &TableName| {
        let window = recovery.tables.iter().find(|known| known.name == *table).map(|known| known.window);
        cut.or_else(|| window.map(|window| Timestamp::now() - window - MARGIN))
    };
    for stream in fenced.iter().filter(|stream| stream.rows > 0 && !stream.was_seen()) {
        if since(&stream.entry.table).is_none_or(|since| stream.at >= since) {
            by_table.entry(&stream.entry.table).or_default().push(stream);
        }
    }
    for (table, mut streams) in by_table {
        match recovery.services.tables.get(table).await {
            // A table that was dropped took its rows with it.
            Ok((_, epoch)) => streams.retain(|stream| stream.entry.is_of(epoch)),
            // A table that is no more has no rows that could come twice.
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error.into()),
        }
        for some in streams.chunks(STREAMS_A_QUERY) {
            while let Some(hidden) = hidden(recovery, table, some).await? {
                if Instant::now() > deadline {
                    return Err(hidden);
                }
                sleep(POLL).await;
            }
        }
    }
    Ok(())
}

/// The first of these streams of which the table shows fewer rows than it has.
async fn hidden(
    recovery: &Recovery,
    table: &TableName,
    streams: &[&Fenced],
) -> Result<Option<RecoveryError>, RecoveryError> {
    let ids: Vec<&str> = streams.iter().map(|stream| stream.entry.stream.as_str()).collect();
    let seen = match fence::seen(&recovery.services, table, &ids).await {
        Ok(seen) => seen,
        // A table that is no more has no rows that could come twice.
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found = |stream: &Fenced| seen.get(&stream.entry.stream).map_or(0, |seen| seen.rows);
    Ok(streams.iter().find(|stream| found(stream) < stream.rows).map(|stream| RecoveryError::Hidden {
        table: table.to_string(),
        stream: stream.entry.stream.clone(),
        rows: stream.rows,
        found: found(stream),
    }))
}
