//! A delivery between its push and its row.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use catalog::{TableName, TableSchema};
use event::{Bytes, EventId, Message, Redrive, Rejection, Timestamp, attribute};
use exactly_once::{EventKey, PayloadHash};
use rows::PayloadMask;
use serde_json::json;
use service::{Span, SpanKind, TraceContext, Tracer};
use storage_write::{Ingest, MAX_ROW_BYTES};

use crate::{dead_letters::DeadLetter, loader::Room, version::Version};

/// Where an event came from.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) stream: Arc<str>,
    /// `None`: nothing that could be read names the event.
    pub(crate) event_id: Option<EventId>,
    pub(crate) message: Arc<Message>,
    pub(crate) delivery_attempt: Option<u32>,
    /// The push that brought it.
    pub(crate) trace: TraceContext,
    /// The dead letter that the event was, where it is redriven.
    pub(crate) redrive: Option<Redrive>,
    /// What the stream masks, in dead letters too.
    pub(crate) mask: Option<PayloadMask>,
    /// It is on its way to a raw table, beside the one that it is routed to.
    pub(crate) is_raw: bool,
}

/// What a dead letter takes beside its payload, its attributes and its detail, and with room to spare.
const BESIDE: usize = 64 * 1024;
const TRACER: Tracer = Tracer::new("loader");

impl Origin {
    /// The append of its row, in the trace of its push; ended by whoever appends.
    pub(crate) fn appending(&self, table: &TableName, rows: usize, place: Place<'_>) -> Span {
        let mut span = TRACER.span("append", SpanKind::Client, self.trace);
        if span.is_recorded() {
            span.attribute("db.system.name", "gcp.bigquery")
                .attribute("db.collection.name", table.to_string())
                .attribute("db.operation.batch.size", rows)
                .attribute("messaging.message.id", self.message.message_id.as_str())
                .attribute("pipas.write_stream", place.write_stream);
            if let Some(offset) = place.write_offset {
                span.attribute("pipas.write_offset", offset);
            }
        }
        span
    }

    /// Whether the event was perhaps masked before: it was a dead letter, and was sent again.
    pub(crate) fn is_masked(&self) -> bool {
        PayloadMask::is_on(&self.message)
    }

    /// What the event says, and how often it was redriven; `id` is what stands for its content, where that is so. A redriven event
    /// says what it said at first, whatever a patch made of it since: so the ledger knows it as the event that it was. What it said
    /// before it was masked nobody knows: that agrees with everything.
    pub(crate) fn payload(&self, id: Option<&EventId>) -> PayloadHash {
        let of_content = || PayloadHash::of(id.map_or(&self.message.data, |id| id.as_str().as_bytes()));
        let Some(redrive) = &self.redrive else { return of_content() };
        let told = redrive.payload.map(PayloadHash::from_bits).filter(|payload| !payload.is_unknown());
        let first = match (id, told) {
            (Some(_), _) => of_content(),
            (None, _) if self.is_masked() => PayloadHash::UNKNOWN,
            (None, told) => told.unwrap_or_else(of_content),
        };
        first.redriven(redrive.next.redrives())
    }

    /// When the event was first seen: by the receiver, else by Pub/Sub; of a replay, when it was replayed.
    pub(crate) fn since(&self) -> Timestamp {
        let received_at = || self.message.received_at().unwrap_or(self.message.publish_time);
        self.message.replayed_at().unwrap_or_else(received_at)
    }
}

/// An event as its table's writer takes it.
pub(crate) struct Incoming {
    pub(crate) key: EventKey,
    pub(crate) payload: PayloadHash,
    pub(crate) content: Content,
    pub(crate) origin: Arc<Origin>,
    /// The generation of the writer that asks for this dead letter; it is not written in another. `None`: any will do.
    pub(crate) generation: Option<u64>,
    /// The room that it takes up, until its writer forgets it. A dead letter takes up its event's.
    pub(crate) room: Option<Room>,
}

/// What is to be written.
pub(crate) enum Content {
    /// The event's row: everything but `ingest`, which is known when the row's place is.
    Row { body: Vec<u8>, version: Arc<Version> },
    /// A row of the dead letters' table.
    DeadLetter { letter: Arc<DeadLetter>, id: String, version: Arc<Version> },
    /// Nothing: the table will never take the event.
    Rejected(Rejection),
}

/// Where a row will stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) write_stream: &'a str,
    /// `None`: the default stream has no offsets.
    pub(crate) write_offset: Option<i64>,
    pub(crate) at: Timestamp,
}

