//! Making the ledger whole for one table: fence what an older generation left, see its rows, tell the ledger of them.

use catalog::{TableName, TableSchema};
use dedupe::Survey;
use event::Timestamp;
use registry::Entry;

use super::{Claimed, Recovery, RecoveryError, rehydrate, streams};

/// A table that the ledger is to know.
pub(super) struct Broken<'a> {
    pub(super) table: &'a Claimed,
    /// Its write streams of older generations.
    pub(super) streams: Vec<Entry>,
    /// Since when the ledger may not know its rows; `None`: since the table's window began.
    pub(super) cut: Option<Timestamp>,
}

/// A table as it stands.
pub(super) struct Known<'a> {
    pub(super) table: &'a Claimed,
    pub(super) epoch: i64,
    /// Whether its rows tell what their events said: those of an older version do not.
    pub(super) tells: bool,
}

impl Broken<'_> {
    /// Does all of it, and says of how many events the ledger was told. May be repeated. What is final comes last: an event
    /// that was redriven is a dead letter and a row.
    pub(super) async fn repair(&self, recovery: &Recovery, survey: &Survey) -> Result<u64, RecoveryError> {
        let Self { table, streams, cut } = self;
        let fenced = streams::fence_all(recovery, streams).await?;
        let known = match recovery.services.tables.get(&table.name).await {
            Ok((schema, epoch)) => Known { table, epoch, tells: schema.ingest_has(TableSchema::PAYLOAD_HASH) },
            // A table that is no more has no rows that could come twice.
            Err(error) if error.is_not_found() => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        streams::see_rows(recovery, &known, fenced, *cut).await?;
        let rejected = match table.is_dead_letters {
            true => 0,
            false => rehydrate::dead_letters(recovery, survey, &known, *cut).await?,
        };
        Ok(rejected + rehydrate::rows(recovery, survey, &known, *cut).await?)
    }

    pub(super) fn name(&self) -> &TableName {
        &self.table.name
    }
}
