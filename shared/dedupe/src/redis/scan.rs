//! Looking through the plain keys, which are the undecided ones.

use std::time::Duration;

use exactly_once::{Claim, EventKey, PayloadHash, State};
use redis::AsyncCommands;

use super::{connection::Connection, corrupt, ledger_error, state, time};
use crate::LedgerError;

/// Keys that one step looks at.
const STEP: usize = 1_000;

/// Every event that was claimed at least `age` ago. Keys that come or go meanwhile may be missed.
pub(super) async fn undecided(
    connection: &mut Connection,
    age: Duration,
) -> Result<Vec<(EventKey, Claim, PayloadHash)>, LedgerError> {
    let (mut cursor, mut old) = (0_u64, Vec::new());
    loop {
        let (next, names): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg("e:*")
            .arg("COUNT")
            .arg(STEP)
            .query_async(connection)
            .await
            .map_err(ledger_error)?;
        if !names.is_empty() {
            let (seconds, micros): (u64, u64) =
                redis::cmd("TIME").query_async(connection).await.map_err(ledger_error)?;
            let now =
                time((seconds * 1_000 + micros / 1_000).to_string().as_bytes()).ok_or_else(|| corrupt("no time"))?;
            for name in names {
                // One by one: the keys may be of several slots.
                let value: Option<Vec<u8>> = connection.get(&name).await.map_err(ledger_error)?;
                if let (Some(key), Some(State::Claimed { claim, payload, age: found })) =
                    (key(&name), state(value.as_deref(), now)?)
                    && found >= age
                {
                    old.push((key, claim, payload));
                }
            }
        }
        cursor = next;
        if cursor == 0 {
            return Ok(old);
        }
    }
}

fn key(name: &[u8]) -> Option<EventKey> {
    let (_, key) = name.split_last_chunk::<16>()?;
    Some(EventKey::from_bytes(*key))
}
