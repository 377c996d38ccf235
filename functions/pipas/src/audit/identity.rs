//! Which event a message carries: by the loader's own rules, from the message alone.

use std::collections::HashMap;

use anyhow::Context;
use catalog::{Probe, Stream, Table};
use event::{EventId, Message, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::row_keys::RowKeys;

/// What makes an event the same event, in 128 bits of SHA-256.
pub(super) type Key = [u8; 16];

/// Reads events of one stream.
pub(super) struct Identify<'a> {
    stream: &'a Stream,
    probe: Probe,
    /// Of the upsert tables, by the tables' keys in the catalog.
    row_keys: HashMap<&'a str, RowKeys>,
}

/// An archived event.
#[derive(Debug)]
pub(super) struct Archived {
    pub(super) key: Key,
    /// What tells one content under the key from another.
    pub(super) content: u32,
    /// What tells one message from another.
    pub(super) message: u64,
    pub(super) published: Timestamp,
    /// Nothing names it but its message's id: of a copy on the dead-letter topic Pub/Sub makes that another one.
    pub(super) is_unnamed: bool,
    /// The dead letter that was published again as this event.
    pub(super) redriven: Option<String>,
    /// The row of an upsert table that the event makes, or replaces.
    pub(super) row: Option<Key>,
    table: Option<String>,
    id: String,
}

impl<'a> Identify<'a> {
    pub(super) fn new(stream: &'a Stream) -> anyhow::Result<Self> {
        let mut row_keys = HashMap::new();
        for table in &stream.tables {
            if let Some(keys) = RowKeys::of(table).with_context(|| format!("the primary key of {}", table.name))? {
                row_keys.insert(table.key.as_str(), keys);
            }
        }
        Ok(Self { stream, probe: Probe::new(stream), row_keys })
    }

    /// How many events a message carries at most.
    pub(super) fn most_events(&self) -> u64 {
        let raw = self.stream.raw_tables().count();
        raw as u64 + u64::from(raw < self.stream.tables.len())
    }

    /// The events of `message`: that of the table that it is routed to, and one of each raw table.
    pub(super) fn message(&self, message: &Message) -> Vec<Archived> {
        let Some((route, id)) = self.identified(message) else {
            return vec![self.archived(message, None, message.declared_event_id().and_then(Result::ok))];
        };
        let mut events = Vec::with_capacity(1);
        match route {
            Some(_) => events.push(self.archived(message, route, Some(id.clone()))),
            // A stream of raw tables alone routes nothing.
            None if self.stream.tables.iter().all(|table| table.is_raw) => {}
            None => {
                events.push(self.archived(message, None, message.declared_event_id().and_then(Result::ok)));
            }
        }
        events.extend(self.stream.raw_tables().map(|raw| self.archived(message, Some(raw), Some(id.clone()))));
        events
    }

    fn archived(&self, message: &Message, table: Option<&Table>, id: Option<EventId>) -> Archived {
        let row = table.and_then(|table| self.row_keys.get(table.key.as_str())?.of_event(&message.data));
        let said: &[u8] = match (table, &id) {
            (Some(table), Some(id)) => self.stream.content(table, id, &message.data),
            _ => &message.data,
        };
        let raw = table.filter(|table| table.is_raw).map(|table| table.name.to_string()).unwrap_or_default();
        let table = table.map(|table| table.name.to_string());
        let key = match &id {
            Some(id) => event_key(table.as_deref(), id.as_str()),
            None => message_key(&message.message_id),
        };
        // A dead letter that was published again is an event of its own, whatever it says: the first ended as the dead letter.
        let redriven = message.redrive().map(|redrive| redrive.of.to_string());
        let content = redriven.as_ref().map_or(said, |of| of.as_bytes());
        let is_named = message.declared_event_id().is_some();
        let is_unnamed = !is_named && id.as_ref().is_none_or(|id| id.as_str() == message.message_id);
        Archived {
            key,
            is_unnamed,
            content: u32::from_be_bytes(first_bytes(&Sha256::digest(content))),
            redriven,
            // A message is an event of its own of each raw table.
            message: u64::from_be_bytes(first_bytes(
                &Sha256::new().chain_update(&message.message_id).chain_update([0]).chain_update(raw).finalize(),
            )),
            published: message.publish_time,
            row,
            table,
            id: id.map_or_else(|| format!("message {}", message.message_id), |id| id.to_string()),
        }
    }

    /// The table that the event is routed to, and its id; `None`: it is a dead letter before it has a table, and in no raw one.
    fn identified(&self, message: &Message) -> Option<(Option<&'a Table>, EventId)> {
        let event = self.probe.scan(&message.data).ok()?;
        let route = event.route(self.stream, &message.attributes);
        let id = self.stream.message_event_id(message, &event, route).ok()?;
        Some((route, id))
    }
}

impl Archived {
    /// The event as people are told of it.
    pub(super) fn name(&self) -> String {
        name(self.table.as_deref(), &self.id)
    }
}

/// An event as people are told of it.
pub(super) fn name(table: Option<&str>, id: &str) -> String {
    table.map_or_else(|| id.to_owned(), |table| format!("{table}: {id}"))
}

/// The key of the event `id` in `table`; without a table, of one that none takes.
pub(super) fn event_key(table: Option<&str>, id: &str) -> Key {
    key("event", table.unwrap_or_default(), id)
}

/// The key of an event that nothing names but its message.
pub(super) fn message_key(message_id: &str) -> Key {
    key("message", "", message_id)
}

/// The key of the row of an upsert table whose key columns have these values, as the loader writes them.
pub(super) fn row_key(table: &str, values: &[&Value]) -> Key {
    key("row", table, &serde_json::json!(values).to_string())
}

fn key(kind: &str, table: &str, id: &str) -> Key {
    let hash = Sha256::new().chain_update(kind).chain_update([0]).chain_update(table).chain_update([0]);
    first_bytes(&hash.chain_update(id).finalize())
}

fn first_bytes<const N: usize>(hash: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| hash[at])
}
