//! Recovery of a claim ledger that lost its newest writes, or all of them.
//!
//! Raise the generation, so that no write stream of the old one can be entered any more; fence every stream that is; see that
//! the tables show every row that the fences counted; write into the ledger what the tables say; then let it be used. Any
//! number of loaders may do this at once: each step may be repeated, and one of them opens the generation.
//!
//! A table for which this fails, or takes too long, is *degraded*: the generation is opened without it, and it is healed
//! behind the others.

mod heal;
mod rehydrate;
mod repair;
mod streams;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use catalog::TableName;
use dedupe::{LedgerError, Survey};
use event::Timestamp;
use futures::{StreamExt, TryStreamExt, stream};
use registry::{Degraded, Entry, Generation, Raised, Registry, RegistryError};
use service::chain;
use storage_write::TablesError;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use self::repair::Broken;
use crate::{fence::FenceError, generation::Whole, loader::Services};

/// How often the ledger is told that it was in use.
const BEAT: Duration = Duration::from_secs(1);
/// Clocks differ, and a beat says little of the writes beside it.
const MARGIN: Duration = Duration::from_secs(5 * 60);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// Tables that are repaired at once.
const AT_ONCE: usize = 4;

/// A table whose rows claims were made for.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) name: TableName,
    /// How long its keys are kept.
    pub(crate) window: Duration,
    /// Whether it is the dead letters' own.
    pub(crate) is_dead_letters: bool,
}

/// Keeps the ledger whole.
pub(crate) struct Recovery {
    services: Arc<Services>,
    registry: Registry,
    tables: Vec<Claimed>,
    /// How long all tables may keep the others waiting.
    limit: Duration,
}

/// Why the ledger could not be made whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoveryError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Tables(#[from] TablesError),
    #[error(transparent)]
    Fence(#[from] FenceError),
    #[error("the table {table} shows {found} rows of the stream {stream}, which has {rows}")]
    Hidden { table: String, stream: String, rows: i64, found: i64 },
    #[error("it takes longer than {limit:?}")]
    Late { limit: Duration },
}

impl RecoveryError {
    /// Whether no table can be repaired.
    fn is_of_all(&self) -> bool {
        match self {
            Self::Registry(_) | Self::Ledger(_) => true,
            Self::Tables(_) | Self::Fence(_) | Self::Hidden { .. } | Self::Late { .. } => false,
        }
    }
}

impl Recovery {
    pub(crate) fn new(services: Arc<Services>, registry: Registry, tables: Vec<Claimed>, limit: Duration) -> Self {
        Self { services, registry, tables, limit }
    }

