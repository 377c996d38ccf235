//! `POST /janitor`: the trigger of Cloud Scheduler.
//!
//! Ends write streams that nobody appends to, long before BigQuery lets them expire; sees that the tables hold as many rows of
//! each ended stream as was counted, which is the standing proof that nothing was lost or doubled; decides old claims; and
//! forgets streams that no claim can name any more.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use catalog::TableName;
use dedupe::{Expected, NewState};
use event::Timestamp;
use http::{HeaderMap, StatusCode};
use registry::{Entry, Registry};
use serde::Serialize;
use service::chain;

use crate::{
    error::LoaderError,
    fence,
    loader::{Inner, Services},
    recovery::{Claimed, RecoveryError},
};

/// How long a stream is remembered after the longest window is over.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Streams that one query asks about.
const STREAMS_A_QUERY: usize = 500;

/// Looks after the write streams.
pub(crate) struct Janitor {
    services: Arc<Services>,
    registry: Registry,
    idle: Duration,
    /// How long keys are kept at most.
    window: Duration,
    keep: Duration,
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Write streams that may receive rows still.
    open: u64,
    /// Idle write streams that were ended.
    fenced: u64,
    /// Ended streams whose rows are as many as was counted.
    verified: u64,
    /// Streams that were forgotten.
    removed: u64,
    /// Old claims that were decided: their events are rows, or may be written again.
    resolved: u64,
    /// Ended streams whose rows are not as many as was counted.
    mismatches: Vec<Mismatch>,
    /// Tables that could not be looked after, or not wholly.
    failures: Vec<Failure>,
}

/// Why a table could not be looked after.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    table: String,
    error: String,
}

/// A write stream of which the table shows another number of rows than its fence said.
#[derive(Debug, Serialize)]
pub(crate) struct Mismatch {
    table: String,
    stream: String,
    counted: i64,
    found: i64,
}

/// Runs the janitor. 200 with a report, 503 with the same where a table could not be looked after; mismatches are logged as
/// errors and counted.
pub(crate) async fn post(State(loader): State<Arc<Inner>>, headers: HeaderMap) -> Result<Response, LoaderError> {
    loader.auth.verify_headers(&headers).await?;
    let report = match &loader.janitor {
        Some(janitor) => janitor.run().await.map_err(|error| {
            tracing::error!(error = %chain(&error), "the janitor could not do its work");
            LoaderError::Undecided
        })?,
        None => Report::default(),
    };
    let status = if report.failures.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(report)).into_response())
}

impl Report {
    fn failed(&mut self, table: &TableName, error: &RecoveryError) {
        tracing::error!(%table, error = %chain(error), "the janitor could not do its work on a table");
        self.failures.push(Failure { table: table.to_string(), error: chain(error) });
    }
}

impl Janitor {
    pub(crate) fn new(services: Arc<Services>, registry: Registry, idle: Duration, tables: &[Claimed]) -> Self {
        let window = tables.iter().map(|table| table.window).max().unwrap_or_default();
        Self { services, registry, idle, window, keep: window + KEEP }
    }

    async fn run(&self) -> Result<Report, RecoveryError> {
        let mut report = Report::default();
        let mut by_table: BTreeMap<TableName, Vec<Entry>> = BTreeMap::new();
        for entry in self.registry.entries().await? {
            by_table.entry(entry.table.clone()).or_default().push(entry);
        }
        let tables: HashMap<String, TableName> =
            by_table.values().flatten().map(|entry| (entry.stream.clone(), entry.table.clone())).collect();
        for (table, entries) in by_table {
            // One table's fault is not the others'.
            if let Err(error) = self.look_after_all(&table, &entries, &mut report).await {
                report.failed(&table, &error);
            }
        }
        self.resolve(&tables, &mut report).await?;
        tracing::info!(
            claims.resolved = report.resolved,
            streams.open = report.open,
            streams.fenced = report.fenced,
            streams.verified = report.verified,
            streams.removed = report.removed,
            streams.mismatches = report.mismatches.len(),
            "looked after the write streams"
        );
        Ok(report)
    }

    async fn look_after_all(
        &self,
        table: &TableName,
        entries: &[Entry],
        report: &mut Report,
    ) -> Result<(), RecoveryError> {
        let epoch = match self.services.tables.get(table).await {
            Ok((_, epoch)) => Some(epoch),
            // A table that is no more shows nothing that could be compared.
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        for some in entries.chunks(STREAMS_A_QUERY) {
            self.look_after((table, epoch), some, report).await?;
        }
        Ok(())
    }

    async fn look_after(
        &self,
        (table, epoch): (&TableName, Option<i64>),
        entries: &[Entry],
        report: &mut Report,
    ) -> Result<(), RecoveryError> {
        let (idle_since, kept_since) = (Timestamp::now() - self.idle, Timestamp::now() - self.keep);
        let unclear =
            entries.iter().filter(|entry| entry.fence.as_ref().is_none_or(|fence| fence.verified_at.is_none()));
        let ids: Vec<&str> = unclear.map(|entry| entry.stream.as_str()).collect();
        let shown = match epoch {
            Some(_) => fence::seen(&self.services, table, &ids).await?,
            None => HashMap::new(),
        };
        for entry in entries {
            let seen = shown.get(&entry.stream);
            match &entry.fence {
                None if seen.and_then(|seen| seen.last).unwrap_or(entry.entered_at) < idle_since => {
                    fence::end(&self.services, &self.registry, table, &entry.stream).await?;
                    report.fenced += 1;
                }
                None => report.open += 1,
                Some(fence) if fence.at < kept_since => {
                    self.registry.remove(entry).await?;
                    report.removed += 1;
                }
                // The rows of a table that was dropped went with it.
                Some(fence) if fence.verified_at.is_none() && epoch.is_some_and(|epoch| entry.is_of(epoch)) => {
                    let found = seen.map_or(0, |seen| seen.rows);
                    if found == fence.rows {
                        self.registry.verified(entry).await?;
                        report.verified += 1;
                    } else {
                        fence::mismatch(&self.services, entry, fence.rows, found);
                        report.mismatches.push(Mismatch {
                            table: table.to_string(),
                            stream: entry.stream.clone(),
                            counted: fence.rows,
                            found,
                        });
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Decides claims that nobody asks about any more, by the fence of their stream.
    async fn resolve(&self, tables: &HashMap<String, TableName>, report: &mut Report) -> Result<(), RecoveryError> {
        let (ledger, mut rows_of) = (&self.services.ledger, HashMap::new());
        for (key, claim, payload) in ledger.undecided(self.idle).await? {
            let stream = &*claim.write_stream;
            let Some(table) = tables.get(stream) else { continue };
            // While the ledger is being made whole for it, what stands there may be stale: another run will see.
            let Ok(generation) = self.services.generations.whole(table, Duration::ZERO).await else { continue };
            let rows = match rows_of.get(stream) {
                Some(rows) => *rows,
                None => {
                    let rows = fence::rows(&self.services, &self.registry, table, stream).await;
                    let rows = rows.map_err(|error| report.failed(table, &error)).ok();
                    rows_of.insert(stream.to_owned(), rows);
                    rows
                }
            };
            let Some(rows) = rows else { continue };
            if rows > claim.base_offset {
                let done = NewState::Done { payload, window: self.window };
                ledger.swap(&key, &Expected::Claimed(claim), &done, generation).await?;
            } else {
                ledger.release(&[key], &claim).await?;
            }
            report.resolved += 1;
        }
        Ok(())
    }
}
