//! Whether a sample would be loaded: by the code that loads, without a sink.

use std::collections::BTreeMap;

use catalog::{Delivery, Probe, Stream, Table, TableName};
use event::{Bytes, Message, Rejection, Timestamp, attribute};
use serde::Serialize;
use serde_json::Value;

use crate::{EventView, MaskKey, PayloadMask, RawEvent, RowEncoder, SchemaUnsupported};

/// Checks samples of one stream by its catalog alone: the tables are taken to be as they are declared.
///
/// It knows no key of masks: a hash is 64 zeros, so that nobody learns what a guessed value is hashed to.
#[derive(Debug)]
pub struct Checker {
    stream: Stream,
    probe: Probe,
    /// In the order of the stream's tables.
    encoders: Vec<RowEncoder>,
    payload_mask: Option<PayloadMask>,
}

/// What would become of a sample. The default is that nothing would.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Verdict {
    /// Whether it would be a row of the table that it is routed to.
    pub loaded: bool,
    /// The table that it is routed to, `dataset.table`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The event's id, where its JSON says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Its row, but for `ingest`. Columns without a value are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<Value>,
    /// Its rows in the stream's raw tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raw: Vec<CheckedRow>,
    /// Everything that is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedRow {
    /// The table, `dataset.table`.
    pub table: String,
    /// The row.
    pub row: Value,
}

/// One thing that is wrong with a sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The JSON pointer of the value at fault, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The reason that a dead letter would have.
    pub reason: &'static str,
    /// What was expected, and what was found.
    pub detail: String,
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Self {
        Self { pointer: rejection.pointer, reason: rejection.reason.code(), detail: rejection.detail }
    }
}

impl Verdict {
    /// Of what is refused before it is looked at as an event.
    pub fn refused(fault: Rejection) -> Self {
        Self { errors: vec![fault.into()], ..Self::default() }
    }
}

impl Checker {
    /// A checker of samples of `stream`.
    pub fn new(stream: &Stream) -> Result<Self, SchemaUnsupported> {
        let key = MaskKey::none();
        let encoder =
            |table: &Table| RowEncoder::with_rules(&table.real_schema(), table.unknown_fields, &table.rules, &key);
        Ok(Self {
            probe: Probe::new(stream),
            encoders: stream.tables.iter().map(encoder).collect::<Result<_, _>>()?,
            payload_mask: PayloadMask::of(stream, &key),
            stream: stream.clone(),
        })
    }

    /// What would become of the event `json`, whose message has these attributes.
    pub fn check(&self, json: &[u8], attributes: &BTreeMap<String, String>) -> Verdict {
        let probed = match self.probe.scan(json) {
            Ok(probed) => probed,
            Err(rejection) => return Verdict::refused(rejection),
        };
        let mut verdict = Verdict::default();
        let route = probed.route(&self.stream, attributes);
        verdict.table = route.map(|table| table.name.to_string());
        match self.stream.event_id(&probed, route) {
            Some(Ok(id)) => verdict.event_id = Some(id.to_string()),
            Some(Err(rejection)) => verdict.errors.push(rejection.into()),
            None => {}
        }
        let has_id = verdict.errors.is_empty();
        if has_id {
            let declared = attributes.get(attribute::TYPE).map(String::as_str);
            let event_type = self.stream.event_type(Some(&probed), declared, attributes);
            let event_type = event_type.as_deref();
            self.raw(RawEvent { json, event_type, published_at: Timestamp::now(), is_masked: false }, &mut verdict);
        }
        let event = EventView { json, probed: &probed, is_masked: false };
        match route.and_then(|table| Some((table, self.encoder(&table.name)?))) {
            Some((table, encoder)) => {
                match encoder.examine(event) {
                    Ok(row) => verdict.row = Some(encoder.to_json(&row)),
                    Err(faults) => verdict.errors.extend(faults.into_iter().map(Fault::from)),
                }
                if let Delivery::Upsert(upsert) = &table.delivery
                    && let Err(rejection) = upsert.sequence_number(&self.probe, &message(json, attributes))
                {
                    verdict.errors.push(rejection.into());
                }
            }
            // A stream of raw tables alone routes nothing.
            None if self.stream.tables.iter().all(|table| table.is_raw) => {}
            None => verdict.errors.push(self.stream.no_route().into()),
        }
        verdict.loaded = verdict.errors.is_empty();
        if !verdict.loaded {
            verdict.row = None;
        }
        verdict
    }

    fn encoder(&self, name: &TableName) -> Option<&RowEncoder> {
        let at = self.stream.tables.iter().position(|table| table.name == *name)?;
        self.encoders.get(at)
    }

    fn raw(&self, event: RawEvent<'_>, verdict: &mut Verdict) {
        for (table, encoder) in self.stream.tables.iter().zip(&self.encoders).filter(|(table, _)| table.is_raw) {
            let mut row = Vec::new();
            match encoder.encode_raw(&event, self.payload_mask.as_ref(), &mut row) {
                Ok(()) => {
                    verdict.raw.push(CheckedRow { table: table.name.to_string(), row: encoder.to_json(&row) });
                }
                Err(rejection) => verdict.errors.push(rejection.into()),
            }
        }
    }
}

/// The message that would carry the sample.
fn message(json: &[u8], attributes: &BTreeMap<String, String>) -> Message {
    Message {
        message_id: "check".to_owned(),
        publish_time: Timestamp::now(),
        ordering_key: String::new(),
        attributes: attributes.clone(),
        data: Bytes::copy_from_slice(json),
    }
}
