//! The `ingest` STRUCT: how a row came to be.

use catalog::TableSchema;
use event::Timestamp;

use super::{
    plan::{Column, Kind, Plan},
    protobuf::{begin_message, end_message, put_bytes, put_int64},
};

/// How a row came to be. It is written at the seal, when stream and offset are known.
#[derive(Debug, Clone)]
pub struct Ingest<'a> {
    /// What makes the event the same event.
    pub event_id: &'a str,
    /// Pub/Sub's id of the message that carried it.
    pub message_id: &'a str,
    /// The producer.
    pub source: &'a str,
    /// When the receiver accepted the event, where it passed through one.
    pub received_at: Option<Timestamp>,
    /// When Pub/Sub took the message.
    pub published_at: Timestamp,
    /// When the row was sealed.
    pub loaded_at: Timestamp,
    /// Which delivery of the message it was, where Pub/Sub says so.
    pub delivery_attempt: Option<u32>,
    /// The short id of the write stream; empty on the default stream.
    pub write_stream: &'a str,
    /// The row's offset in it; `None` on the default stream.
    pub write_offset: Option<i64>,
    /// What the event said, by its hash, where that may be known.
    pub payload_hash: Option<i64>,
}

/// A field's value.
enum Datum<'a> {
    Text(&'a str),
    Number(i64),
}

/// Appends the STRUCT to `out`, with those of its fields that the table has with the right type.
pub(super) fn write(table: &Plan, ingest: &Ingest<'_>, out: &mut Vec<u8>) {
    let Some(Column { tag, kind: Kind::Struct(plan), is_repeated: false, .. }) = table.own(TableSchema::INGEST) else {
        return;
    };
    let text = |value| Some(Datum::Text(value)).filter(|_| !str::is_empty(value));
    let time = |value: Timestamp| Datum::Number(value.as_microsecond());
    let fields = [
        ("event_id", text(ingest.event_id)),
        ("message_id", text(ingest.message_id)),
        ("source", text(ingest.source)),
        ("received_at", ingest.received_at.map(time)),
        ("published_at", Some(time(ingest.published_at))),
        ("loaded_at", Some(time(ingest.loaded_at))),
        ("delivery_attempt", ingest.delivery_attempt.map(|attempt| Datum::Number(attempt.into()))),
        ("write_stream", text(ingest.write_stream)),
        ("write_offset", ingest.write_offset.map(Datum::Number)),
        (TableSchema::PAYLOAD_HASH, ingest.payload_hash.map(Datum::Number)),
    ];
    let start = begin_message(out, *tag);
    for (index, (name, datum)) in fields.into_iter().enumerate() {
        let column = plan.columns.get(index).filter(|column| column.name == name).or_else(|| plan.own(name));
        let (Some(column), Some(datum)) = (column, datum) else { continue };
        match (&column.kind, datum) {
            (Kind::String { .. }, Datum::Text(value)) => put_bytes(out, column.tag, value.as_bytes()),
            (Kind::Int64 | Kind::Timestamp, Datum::Number(value)) => put_int64(out, column.tag, value),
            _ => {}
        }
    }
    end_message(out, start);
}
