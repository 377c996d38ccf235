//! Recovery of a claim ledger that lost its newest writes, or all of them.
//!
//! Raise the generation, so that no write stream of the old one can be entered any more; fence every stream that is; see that
//! the tables show every row that the fences counted; write into the ledger what the tables say; then let it be used. Any
//! number of loaders may do this at once: each step may be repeated, and one of them opens the generation.

mod rehydrate;
mod streams;

use std::{sync::Arc, time::Duration};

use dedupe::LedgerError;
use event::Timestamp;
use registry::{Generation, Raised, Registry, RegistryError};
use service::chain;
use storage_write::TablesError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{fence::FenceError, loader::Services};

/// How often the ledger is told that it was in use.
const BEAT: Duration = Duration::from_secs(1);
/// Clocks differ, and a beat says little of the writes beside it.
const MARGIN: Duration = Duration::from_secs(5 * 60);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// A table whose rows claims were made for.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) name: catalog::TableName,
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
}

impl Recovery {
    pub(crate) fn new(services: Arc<Services>, registry: Registry, tables: Vec<Claimed>) -> Self {
        Self { services, registry, tables }
    }

    /// Finds out about the ledger whenever somebody wants to know, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let beats = self.beat(&stop);
        let recoveries = async {
            loop {
                tokio::select! {
                    () = self.services.generations.wanted() => {}
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
                    self.services.metrics.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
                    self.services.generations.found(generation);
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
    async fn whole(&self) -> Result<u64, RecoveryError> {
        loop {
            let survey = self.services.ledger.survey().await?;
            self.services.metrics.ledger_policy(survey.policy.as_deref());
            let current = self.registry.generation().await?;
            if let Some(current) = current.as_ref().filter(|current| survey.holds(current.number)) {
                return Ok(current.number);
            }
            let generation = match current {
                // Raised for this very server, and nothing was done under it yet: go on from here.
                Some(current) if current.ledger == survey.identity && !current.is_open => current,
                from => match self.registry.raise(from.as_ref(), &survey.identity).await? {
                    Raised::To(generation) => generation,
                    Raised::ByAnother => continue,
                },
            };
            let cut = survey.beat.map(|beat| Timestamp::now() - (survey.now.since(beat) + MARGIN));
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
            if self.repair(&generation, cut).await? {
                return Ok(generation.number);
            }
        }
    }

    /// Does the work of one generation; false where another opened it.
    async fn repair(&self, generation: &Generation, cut: Option<Timestamp>) -> Result<bool, RecoveryError> {
        let fenced = streams::fence_all(self, generation.number).await?;
        streams::see_rows(self, &fenced, cut).await?;
        let restored = rehydrate::all(self, &generation.ledger, cut).await?;
        let is_ours = self.registry.open(generation).await?
            && self.services.ledger.adopt(&generation.ledger, generation.number).await?;
        if is_ours {
            self.services.metrics.recoveries.with_label_values(&["done"]).inc();
            self.services.metrics.restored.inc_by(restored);
            tracing::info!(ledger.generation = generation.number, ledger.restored = restored, "the ledger is whole");
        }
        Ok(is_ours)
    }

    /// Tells the ledger each second that it is in use, so that it shows later how far its data reaches.
    async fn beat(&self, stop: &CancellationToken) {
        let generations = self.services.generations.watch();
        loop {
            tokio::select! {
                () = sleep(BEAT) => {}
                () = stop.cancelled() => return,
            }
            let Some(generation) = *generations.borrow() else { continue };
            match self.services.ledger.beat().await {
                Err(LedgerError::Epoch) => self.services.generations.refused(generation),
                Err(error) => tracing::debug!(error = %chain(&error), "the ledger took no beat"),
                Ok(()) => {}
            }
        }
    }
}
