//! `POST /v1/streams/{stream}/events`.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
};
use event::Timestamp;
use http::HeaderMap;
use serde::Serialize;
use service::{RequestTrace, SpanKind, Tracer};
use utoipa::ToSchema;

use crate::{
    Receiver, body,
    error::ReceiverError,
    headers::Producer,
    intake::{Intake, Taken},
    openapi,
};

/// The events that were accepted: each is on the stream's topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Accepted {
    /// How many.
    #[schema(example = 1)]
    pub accepted: usize,
    /// Their ids, in the order of the body.
    #[schema(example = json!(["018d6449-9b7e-7c5a-9d4e-5a2f1f6f3c11"]))]
    pub event_ids: Vec<String>,
    /// How many events the stream's filter left out, where it did.
    #[serde(skip_serializing_if = "is_zero")]
    pub filtered: u64,
    /// The values that the stream's lookups did not find, by lookup, where there are any; the first hundred of each.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_found: BTreeMap<String, Vec<String>>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Sends events to a stream.
///
/// The body is one JSON object, an array of objects, or one object on each line (NDJSON); it may be compressed by gzip or
/// zstd. Without a Content-Type the form is told by the body. Each event is kept byte for byte.
///
/// 200 means that every event of the request is on the stream's topic. A request with a bad event publishes nothing, and the
/// answer lists what is wrong where. After 429 or 503 send the request again with the same Idempotency-Key: it gives the
/// same ids, and events that were on the topic already become no second row.
///
/// Where the stream cuts documents into events, what is said here of events holds for those that come of the documents. A
/// web page may send to a stream that lists its origin (`cors`), with `fetch` or `navigator.sendBeacon`.
///
/// An event's id is, in this order: what stands at the stream's `event_id` pointer; `ce-id`; made of `Idempotency-Key`
/// (itself for a single event, a UUID of stream, key and place for each of several); a new UUIDv7.
#[utoipa::path(
    post,
    path = "/v1/streams/{stream}/events",
    operation_id = "sendEvents",
    tag = "events",
    params(
        ("stream" = String, Path, description = "The stream's name", example = "courier-chat"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key gives the same event ids"),
        ("ce-id" = Option<String>, Header, description = "CloudEvents: the id of the request's only event"),
        ("ce-source" = Option<String>, Header, description = "CloudEvents: the producer; `anonymous` where there is none"),
        ("ce-type" = Option<String>, Header, description = "CloudEvents: the type, where the event does not say it; else the attribute `type`, else the stream's name"),
        ("ce-time" = Option<String>, Header, description = "CloudEvents: when it happened, RFC 3339"),
        ("pipas-attribute-{name}" = Option<String>, Header, description = "An attribute `name` of each message"),
    ),
    request_body(
        description = "One event, or several",
        content(
            (openapi::AnyEvent = "application/json", example = json!({"orderId": 77656162, "cityCode": "ROM"})),
            (String = "application/x-ndjson", example = json!("{\"orderId\": 1}\n{\"orderId\": 2}\n")),
        )
    ),
    responses(
        (status = 200, description = "Every event is on the topic", body = Accepted),
        openapi::Refusals,
    )
)]
pub(crate) async fn post(
    State(receiver): State<Receiver>,
    Path(stream): Path<String>,
    trace: RequestTrace,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Accepted>, ReceiverError> {
    let taken = match receiver.intake(&stream) {
        Ok(intake) => take(&receiver, intake, &trace, &headers, body).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &taken {
        receiver.metrics.refused_requests.with_label_values(&[error.result()]).inc();
    }
    taken
}

/// What a request does is shown in these spans; a message names the last one as its parent.
const TRACER: Tracer = Tracer::new("receiver");

async fn take(
    receiver: &Receiver,
    intake: &Intake,
    trace: &RequestTrace,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Accepted>, ReceiverError> {
    let producer = Producer::from_headers(headers)?;
    let (body, _room) = body::read(producer.encoding, headers, body, receiver.max_body_bytes, &receiver.room).await?;
    let slices = body::slice(&body, producer.form)?;
    let count = slices.len();
    let mut publishing = TRACER.span("publish", SpanKind::Producer, trace.context());
    publishing.attribute("messaging.system", "gcp_pubsub").attribute("messaging.destination.name", intake.name());
    publishing.attribute("messaging.batch.message_count", count);
    let published = match intake.events(slices, &producer, publishing.context(), Timestamp::now()) {
        Ok(Taken { events, filtered, missing }) => {
            intake.publish(events, &receiver.metrics).await.map(|event_ids| (event_ids, filtered, missing))
        }
        Err(error) => Err(error),
    };
    publishing.end(published.as_ref().map(drop).map_err(ReceiverError::result));
    let refused = |error: &ReceiverError| receiver.metrics.refused(intake.name(), error, count);
    let (event_ids, filtered, missing) = published.inspect_err(refused)?;
    receiver.metrics.shaped(intake.name(), filtered, &missing);
    let not_found = missing.0.into_iter().map(|(lookup, (_, values))| (lookup, values.into_iter().collect())).collect();
    Ok(Json(Accepted { accepted: event_ids.len(), event_ids, filtered, not_found }))
}