impl Content {
    /// The size of the row, as far as it is known.
    pub(crate) fn size(&self) -> usize {
        /// What `ingest` adds.
        const INGEST: usize = 256;
        match self {
            Self::Row { body, .. } => body.len() + INGEST,
            Self::DeadLetter { letter, .. } => letter.origin.message.size() + INGEST,
            Self::Rejected(_) => 0,
        }
    }

    /// The schema that the row was encoded by.
    pub(crate) fn version(&self) -> Option<&Arc<Version>> {
        match self {
            Self::Row { version, .. } | Self::DeadLetter { version, .. } => Some(version),
            Self::Rejected(_) => None,
        }
    }

    /// The row, complete. `payload` is what the ledger is told that the event says.
    pub(crate) fn seal(&self, origin: &Origin, payload: PayloadHash, place: Place<'_>) -> Result<Bytes, Rejection> {
        match self {
            Self::Row { body, version } => {
                let mut row = Vec::with_capacity(body.len() + 256);
                row.extend_from_slice(body);
                let message = &origin.message;
                let ingest = Ingest {
                    event_id: origin.event_id.as_ref().map_or("", EventId::as_str),
                    message_id: &message.message_id,
                    source: message.source().unwrap_or_default(),
                    received_at: message.received_at(),
                    published_at: message.publish_time,
                    loaded_at: place.at,
                    delivery_attempt: origin.delivery_attempt,
                    write_stream: place.write_stream,
                    write_offset: place.write_offset,
                    // Who sees the hash of what is masked could try values until one fits.
                    payload_hash: payload.to_column().filter(|_| origin.mask.is_none()),
                };
                version.encoder.encode_ingest(&ingest, &mut row);
                Ok(row.into())
            }
            Self::DeadLetter { letter, id, version } => {
                let tells = version.has(TableSchema::PAYLOAD_HASH);
                let row = dead_letter(letter, id, place, tells);
                version.encode(&row).map(Bytes::from)
            }
            Self::Rejected(rejection) => Err(rejection.clone()),
        }
    }
}

/// The row of a dead letter, as JSON; `tells`: its table has a column for what the event says.
fn dead_letter(letter: &DeadLetter, id: &str, place: Place<'_>, tells: bool) -> Vec<u8> {
    let DeadLetter { origin, table, rejection, payload: says } = letter;
    let message = &origin.message;
    let masked = origin.mask.as_ref().map(|mask| mask.payload(&message.data, origin.is_masked()));
    let payload = masked.as_deref().unwrap_or(&message.data);
    let mut attributes = Cow::Borrowed(&message.attributes);
    if masked.is_some() {
        attributes.to_mut().insert(PayloadMask::ATTRIBUTE.to_owned(), "true".to_owned());
    }
    let mut detail = Cow::Borrowed(&*rejection.detail);
    let beside = attributes.iter().map(|(name, value)| 2 * (name.len() + value.len())).sum::<usize>() + detail.len();
    let kept = payload.len().min(MAX_ROW_BYTES.saturating_sub(beside + BESIDE));
    if kept < payload.len() {
        let cut = format!("; {kept} of its {} bytes are kept here, and all of them in the archive", payload.len());
        detail.to_mut().push_str(&cut);
        attributes.to_mut().insert(attribute::CUT.to_owned(), payload.len().to_string());
    }
    let mut row = json!({
        "dead_letter_id": id,
        "stream": &*origin.stream,
        "table": table.as_ref().map(ToString::to_string),
        "event_id": origin.event_id,
        "message_id": message.message_id,
        "reason": rejection.reason.code(),
        "detail": detail,
        "pointer": rejection.pointer,
        "payload": STANDARD.encode(&payload[..kept]),
        "attributes": &*attributes,
        "ordering_key": Some(&message.ordering_key).filter(|key| !key.is_empty()),
        "received_at": message.received_at().map(|time| time.to_string()),
        "published_at": message.publish_time.to_string(),
        "rejected_at": place.at.to_string(),
        "delivery_attempt": origin.delivery_attempt,
        "write_stream": place.write_stream,
        "write_offset": place.write_offset,
    });
    if let Some(redrive) = &origin.redrive {
        // Only where there is something to say: a table that is older than the column takes every other dead letter.
        row["redrive_of"] = json!(redrive.of.to_string());
    }
    if let Some(says) = says.to_column().filter(|_| tells && origin.mask.is_none()) {
        row[TableSchema::PAYLOAD_HASH] = json!(says);
    }
    row.to_string().into_bytes()
}
