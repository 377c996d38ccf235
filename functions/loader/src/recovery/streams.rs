//! Fencing what an old generation left of a table, and seeing its rows.

use std::time::Duration;

use catalog::TableName;
use event::Timestamp;
use futures::{StreamExt, TryStreamExt, stream};
use registry::Entry;
use tokio::time::{Instant, sleep};

use super::{MARGIN, Recovery, RecoveryError, repair::Known};
use crate::fence;

/// Streams that are fenced at once.
const AT_ONCE: usize = 8;
/// Rows that a fence counted are visible at once; so long at most.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(250);
/// Rows that are not there so long after their stream was fenced were deleted: waiting brings none back.
const GIVEN_UP: Duration = Duration::from_secs(10 * 60);
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

/// Fences these streams.
pub(super) async fn fence_all(recovery: &Recovery, entries: &[Entry]) -> Result<Vec<Fenced>, RecoveryError> {
    let ends: Vec<_> = entries.iter().map(|entry| end(recovery, entry)).collect();
    stream::iter(ends).buffer_unordered(AT_ONCE).try_collect().await
}

async fn end(recovery: &Recovery, entry: &Entry) -> Result<Fenced, RecoveryError> {
    let (rows, at) = match &entry.fence {
        Some(fence) => (fence.rows, fence.at),
        None => {
            let rows = fence::end(&recovery.services, &recovery.registry, &entry.table, &entry.stream).await?;
            (rows, Timestamp::now())
        }
    };
    Ok(Fenced { entry: entry.clone(), rows, at })
}

/// Waits until the table shows every row of those streams that were fenced since `cut`; `None`: since the table's window began, for
/// what is older is not restored. Not of those whose rows were seen before: they may have been deleted since.
pub(super) async fn see_rows(
    recovery: &Recovery,
    known: &Known<'_>,
    mut fenced: Vec<Fenced>,
    cut: Option<Timestamp>,
) -> Result<(), RecoveryError> {
    let deadline = Instant::now() + PATIENCE;
    let since = cut.unwrap_or_else(|| Timestamp::now() - known.table.window - MARGIN);
    // A table that was dropped took its rows with it.
    fenced.retain(|stream| {
        stream.rows > 0 && !stream.was_seen() && stream.at >= since && stream.entry.is_of(known.epoch)
    });
    for some in fenced.chunks(STREAMS_A_QUERY) {
        while let Some(hidden) = hidden(recovery, &known.table.name, some).await? {
            if Instant::now() > deadline {
                return Err(hidden);
            }
            sleep(POLL).await;
        }
    }
    Ok(())
}

/// The first of these streams of which the table shows fewer rows than it has, and may show them yet.
async fn hidden(
    recovery: &Recovery,
    table: &TableName,
    streams: &[Fenced],
) -> Result<Option<RecoveryError>, RecoveryError> {
    let ids: Vec<&str> = streams.iter().map(|stream| stream.entry.stream.as_str()).collect();
    let seen = match fence::seen(&recovery.services, table, &ids).await {
        Ok(seen) => seen,
        // A table that is no more has no rows that could come twice.
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let given_up = Timestamp::now() - GIVEN_UP;
    for Fenced { entry, rows, at } in streams {
        let found = seen.get(&entry.stream).map_or(0, |seen| seen.rows);
        if found >= *rows {
            continue;
        }
        if *at >= given_up {
            let (table, stream) = (table.to_string(), entry.stream.clone());
            return Ok(Some(RecoveryError::Hidden { table, stream, rows: *rows, found }));
        }
        fence::mismatch(&recovery.services, entry, *rows, found);
    }
    Ok(None)
}
