//! Writing into the ledger what the tables say.

use std::{collections::HashMap, time::Duration};

use catalog::{TableSchema, dead_letters_table};
use dedupe::{Restored, Survey};
use event::{DeadLetterId, EventId, Reason, Timestamp};
use exactly_once::{EventKey, PayloadHash};
use serde_json::Value;

use super::{Claimed, Recovery, RecoveryError, repair::Known};
use crate::fence::integer;

/// Keys of one call.
const BATCH: usize = 500;

/// Tells of the events that are rows of the table, and what they say, where its rows tell.
pub(super) async fn rows(
    recovery: &Recovery,
    survey: &Survey,
    Known { table, epoch, tells }: &Known<'_>,
    cut: Option<Timestamp>,
) -> Result<u64, RecoveryError> {
    let (id, time) = match table.is_dead_letters {
        true => ("dead_letter_id", "rejected_at"),
        false => ("ingest.event_id", "ingest.loaded_at"),
    };
    let payload = if *tells { format!(", MAX(ingest.{})", TableSchema::PAYLOAD_HASH) } else { String::new() };
    let sql = format!(
        "SELECT {id}{payload} FROM `{}.{}` WHERE {time} >= TIMESTAMP '{:.6}' GROUP BY 1",
        recovery.services.project,
        table.name,
        since(table, cut),
    );
    let mut pages = recovery.services.tables.query_pages(&sql).await?;
    let mut restored = 0;
    while let Some(page) = pages.next().await? {
        let keys = page.iter().filter_map(|row| {
            let payload = row.get(1).and_then(integer).map_or(PayloadHash::UNKNOWN, PayloadHash::from_column);
            Some((EventKey::new(&table.name, *epoch, &event_id(row.first()?)?), Restored::Done { payload }))
        });
        restored += restore(recovery, survey, keys.collect(), table.window).await?;
    }
    Ok(restored)
}

/// Tells of the events that are dead letters, and so no rows of the table that refused them, each with how often it was
/// redriven: the ledger keeps the last of an event's dead letters, in whichever order they come.
pub(super) async fn dead_letters(
    recovery: &Recovery,
    survey: &Survey,
    Known { table, epoch, tells: _ }: &Known<'_>,
    cut: Option<Timestamp>,
) -> Result<u64, RecoveryError> {
    let letters = dead_letters_table().name;
    let tells = match recovery.services.tables.get(&letters).await {
        Ok((schema, _)) => schema.fields.iter().any(|field| field.name == TableSchema::PAYLOAD_HASH),
        Err(error) if error.is_not_found() => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let says = if tells { TableSchema::PAYLOAD_HASH } else { "NULL" };
    // Of two events with one id, the one that came second says nothing of the first.
    let sql = format!(
        "SELECT DISTINCT event_id, dead_letter_id, {says} FROM `{}.{letters}` WHERE rejected_at >= TIMESTAMP '{:.6}' \
         AND `table` = '{}' AND event_id IS NOT NULL AND reason != '{}'",
        recovery.services.project,
        since(table, cut),
        table.name,
        Reason::PayloadConflict.code(),
    );
    let mut pages = recovery.services.tables.query_pages(&sql).await?;
    let mut restored = 0;
    while let Some(page) = pages.next().await? {
        let mut last: HashMap<EventKey, (u8, PayloadHash)> = HashMap::new();
        for row in &page {
            let [id, letter, says] = row.as_slice() else { continue };
            let Some(id) = event_id(id) else { continue };
            let letter = letter.as_str().and_then(|letter| letter.parse().ok());
            let redrives = letter.map_or(0, |letter: DeadLetterId| letter.redrives());
            let says = integer(says).map_or(PayloadHash::UNKNOWN, PayloadHash::from_column);
            let known = last.entry(EventKey::new(&table.name, *epoch, &id)).or_insert((redrives, says));
            if redrives > known.0 {
                *known = (redrives, says);
            }
        }
        let rejected = |(redrives, says): (u8, PayloadHash)| Restored::Rejected { payload: says.redriven(redrives) };
        let keys = last.into_iter().map(|(key, last)| (key, rejected(last))).collect();
        restored += restore(recovery, survey, keys, table.window).await?;
    }
    Ok(restored)
}

fn since(table: &Claimed, cut: Option<Timestamp>) -> Timestamp {
    cut.unwrap_or_else(|| Timestamp::now() - table.window)
}

async fn restore(
    recovery: &Recovery,
    survey: &Survey,
    keys: Vec<(EventKey, Restored)>,
    window: Duration,
) -> Result<u64, RecoveryError> {
    for some in keys.chunks(BATCH) {
        recovery.services.ledger.restore(survey, some, window).await?;
    }
    Ok(keys.len() as u64)
}

fn event_id(cell: &Value) -> Option<EventId> {
    EventId::new(cell.as_str()?).ok()
}
