//! `POST /v1/streams/{stream}/check`.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
};
use http::HeaderMap;
use rows::Verdict;
use serde::Serialize;
use serde_json::Value;
use shape::LeftOut;
use utoipa::ToSchema;

use crate::{Receiver, body, error::ReceiverError, headers::Producer, intake::Intake, openapi};

/// Events of one check at most: samples are looked at while the request waits.
const MAX_SAMPLES: usize = 1_000;

/// What would become of each sample.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Checked {
    /// How many samples there were.
    #[schema(example = 1)]
    pub checked: usize,
    /// How many of them would be loaded.
    #[schema(example = 1)]
    pub loaded: usize,
    /// How many the stream's filter leaves out, where it does: no row, and no dead letter.
    #[serde(skip_serializing_if = "is_zero")]
    pub filtered: usize,
    /// Each of them, in the order of the body.
    pub events: Vec<CheckedEvent>,
}

/// What would become of one sample.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CheckedEvent {
    /// Its place among those of the body, from 0.
    #[schema(example = 0)]
    pub index: usize,
    /// The line of the body that it begins on, from 1.
    #[schema(example = 1)]
    pub line: usize,
    /// Whether it would be a row of the table that it is routed to.
    #[schema(example = true)]
    pub loaded: bool,
    /// The table that it is routed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "courier_chat.orders")]
    pub table: Option<String>,
    /// Its id, where its JSON says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Its row, but for `ingest`. A hash of a mask is shown as 64 zeros.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"orderId": 77656162, "cityCode": "ROM"}))]
    pub row: Option<Value>,
    /// Its rows in the stream's raw tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raw: Vec<RawRow>,
    /// Why it would not be published, where it would not: `filter`, or `lookup NAME` where that drops what it does not find.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// The values that the stream's lookups did not find, by lookup.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_found: BTreeMap<String, String>,
    /// Everything that is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<CheckError>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A row of a raw table.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RawRow {
    /// The table.
    pub table: String,
    /// The row.
    #[schema(value_type = Object)]
    pub row: Value,
}

/// One thing that is wrong with a sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckError {
    /// The JSON pointer of the value at fault, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/status")]
    pub pointer: Option<String>,
    /// The reason that a dead letter would have.
    #[schema(example = "check_failed")]
    pub reason: &'static str,
    /// What was expected, and what was found.
    pub detail: String,
}

/// Checks samples of a stream's events.
///
/// The body is that of events. Each is told whether it would be loaded, to which table and as which row, or everything that is
/// wrong with it, by the code that loads and by the catalog's schemas. A document is cut into its events first, where the
/// stream says so; what its `filter` leaves out is not loaded, and is told. Nothing is published, and nothing is written.
#[utoipa::path(
    post,
    path = "/v1/streams/{stream}/check",
    operation_id = "checkEvents",
    tag = "events",
    params(
        ("stream" = String, Path, description = "The stream's name", example = "courier-chat"),
        ("pipas-attribute-{name}" = Option<String>, Header, description = "An attribute `name` of each message"),
    ),
    request_body(
        description = "One sample, or several",
        content((openapi::AnyEvent = "application/json"), (String = "application/x-ndjson"))
    ),
    responses((status = 200, description = "What would become of each sample", body = Checked), openapi::Refusals)
)]
pub(crate) async fn post(
    State(receiver): State<Receiver>,
    Path(stream): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Checked>, ReceiverError> {
    let checked = match receiver.intake(&stream) {
        Ok(intake) => check(&receiver, intake, &headers, body).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &checked {
        receiver.metrics.refused_requests.with_label_values(&[error.result()]).inc();
    }
    checked
}

async fn check(
    receiver: &Receiver,
    intake: &Intake,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Checked>, ReceiverError> {
    let producer = Producer::from_headers(headers)?;
    let (body, _room) = body::read(producer.encoding, headers, body, receiver.max_body_bytes, &receiver.room).await?;
    let slices = body::slice(&body, producer.form)?;
    let parts = intake.parts(slices, &producer, MAX_SAMPLES)?;
    let filtered = parts.iter().filter(|(_, part)| part.left_out == Some(LeftOut::Filter)).count();
    let checker = intake.checker();
    let events: Vec<CheckedEvent> = parts
        .into_iter()
        .enumerate()
        .map(|(index, (line, part))| {
            let verdict = match part.left_out {
                None => checker.check(&part.event, &producer.attributes),
                Some(_) => Verdict::default(),
            };
            CheckedEvent {
                index,
                line,
                loaded: verdict.loaded,
                table: verdict.table,
                event_id: verdict.event_id,
                row: verdict.row,
                raw: verdict.raw.into_iter().map(|raw| RawRow { table: raw.table, row: raw.row }).collect(),
                left_out: part.left_out.map(|why| why.to_string()),
                not_found: part.missing,
                errors: verdict.errors.into_iter().map(CheckError::from).collect(),
            }
        })
        .collect();
    let loaded = events.iter().filter(|event| event.loaded).count();
    Ok(Json(Checked { checked: events.len(), loaded, filtered, events }))
}

impl From<rows::Fault> for CheckError {
    fn from(fault: rows::Fault) -> Self {
        let rows::Fault { pointer, reason, detail } = fault;
        Self { pointer, reason, detail }
    }
}