    /// Finds out about the ledger whenever somebody wants to know, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let beats = self.beat(&stop);
        let recoveries = async {
            loop {
                tokio::select! {
                    () = self.services.generations.wanted() => {}
                    () = self.heal() => {}
                    () = stop.cancelled() => return,
                }
                self.make_whole(&stop).await;
            }
        };
        tokio::join!(beats, recoveries);
    }

    async fn make_whole(&self, stop: &CancellationToken) {
        let mut backoff = FIRST_BACKOFF;
        while !stop.is_cancelled() {
            match self.whole().await {
                Ok(generation) => {
                    self.services.metrics.generation.set(i64::try_from(generation.number).unwrap_or(i64::MAX));
                    self.services.generations.found(self.shown(&generation));
                    return;
                }
                Err(error) => {
                    if matches!(error, RecoveryError::Ledger(_)) {
                        self.services.ledger_health.saw(false);
                    }
                    self.services.metrics.recoveries.with_label_values(&["failed"]).inc();
                    tracing::error!(error = %chain(&error), "the ledger is not whole yet");
                }
            }
            tokio::select! {
                () = sleep(backoff) => {}
                () = stop.cancelled() => {}
            }
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    /// The generation of a ledger that is whole, made whole where it is not.
    async fn whole(&self) -> Result<Generation, RecoveryError> {
        loop {
            let survey = self.services.ledger.survey().await?;
            self.services.metrics.ledger_policy(survey.policy.as_deref());
            let current = self.registry.generation().await?;
            let generation = match current {
                Some(current) if survey.holds(current.number) => return Ok(current),
                // Raised for this very server, and nothing was done under it yet: go on from here.
                Some(current) if current.ledger == survey.identity && !current.is_open => current,
                from => match self.registry.raise(from.as_ref(), &survey.identity).await? {
                    Raised::To(generation) => generation,
                    Raised::ByAnother => continue,
                },
            };
            // What the server has is all that there was up to its last beat, if there was no generation without it since.
            let is_last = survey.adopted.as_ref().is_some_and(|adopted| adopted.generation == generation.after);
            let beat = survey.beat.filter(|_| is_last);
            let cut = beat.map(|beat| Timestamp::now() - (survey.now.since(beat) + MARGIN));
            if generation.number == 1 {
                tracing::info!(ledger.identity = survey.identity, "the ledger is taken into use");
            } else {
                tracing::warn!(
                    ledger.generation = generation.number,
                    ledger.identity = survey.identity,
                    ledger.cut = cut.map(tracing::field::display),
                    "the ledger may have lost claims; it is being made whole"
                );
            }
            if let Some(opened) = Box::pin(self.repair(&generation, &survey, cut)).await? {
                return Ok(opened);
            }
        }
    }

    /// Does the work of one generation; `None` where another opened it.
    async fn repair(
        &self,
        generation: &Generation,
        survey: &Survey,
        cut: Option<Timestamp>,
    ) -> Result<Option<Generation>, RecoveryError> {
        let mut streams = self.streams_before(generation.number).await?;
        let (letters, tables): (Vec<_>, Vec<_>) =
            self.tables.iter().map(|table| self.broken(table, &mut streams, generation, cut)).partition(is_of_letters);
        let mut restored = 0;
        // What the other tables' dead letters are is read there: it comes first, and without it nothing is whole.
        for letters in letters {
            restored += Box::pin(letters.repair(self, survey)).await?;
        }
        let deadline = Instant::now() + self.limit;
        let repairs: Vec<_> = tables.iter().map(|table| self.in_time(table, survey, deadline)).collect();
        let mut degraded = Vec::new();
        for repaired in stream::iter(repairs).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await? {
            match repaired {
                Ok(events) => restored += events,
                Err(table) => degraded.push(table),
            }
        }
        // Tables that this loader's catalog does not have. Another's may.
        let others = streams.into_keys().map(|table| Degraded { cut: earliest(generation, &table, cut), table });
        degraded.extend(others);
        let is_ours = self.registry.open(generation, degraded.clone()).await?
            && self.services.ledger.adopt(&generation.ledger, generation.number).await?;
        if !is_ours {
            return Ok(None);
        }
        self.services.metrics.recoveries.with_label_values(&["done"]).inc();
        self.services.metrics.restored.inc_by(restored);
        tracing::info!(ledger.generation = generation.number, ledger.restored = restored, "the ledger is whole");
        Ok(Some(Generation { is_open: true, degraded, ..generation.clone() }))
    }

    /// The write streams that were made under a generation before this one.
    async fn streams_before(&self, generation: u64) -> Result<BTreeMap<TableName, Vec<Entry>>, RecoveryError> {
        let mut streams: BTreeMap<TableName, Vec<Entry>> = BTreeMap::new();
        for entry in self.registry.entries().await? {
            if entry.generation < generation {
                streams.entry(entry.table.clone()).or_default().push(entry);
            }
        }
        Ok(streams)
    }

    fn broken<'a>(
        &self,
        table: &'a Claimed,
        streams: &mut BTreeMap<TableName, Vec<Entry>>,
        generation: &Generation,
        cut: Option<Timestamp>,
    ) -> Broken<'a> {
        let streams = streams.remove(&table.name).unwrap_or_default();
        Broken { table, streams, cut: earliest(generation, &table.name, cut) }
    }

    /// Repairs the table, and says how many events the ledger was told of, or that it did not come about in time. The other
    /// error is none of the table's.
    async fn in_time(
        &self,
        table: &Broken<'_>,
        survey: &Survey,
        deadline: Instant,
    ) -> Result<Result<u64, Degraded>, RecoveryError> {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let repaired = timeout_at(deadline, Box::pin(table.repair(self, survey))).await;
            let error = match repaired.unwrap_or(Err(RecoveryError::Late { limit: self.limit })) {
                Ok(events) => return Ok(Ok(events)),
                Err(error) if error.is_of_all() => return Err(error),
                Err(error) => error,
            };
            let is_over = Instant::now() + backoff >= deadline;
            tracing::error!(table = %table.name(), error = %chain(&error), table.degraded = is_over, "the ledger is not whole for a table");
            if is_over {
                self.services.metrics.recoveries.with_label_values(&["failed"]).inc();
                return Ok(Err(Degraded { table: table.name().clone(), cut: table.cut }));
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    /// What the generation is to this loader, and to those who watch it.
    fn shown(&self, generation: &Generation) -> Whole {
        let whole = Whole::new(generation, |table| self.claimed(table).is_some());
        self.services.metrics.degraded.set(i64::try_from(whole.degraded()).unwrap_or(i64::MAX));
        whole
    }

    fn claimed(&self, name: &TableName) -> Option<&Claimed> {
        self.tables.iter().find(|table| table.name == *name)
    }

    /// Tells the ledger each second that it is in use, so that it shows later how far its data reaches.
    async fn beat(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = sleep(BEAT) => {}
                () = stop.cancelled() => return,
            }
            let Some(generation) = self.services.generations.current() else { continue };
            match self.services.ledger.beat().await {
                Err(LedgerError::Epoch) => self.services.generations.refused(generation),
                Err(error) => tracing::debug!(error = %chain(&error), "the ledger took no beat"),
                Ok(()) => {}
            }
        }
    }
}

fn is_of_letters(broken: &Broken<'_>) -> bool {
    broken.table.is_dead_letters
}

/// Since when the ledger may not know the table's rows: it may have missed a loss before this one. `None`: since ever.
fn earliest(generation: &Generation, table: &TableName, cut: Option<Timestamp>) -> Option<Timestamp> {
    match generation.degraded.iter().find(|degraded| degraded.table == *table) {
        Some(degraded) => degraded.cut.zip(cut).map(|(before, now)| before.min(now)),
        None => cut,
    }
}
