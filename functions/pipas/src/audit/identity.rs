//! Which event a message carries: by the loader's own rules, from the message alone.

use catalog::{Probe, Stream, TableName};
use event::{EventId, Message, Timestamp};
use sha2::{Digest, Sha256};

/// What makes an event the same event, in 128 bits of SHA-256.
pub(super) type Key = [u8; 16];

/// Reads events of one stream.
pub(super) struct Identify<'a> {
    stream: &'a Stream,
    probe: Probe,
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
    table: Option<TableName>,
    id: String,
}

impl<'a> Identify<'a> {
    pub(super) fn new(stream: &'a Stream) -> Self {
        Self { stream, probe: Probe::new(stream) }
    }

    /// The event of `message`.
    pub(super) fn message(&self, message: &Message) -> Archived {
        let (table, id) = match self.routed(message) {
            Some((table, id)) => (Some(table.clone()), Some(id)),
            None => (None, message.declared_event_id().and_then(Result::ok)),
        };
        let key = match &id {
            Some(id) => event_key(table.as_ref().map(ToString::to_string).as_deref(), id.as_str()),
            None => message_key(&message.message_id),
        };
        Archived {
            key,
            content: u32::from_be_bytes(first_bytes(&Sha256::digest(&message.data))),
            message: u64::from_be_bytes(first_bytes(&Sha256::digest(&message.message_id))),
            published: message.publish_time,
            table,
            id: id.map_or_else(|| format!("message {}", message.message_id), |id| id.to_string()),
        }
    }

    /// The table that takes the event, and its id there; `None`: the event is a dead letter before it has a table.
    fn routed(&self, message: &Message) -> Option<(&TableName, EventId)> {
        let event = self.probe.scan(&message.data).ok()?;
        let table = event.route(self.stream, &message.attributes)?;
        let id = self.stream.message_event_id(message, &event, Some(table)).ok()?;
        Some((&table.name, id))
    }
}

impl Archived {
    /// The event as people are told of it.
    pub(super) fn name(&self) -> String {
        name(self.table.as_ref().map(ToString::to_string).as_deref(), &self.id)
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

fn key(kind: &str, table: &str, id: &str) -> Key {
    let hash = Sha256::new().chain_update(kind).chain_update([0]).chain_update(table).chain_update([0]);
    first_bytes(&hash.chain_update(id).finalize())
}

fn first_bytes<const N: usize>(hash: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| hash[at])
}
