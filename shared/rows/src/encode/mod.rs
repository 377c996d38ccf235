//! JSON to protobuf rows, in one pass and driven by the table's schema. Pure.

mod change;
mod civil;
mod decimal;
mod decode;
mod extra;
mod ingest;
mod json_text;
mod live;
mod plan;
mod protobuf;
mod raw;
mod raw_row;
mod record;
mod row;
mod rules;
mod scalar;
mod value;
mod zone;

#[cfg(test)]
mod tests;

use std::{mem, sync::OnceLock};

use catalog::{Probed, Rules, TableSchema, UnknownFields};
use event::{Reason, Rejection, Timestamp};
pub use ingest::Ingest;
pub use live::LiveEncoder;
use prost_types::DescriptorProto;
use serde::de::DeserializeSeed;
use serde_json::Value;

use crate::{
    MaskKey, PayloadMask,
    descriptor::{SchemaUnsupported, SharedDescriptor},
};
use change::Changes;
use plan::{Kind, Plan};
use protobuf::put_bytes;
use record::Record;
use row::Row;
use rules::{Derived, EventRules};

/// The largest row, in bytes: what one append request holds, less room for `ingest` and the request's own fields.
pub const MAX_ROW_BYTES: usize = 10_000_000 - 64 * 1024;

/// Encodes the events of one table.
///
/// Lenient where BigQuery's own JSON ingestion is: numbers, booleans and decimals inside strings, numbers for STRING, every
/// documented form of a TIMESTAMP, padded and unpadded base64 of both alphabets, column names in any case. Times finer than a
/// microsecond are cut off. Strict in the rest: a value that does not fit is a [`Rejection`] with its JSON pointer, the
/// type that was expected and what was found; so is a column that is given twice, in whatever case, and an unknown field
/// given twice where such fields are kept.
#[derive(Debug)]
pub struct RowEncoder {
    plan: Plan,
    descriptor: SharedDescriptor,
    unknown: UnknownFields,
    /// The tag of `extra`, where unknown fields are captured.
    extra: Option<u32>,
    /// Made with the first upsert.
    changes: OnceLock<Changes>,
    /// The table's rules, where it has any.
    rules: Option<Box<EventRules>>,
}

/// An event that is to be a row.
#[derive(Debug, Clone, Copy)]
pub struct EventView<'a> {
    /// Its JSON.
    pub json: &'a [u8],
    /// What its stream's probe found in it.
    pub probed: &'a Probed<'a>,
    /// Whether it was perhaps masked before: see [`crate::PayloadMask::ATTRIBUTE`].
    pub is_masked: bool,
}

/// An event as a raw table takes it.
#[derive(Debug, Clone, Copy)]
pub struct RawEvent<'a> {
    /// Its JSON.
    pub json: &'a [u8],
    /// Its type, where it is known.
    pub event_type: Option<&'a str>,
    /// When Pub/Sub took its message.
    pub published_at: Timestamp,
    /// Whether it was perhaps masked before: see [`crate::PayloadMask::ATTRIBUTE`].
    pub is_masked: bool,
}

impl RowEncoder {
    /// An encoder for a table's real schema, Pipas's own columns included.
    pub fn new(schema: &TableSchema, unknown: UnknownFields) -> Result<Self, SchemaUnsupported> {
        Self::with_rules(schema, unknown, &Rules::default(), &MaskKey::none())
    }

    /// An encoder for a table's real schema that encodes events by the table's rules, and hashes under `key`.
    pub fn with_rules(
        schema: &TableSchema,
        unknown: UnknownFields,
        rules: &Rules,
        key: &MaskKey,
    ) -> Result<Self, SchemaUnsupported> {
        let descriptor = SharedDescriptor::new(schema)?;
        let mut plan = Plan::of_table(schema)?;
        plan.set_rules(rules);
        let rules = (!rules.is_empty()).then(|| Box::new(EventRules::new(rules, &plan, key)));
        let extra = match (unknown, plan.own(TableSchema::EXTRA)) {
            (UnknownFields::Ignore | UnknownFields::Reject, _) => None,
            (UnknownFields::Capture, Some(column)) if matches!(column.kind, Kind::Json) && !column.is_repeated => {
                Some(column.tag)
            }
            (UnknownFields::Capture, _) => return Err(SchemaUnsupported::NoExtraColumn),
        };
        Ok(Self { plan, descriptor, unknown, extra, changes: OnceLock::new(), rules })
    }

    /// The descriptor of the rows.
    pub fn descriptor(&self) -> &DescriptorProto {
        self.descriptor.proto()
    }

    /// The descriptor of the rows, as requests carry it.
    pub fn shared_descriptor(&self) -> &SharedDescriptor {
        &self.descriptor
    }

    /// Appends the row of the event `json` to `row`: everything but `ingest`. On a rejection `row` is as it was. Columns are
    /// not derived, nor is the event looked at as a whole: see [`RowEncoder::encode_event`].
    pub fn encode(&self, json: &[u8], row: &mut Vec<u8>) -> Result<(), Rejection> {
        self.append(json, &[], false, row)
    }

