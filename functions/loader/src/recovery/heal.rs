//! Tables that the ledger was not made whole for in time.

use std::time::Duration;

use catalog::TableName;
use dedupe::Meter;
use registry::{Degraded, Generation};
use service::chain;
use tokio::time::sleep;

use super::{Recovery, RecoveryError, repair::Broken};

/// How often the registry is asked which tables are degraded, while there are some.
const LOOK: Duration = Duration::from_secs(5);
/// How often one of all loaders tries to heal a table.
const TURN: Duration = Duration::from_secs(20);

impl Recovery {
    /// Heals tables for as long as it is awaited.
    pub(super) async fn heal(&self) {
        let mut generations = self.services.generations.watch();
        loop {
            if self.services.generations.of_degraded().is_none() {
                // Its sender lives as long as the services do.
                if generations.changed().await.is_err() {
                    return;
                }
                continue;
            }
            sleep(LOOK).await;
            let Some(number) = self.services.generations.of_degraded() else { continue };
            if let Err(error) = self.heal_all(number).await {
                tracing::warn!(error = %chain(&error), "nobody knows which tables the ledger is whole for");
            }
        }
    }

    async fn heal_all(&self, number: u64) -> Result<(), RecoveryError> {
        // Claims for a table are made again after the registry says that it is healed, and so after this survey.
        let survey = self.services.ledger.survey().await?;
        let found = self.registry.generation().await?.filter(|found| found.number == number && survey.holds(number));
        let Some(generation) = found else {
            self.services.generations.refused(number);
            return Ok(());
        };
        self.learn(&generation);
        for degraded in &generation.degraded {
            // Another loader's catalog may have the others.
            let Some(table) = self.claimed(&degraded.table) else { continue };
            if !self.is_first(&table.name).await? {
                continue;
            }
            let streams = self.streams_before(number).await?.remove(&table.name).unwrap_or_default();
            let broken = Broken { table, streams, cut: degraded.cut };
            match Box::pin(broken.repair(self, &survey)).await {
                Ok(events) => self.healed(number, degraded, events).await?,
                Err(error) if error.is_of_all() => return Err(error),
                Err(error) => {
                    self.services.metrics.recoveries.with_label_values(&["failed"]).inc();
                    tracing::error!(table = %table.name, error = %chain(&error), "the ledger is not whole for a table yet");
                }
            }
        }
        Ok(())
    }

    /// Whether no loader tried to heal the table in this turn.
    async fn is_first(&self, table: &TableName) -> Result<bool, RecoveryError> {
        let turn = Meter { what: &format!("heal/{table}"), by: 1, period: TURN };
        Ok(self.services.ledger.meter(&[turn]).await?.iter().all(|counted| counted.current == 1))
    }

    async fn healed(&self, number: u64, degraded: &Degraded, events: u64) -> Result<(), RecoveryError> {
        match self.registry.healed(number, &degraded.table).await? {
            Some(generation) => {
                self.services.metrics.restored.inc_by(events);
                tracing::info!(table = %degraded.table, ledger.restored = events, "the ledger is whole for a table again");
                self.learn(&generation);
            }
            None => self.services.generations.refused(number),
        }
        Ok(())
    }

    /// Takes what the registry says of the generation that is in use.
    fn learn(&self, generation: &Generation) {
        self.services.generations.healed(self.shown(generation));
    }
}
