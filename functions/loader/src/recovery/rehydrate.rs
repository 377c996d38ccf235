//! Writing into the ledger what the tables say.

use std::{collections::HashMap, time::Duration};

use catalog::{TableName, TableSchema, dead_letters_table};
use dedupe::Restored;
use event::{DeadLetterId, EventId, Reason, Timestamp};
use exactly_once::{EventKey, PayloadHash};
use serde_json::Value;

use super::{Claimed, Recovery, RecoveryError};
use crate::fence::integer;

/// Keys of one call.
const BATCH: usize = 500;

/// A table as it stands, and for how long its events are remembered.
struct Known {
    epoch: i64,
    window: Duration,
    /// Whether its rows tell what their events said: those of an older version do not.
    tells: bool,
}

/// Tells the ledger of this identity of every event that is a row, or a dead letter, since `cut`; `None`: since the tables'
/// windows began. Says how many. Rows come last, for they are what is final: an event that was redriven is a dead letter and
/// a row.
pub(super) async fn all(recovery: &Recovery, ledger: &str, cut: Option<Timestamp>) -> Result<u64, RecoveryError> {
    let mut known = HashMap::new();
    for table in &recovery.tables {
        let (schema, epoch) = match recovery.services.tables.get(&table.name).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error.into()),
        };
        let tells = schema.ingest_has(TableSchema::PAYLOAD_HASH);
        known.insert(table.name.clone(), Known { epoch, window: table.window, tells });
    }
    let mut restored = dead_letters(recovery, ledger, &known, cut).await?;
    for table in &recovery.tables {
        if let Some(known) = known.get(&table.name) {
            restored += rows(recovery, ledger, (table, known), cut).await?;
        }
    }
    Ok(restored)
}

/// The events that are rows of the table, and what they say, where its rows tell.
async fn rows(
    recovery: &Recovery,
    ledger: &str,
    (table, known): (&Claimed, &Known),
    cut: Option<Timestamp>,
) -> Result<u64, RecoveryError> {
    let (id, time) = match table.is_dead_letters {
        true => ("dead_letter_id", "rejected_at"),
        false => ("ingest.event_id", "ingest.loaded_at"),
    };
    let payload = if known.tells { format!(", MAX(ingest.{})", TableSchema::PAYLOAD_HASH) } else { String::new() };
    let sql = format!(
        "SELECT {id}{payload} FROM `{}.{}` WHERE {time} >= TIMESTAMP '{}' GROUP BY 1",
        recovery.services.project,
        table.name,
        cut.unwrap_or_else(|| Timestamp::now() - table.window),
    );
    let mut pages = recovery.services.tables.query_pages(&sql).await?;
    let mut restored = 0;
    while let Some(page) = pages.next().await? {
        let keys = page.iter().filter_map(|row| {
            let payload = row.get(1).and_then(integer).map_or(PayloadHash::UNKNOWN, PayloadHash::from_column);
            Some((EventKey::new(&table.name, known.epoch, &event_id(row.first()?)?), Restored::Done { payload }))
        });
        restored += restore(recovery, ledger, keys.collect(), table.window).await?;
    }
    Ok(restored)
}

/// The events that are dead letters, and so no rows of the table that refused them, each with how often it was redriven: the
/// ledger keeps the last of an event's dead letters, in whichever order they come.
async fn dead_letters(
    recovery: &Recovery,
    ledger: &str,
    known: &HashMap<TableName, Known>,
    cut: Option<Timestamp>,
) -> Result<u64, RecoveryError> {
    let name = dead_letters_table().name;
    if !known.contains_key(&name) {
        return Ok(0);
    }
    let longest = known.values().map(|table| table.window).max().unwrap_or_default();
    // Of two events with one id, the one that came second says nothing of the first.
    let sql = format!(
        "SELECT DISTINCT `table`, event_id, dead_letter_id FROM `{}.{name}` WHERE rejected_at >= TIMESTAMP '{}' \
         AND `table` IS NOT NULL AND event_id IS NOT NULL AND reason != '{}'",
        recovery.services.project,
        cut.unwrap_or_else(|| Timestamp::now() - longest),
        Reason::PayloadConflict.code(),
    );
    let mut restored = 0;
    let mut pages = recovery.services.tables.query_pages(&sql).await?;
    while let Some(page) = pages.next().await? {
        let mut by_window: HashMap<Duration, HashMap<EventKey, u8>> = HashMap::new();
        for row in &page {
            let [table, id, letter] = row.as_slice() else { continue };
            let table = table.as_str().and_then(|table| table.split_once('.'));
            let Some((dataset, table)) = table else { continue };
            let table = TableName { dataset: dataset.to_owned(), table: table.to_owned() };
            if let (Some(Known { epoch, window, .. }), Some(id)) = (known.get(&table), event_id(id)) {
                let letter = letter.as_str().and_then(|letter| letter.parse().ok());
                let redrives = letter.map_or(0, |letter: DeadLetterId| letter.redrives());
                let key = EventKey::new(&table, *epoch, &id);
                let most = by_window.entry(*window).or_default().entry(key).or_default();
                *most = redrives.max(*most);
            }
        }
        for (window, keys) in by_window {
            let rejected = |redrives| Restored::Rejected { payload: PayloadHash::UNKNOWN.redriven(redrives) };
            let keys = keys.into_iter().map(|(key, redrives)| (key, rejected(redrives))).collect();
            restored += restore(recovery, ledger, keys, window).await?;
        }
    }
    Ok(restored)
}

async fn restore(
    recovery: &Recovery,
    ledger: &str,
    keys: Vec<(EventKey, Restored)>,
    window: Duration,
) -> Result<u64, RecoveryError> {
    for some in keys.chunks(BATCH) {
        recovery.services.ledger.restore(ledger, some, window).await?;
    }
    Ok(keys.len() as u64)
}

fn event_id(cell: &Value) -> Option<EventId> {
    EventId::new(cell.as_str()?).ok()
}
