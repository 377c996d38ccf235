//! The OpenAPI document, made of the code.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::response::IntoResponse;
use http::header;
use pubsub::PublishError;
use serde::Serialize;
use utoipa::{
    IntoResponses, OpenApi, ToSchema,
    openapi::{
        Content, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, example::ExampleBuilder,
        schema::Type,
    },
};

use crate::{
    check::{self, CheckError, Checked, CheckedEvent, RawRow},
    error::{BadEvent, ReceiverError, Unpublished},
    events::{self, Accepted},
    streams::{self, StreamEntry},
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Pipas receiver", description = "Takes JSON events and puts each on its stream's topic.", version = "1"),
    paths(events::post, check::post, streams::list),
    components(schemas(Accepted, AnyEvent, BadEvent, CheckError, Checked, CheckedEvent, ProblemBody, RawRow, StreamEntry)),
    tags(
        (name = "events", description = "Sending events"),
        (name = "streams", description = "What can be sent to"),
    )
)]
struct Document;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| Document::openapi().to_pretty_json().unwrap_or_default());

/// The OpenAPI document as JSON.
pub fn document() -> &'static str {
    &DOCUMENT
}

pub(crate) async fn get() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}

/// One event, or several: any JSON object, or an array of them.
#[derive(ToSchema)]
#[allow(dead_code)] // Only its schema is used.
#[schema(as = Events)]
#[serde(untagged)]
#[derive(Serialize)]
pub(crate) enum AnyEvent {
    /// One event: any JSON object.
    One(BTreeMap<String, serde_json::Value>),
    /// Several events.
    Several(Vec<BTreeMap<String, serde_json::Value>>),
}

/// A problem (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// The kind of problem: a URI that never changes.
    r#type: String,
    /// The kind of problem, for people.
    title: String,
    /// The status of the response.
    status: u16,
    /// What is wrong this time.
    detail: Option<String>,
    /// `unknown-stream`: the streams that exist.
    streams: Option<Vec<String>>,
    /// `bad-events`, `too-large`: how many events are at fault.
    count: Option<usize>,
    /// `bad-events`, `too-large`: the first 100 events at fault.
    errors: Option<Vec<BadEvent>>,
    /// `too-large`: the largest body in bytes, decompressed.
    limit_bytes: Option<usize>,
    /// `too-large`: the most events of one request.
    limit_events: Option<usize>,
    /// `unavailable`, `publish-refused`: how many events are not known to be on the topic.
    failed: Option<usize>,
    /// `unavailable`, `publish-refused`: the events that are on the topic.
    published_event_ids: Option<Vec<String>>,
}

/// Every refusal of events, each as the code writes it.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut by_status: BTreeMap<u16, Vec<serde_json::Value>> = BTreeMap::new();
        for problem in samples().into_iter().map(ReceiverError::problem) {
            let body = serde_json::from_slice(&problem.to_json()).unwrap_or_default();
            by_status.entry(problem.status().as_u16()).or_default().push(body);
        }
        by_status.into_iter().map(|(status, bodies)| (status.to_string(), RefOr::T(response(status, bodies)))).collect()
    }
}

fn response(status: u16, bodies: Vec<serde_json::Value>) -> Response {
    let titles: Vec<&str> = bodies.iter().filter_map(|body| body["title"].as_str()).collect();
    let mut distinct = titles.clone();
    distinct.dedup();
    let description = distinct.join(", or ");
    let mut content = Content::builder().schema(Some(Ref::from_schema_name("Problem")));
    for (place, body) in bodies.iter().enumerate() {
        let kind = body["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default();
        let earlier = bodies[..place].iter().filter(|earlier| earlier["type"] == body["type"]).count();
        let name = if earlier == 0 { kind.to_owned() } else { format!("{kind}-{}", earlier + 1) };
        content = content.examples_from_iter([(name, ExampleBuilder::new().value(Some(body.clone())).build())]);
    }
    let mut response =
        ResponseBuilder::new().description(description).content(service::problem::CONTENT_TYPE, content.build());
    if matches!(status, 429 | 503) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
        response = response
            .header("Retry-After", HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds")).build());
    }
    response.build()
}

/// One of each refusal.
fn samples() -> Vec<ReceiverError> {
    let bad = |line, column, detail: &str| BadEvent { index: Some(line - 1), line, column, detail: detail.to_owned() };
    let unpublished = || Unpublished {
        total: 2,
        failed: 1,
        published: vec!["018d6449-9b7e-7c5a-9d4e-5a2f1f6f3c11".to_owned()],
        source: PublishError::ShutDown,
    };
    vec![
        ReceiverError::BadEvents {
            count: 2,
            events: vec![bad(2, 17, "expected `,` or `}`"), bad(5, 1, "expected a JSON object, found an array")],
        },
        ReceiverError::Empty,
        ReceiverError::Body { detail: "the stream is no gzip".to_owned() },
        ReceiverError::Header {
            name: "ce-time".to_owned(),
            detail: "expected an RFC 3339 time, found `noon`".to_owned(),
        },
        ReceiverError::UnknownStream {
            stream: "chat".to_owned(),
            streams: vec!["courier-chat".to_owned(), "events".to_owned()],
        },
        ReceiverError::Origin { origin: "https://other.example".to_owned() },
        ReceiverError::LargeBody { limit: 32 << 20 },
        ReceiverError::LargeEvents {
            count: 1,
            events: vec![bad(1, 1, "a message holds at most 10000000 bytes with its attributes, found 10000417")],
        },
        ReceiverError::ManyEvents { limit: crate::body::MAX_EVENTS },
        ReceiverError::MediaType { found: "the media type is `application/xml`".to_owned() },
        ReceiverError::ContentEncoding(content_encoding::Unsupported { found: "br".to_owned() }),
        ReceiverError::Overloaded,
        ReceiverError::Refused(unpublished()),
        ReceiverError::Unavailable(unpublished()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_as_people_know_it() {
        let document: serde_json::Value = serde_json::from_str(document()).expect("JSON");
        insta::assert_json_snapshot!(document);
    }
}
