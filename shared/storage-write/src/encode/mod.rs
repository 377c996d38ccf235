//! JSON to protobuf rows, in one pass and driven by the table's schema. Pure.

mod change;
mod civil;
mod decimal;
mod extra;
mod ingest;
mod json_text;
mod live;
mod plan;
mod protobuf;
mod raw;
mod record;
mod row;
mod scalar;
mod value;
mod zone;

#[cfg(test)]
mod tests;

use std::{mem, sync::OnceLock};

use catalog::{TableSchema, UnknownFields};
use event::{Reason, Rejection};
pub use ingest::Ingest;
pub use live::LiveEncoder;
use prost_types::DescriptorProto;
use serde::de::DeserializeSeed;

use crate::descriptor::{SchemaUnsupported, SharedDescriptor};
use change::Changes;
use plan::{Kind, Plan};
use protobuf::put_bytes;
use record::Record;
use row::Row;

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
}

impl RowEncoder {
    /// An encoder for a table's real schema, Pipas's own columns included.
    pub fn new(schema: &TableSchema, unknown: UnknownFields) -> Result<Self, SchemaUnsupported> {
        let descriptor = SharedDescriptor::new(schema)?;
        let plan = Plan::of_table(schema)?;
        let extra = match (unknown, plan.own(TableSchema::EXTRA)) {
            (UnknownFields::Ignore | UnknownFields::Reject, _) => None,
            (UnknownFields::Capture, Some(column)) if matches!(column.kind, Kind::Json) && !column.is_repeated => {
                Some(column.tag)
            }
            (UnknownFields::Capture, _) => return Err(SchemaUnsupported::NoExtraColumn),
        };
        Ok(Self { plan, descriptor, unknown, extra, changes: OnceLock::new() })
    }

    /// The descriptor of the rows.
    pub fn descriptor(&self) -> &DescriptorProto {
        self.descriptor.proto()
    }

    /// The descriptor of the rows, as requests carry it.
    pub fn shared_descriptor(&self) -> &SharedDescriptor {
        &self.descriptor
    }

    /// Appends the row of the event `json` to `row`: everything but `ingest`. On a rejection `row` is as it was.
    pub fn encode(&self, json: &[u8], row: &mut Vec<u8>) -> Result<(), Rejection> {
        let start = row.len();
        row.reserve(json.len());
        let mut state = Row::new(mem::take(row), self.unknown);
        let result = self.run(json, &mut state).and_then(|()| self.finish(&mut state, start));
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

    fn run<'a>(&'a self, json: &'a [u8], state: &mut Row<'a>) -> Result<(), Rejection> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let record = Record { row: state, plan: &self.plan };
        let result = record.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        state.finish(result)
    }

    fn finish(&self, state: &mut Row<'_>, start: usize) -> Result<(), Rejection> {
        let extra = mem::take(&mut state.extra);
        if let (Some(tag), Some(json)) = (self.extra, extra.finish()) {
            put_bytes(&mut state.out, tag, &json);
        }
        let size = state.out.len() - start;
        if size > MAX_ROW_BYTES {
            let detail = format!("the row takes {size} bytes; an append holds {MAX_ROW_BYTES}");
            return Err(Rejection::new(Reason::TooLarge, detail));
        }
        Ok(())
    }
}