    /// Appends the row of an event of a stream, by the table's rules. On a rejection `row` is as it was.
    pub fn encode_event(&self, event: EventView<'_>, row: &mut Vec<u8>) -> Result<(), Rejection> {
        let Some(rules) = &self.rules else { return self.encode(event.json, row) };
        let derived = rules.derive(event.probed)?;
        rules.check(event.probed)?;
        self.append(event.json, &derived, event.is_masked, row)
    }

    /// The row of an event, or everything that is wrong with it.
    pub fn examine(&self, event: EventView<'_>) -> Result<Vec<u8>, Vec<Rejection>> {
        let (mut derived, mut faults) = (Vec::new(), Vec::new());
        if let Some(rules) = &self.rules {
            rules.derive_each(event.probed, |found| match found {
                Ok(made) => derived.push(made),
                Err(fault) => faults.push(fault),
            });
            rules.check_each(event.probed, |fault| faults.push(fault));
        }
        let mut state = Row::new(Vec::new(), self.unknown);
        state.faults = Some(faults);
        let result = self.run(event.json, &derived, event.is_masked, &mut state);
        let mut faults = state.faults.take().unwrap_or_default();
        if let Err(fault) = result.and_then(|()| self.finish(&mut state, 0)) {
            faults.push(fault);
        }
        if faults.is_empty() { Ok(state.out) } else { Err(faults) }
    }

    /// Appends the row that a raw table has of the event `json`: everything but `ingest`.
    pub fn encode_raw(
        &self,
        event: &RawEvent<'_>,
        mask: Option<&PayloadMask>,
        row: &mut Vec<u8>,
    ) -> Result<(), Rejection> {
        let start = row.len();
        let masked = mask.map(|mask| mask.payload(event.json, event.is_masked));
        raw_row::write(&self.plan, masked.as_deref().unwrap_or(event.json), event, row)
            .and_then(|()| within_bounds(row.len() - start))
            .inspect_err(|_| row.truncate(start))
    }

    /// A row that this encoder made, as JSON: each column as BigQuery would show it. Columns without a value are left out.
    pub fn to_json(&self, row: &[u8]) -> Value {
        decode::object(&self.plan, row)
    }

    fn append(
        &self,
        json: &[u8],
        derived: &[Derived<'_>],
        is_masked: bool,
        row: &mut Vec<u8>,
    ) -> Result<(), Rejection> {
        let start = row.len();
        row.reserve(json.len());
        let mut state = Row::new(mem::take(row), self.unknown);
        let result = self.run(json, derived, is_masked, &mut state).and_then(|()| self.finish(&mut state, start));
        *row = mem::take(&mut state.out);
        if result.is_err() {
            row.truncate(start);
        }
        result
    }

    /// Appends the `ingest` STRUCT to a row that [`Self::encode`] made. Writes nothing where the table has no such column.
    pub fn encode_ingest(&self, ingest: &Ingest<'_>, row: &mut Vec<u8>) {
        ingest::write(&self.plan, ingest, row);
    }

    /// The descriptor of rows that [`Self::encode_upsert`] made upserts, as requests carry it.
    pub fn upsert_descriptor(&self) -> &SharedDescriptor {
        &self.changes().descriptor
    }

    /// Makes a row that [`Self::encode`] made an upsert: it takes the place of the row of its primary key, unless that has
    /// a higher `sequence`. The sequence is one to four hexadecimal numbers of at most 16 digits, with slashes between them.
    pub fn encode_upsert(&self, sequence: &str, row: &mut Vec<u8>) {
        self.changes().write_upsert(sequence, row);
    }

    fn changes(&self) -> &Changes {
        self.changes.get_or_init(|| Changes::new(&self.descriptor))
    }

    fn run<'a>(
        &'a self,
        json: &'a [u8],
        derived: &'a [Derived<'a>],
        is_masked: bool,
        state: &mut Row<'a>,
    ) -> Result<(), Rejection> {
        (state.rules, state.is_masked) = (self.rules.as_deref(), is_masked);
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let record = Record { row: state, plan: &self.plan, derived };
        let result = record.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        state.finish(result)
    }

    fn finish(&self, state: &mut Row<'_>, start: usize) -> Result<(), Rejection> {
        let extra = mem::take(&mut state.extra);
        if let (Some(tag), Some(json)) = (self.extra, extra.finish()) {
            put_bytes(&mut state.out, tag, &json);
        }
        within_bounds(state.out.len() - start)
    }
}

fn within_bounds(size: usize) -> Result<(), Rejection> {
    if size > MAX_ROW_BYTES {
        let detail = format!("the row takes {size} bytes; an append holds {MAX_ROW_BYTES}");
        return Err(Rejection::new(Reason::TooLarge, detail));
    }
    Ok(())
}
