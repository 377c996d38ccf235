use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri, header};
use pubsub::PublishError;
use serde::Serialize;
use service::problem::Problem;
use utoipa::ToSchema;

/// The receiver could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The catalog is bad.
    #[error(transparent)]
    Catalog(#[from] catalog::CatalogError),
    /// A schema of the catalog cannot be a row.
    #[error("a schema of the catalog cannot be encoded")]
    Schema(#[from] rows::SchemaUnsupported),
    /// The Pub/Sub client could not be made.
    #[error(transparent)]
    PubSub(#[from] pubsub::ConnectError),
    /// The metrics could not be registered.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
}

/// What is wrong with one event of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BadEvent {
    /// The event's place among those of the body, from 0; absent where the array around the events is malformed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    pub index: Option<usize>,
    /// The line of the body, from 1.
    #[schema(example = 2)]
    pub line: usize,
    /// The column of the line in bytes, from 1.
    #[schema(example = 17)]
    pub column: usize,
    /// What is wrong, and what was expected.
    #[schema(example = "expected `,` or `}`")]
    pub detail: String,
}

/// How many bad events an answer lists.
pub(crate) const LISTED: usize = 100;

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiverError {
    #[error("no stream is named `{stream}`; there are: {}", streams.join(", "))]
    UnknownStream { stream: String, streams: Vec<String> },
    #[error("{method} is not allowed on {path}")]
    MethodNotAllowed { method: Method, path: String },
    #[error("pages of {origin} may not send to the stream")]
    Origin { origin: String },
    #[error("{found}; expected {}", crate::headers::ACCEPTED_TYPES)]
    MediaType { found: String },
    #[error(transparent)]
    ContentEncoding(#[from] content_encoding::Unsupported),
    #[error("header `{name}`: {detail}")]
    Header { name: String, detail: String },
    #[error("the body could not be read: {detail}")]
    Body { detail: String },
    #[error("the body holds no event; expected a JSON object, an array of them, or one on each line")]
    Empty,
    #[error("{count} of the events cannot be accepted; nothing was published")]
    BadEvents { count: usize, events: Vec<BadEvent> },
    #[error("{count} of the events are larger than a message can be; nothing was published")]
    LargeEvents { count: usize, events: Vec<BadEvent> },
    #[error("the body holds more than {limit} bytes, decompressed")]
    LargeBody { limit: usize },
    #[error("the body holds more than {limit} events")]
    ManyEvents { limit: usize },
    #[error("more is being read or published than there is room for; nothing was published")]
    Overloaded,
    #[error("{0}; send the request again, with the same Idempotency-Key if it had one")]
    Unavailable(Unpublished),
    #[error("{0}, and would not be if they were sent again: the deployment is at fault")]
    Refused(Unpublished),
}

/// What became of a request whose events Pub/Sub did not all take.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {total} events are not known to be on the topic")]
pub(crate) struct Unpublished {
    pub(crate) total: usize,
    pub(crate) failed: usize,
    /// The ids of the others.
    pub(crate) published: Vec<String>,
    pub(crate) source: PublishError,
}

impl ReceiverError {
    /// The URIs of the problem types, which never change, with their titles and statuses.
    const fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::UnknownStream { .. } => (StatusCode::NOT_FOUND, "urn:pipas:problem:unknown-stream", "Unknown stream"),
            Self::MethodNotAllowed { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "urn:pipas:problem:method-not-allowed", "Method not allowed")
            }
            Self::Origin { .. } => {
                (StatusCode::FORBIDDEN, "urn:pipas:problem:origin-not-allowed", "Origin not allowed")
            }
            Self::MediaType { .. } | Self::ContentEncoding(_) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "urn:pipas:problem:unsupported-media-type",
                "Unsupported media type",
            ),
            Self::Header { .. } => (StatusCode::BAD_REQUEST, "urn:pipas:problem:bad-header", "Bad header"),
            Self::Body { .. } | Self::Empty => {
                (StatusCode::BAD_REQUEST, "urn:pipas:problem:unreadable-body", "Unreadable body")
            }
            Self::BadEvents { .. } => (StatusCode::BAD_REQUEST, "urn:pipas:problem:bad-events", "Bad events"),
            Self::LargeEvents { .. } | Self::LargeBody { .. } | Self::ManyEvents { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "urn:pipas:problem:too-large", "Too large")
            }
            Self::Overloaded => (StatusCode::TOO_MANY_REQUESTS, "urn:pipas:problem:overloaded", "Overloaded"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "urn:pipas:problem:unavailable", "Unavailable"),
            Self::Refused(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "urn:pipas:problem:publish-refused", "Publishing refused")
            }
        }
    }

    /// The word that metrics count it under.
    pub(crate) fn result(&self) -> &'static str {
        match self {
            Self::UnknownStream { .. } | Self::MethodNotAllowed { .. } => "no_stream",
            Self::Origin { .. } => "origin_not_allowed",
            Self::MediaType { .. } | Self::ContentEncoding(_) | Self::Header { .. } => "bad_request",
            Self::Body { .. } | Self::Empty | Self::BadEvents { .. } => "invalid",
            Self::LargeEvents { .. } | Self::LargeBody { .. } | Self::ManyEvents { .. } => "too_large",
            Self::Overloaded => "overloaded",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
        }
    }

    pub(crate) fn problem(self) -> Problem {
        let (status, kind, title) = self.kind();
        let problem = Problem::new(status, kind, title).detail(self.to_string());
        match self {
            Self::UnknownStream { streams, .. } => problem.with("streams", streams),
            Self::BadEvents { count, events } | Self::LargeEvents { count, events } => {
                problem.with("count", count).with("errors", events)
            }
            Self::LargeBody { limit } => problem.with("limit_bytes", limit),
            Self::ManyEvents { limit } => problem.with("limit_events", limit),
            Self::Overloaded => problem.retry_after(1),
            Self::Unavailable(Unpublished { failed, published, .. }) => {
                problem.with("failed", failed).with("published_event_ids", published).retry_after(2)
            }
            Self::Refused(Unpublished { failed, published, .. }) => {
                problem.with("failed", failed).with("published_event_ids", published)
            }
            Self::ContentEncoding(_) => problem.header(header::ACCEPT_ENCODING, "gzip, zstd"),
            Self::MethodNotAllowed { .. }
            | Self::Origin { .. }
            | Self::MediaType { .. }
            | Self::Header { .. }
            | Self::Body { .. }
            | Self::Empty => problem,
        }
    }
}

impl IntoResponse for ReceiverError {
    fn into_response(self) -> Response {
        if let Self::Unavailable(unpublished) | Self::Refused(unpublished) = &self {
            let Unpublished { total, failed, source, .. } = unpublished;
            let cause = std::error::Error::source(source);
            tracing::error!(events.total = total, events.failed = failed, error = %source, cause, "publishing failed");
        }
        self.problem().into_response()
    }
}

/// The answer to a method that a path does not have; the router adds `Allow`.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> ReceiverError {
    ReceiverError::MethodNotAllowed { method, path: uri.path().to_owned() }
}
