use axum::response::{IntoResponse, Response};
use http::StatusCode;
use objects::StoreError;
use pubsub::{PublishError, PushAuthError};
use service::{chain, problem::Problem};

/// The poller could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The catalog is bad.
    #[error(transparent)]
    Catalog(#[from] catalog::CatalogError),
    /// The Pub/Sub client could not be made.
    #[error(transparent)]
    PubSub(#[from] pubsub::ConnectError),
    /// The object store's client could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The client of feeds could not be made.
    #[error("the HTTP client could not be made")]
    Http(#[from] reqwest::Error),
    /// There are no credentials for Cloud Tasks.
    #[error("there are no credentials for Cloud Tasks")]
    Credentials(#[from] google_cloud_auth::build_errors::Error),
    /// The client of Cloud Tasks could not be made.
    #[error("the Cloud Tasks client could not be made")]
    Tasks(#[from] google_cloud_gax::client_builder::Error),
    /// The check of triggers could not be made.
    #[error(transparent)]
    Auth(#[from] pubsub::push_auth::PushAuthConfigError),
    /// The metrics could not be registered.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
}

/// Why a trigger or a task is not done: it comes again, where that helps. That a feed fails is none of these.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PollerError {
    #[error("no feed is named `{feed}`; there are: {}", feeds.join(", "))]
    UnknownFeed { feed: String, feeds: Vec<String> },
    #[error(transparent)]
    Auth(#[from] PushAuthError),
    #[error("header `{name}`: expected an RFC 3339 time, found `{found}`")]
    Time { name: &'static str, found: String },
    #[error("{failed} of {total} tasks could not be put on the queue")]
    Queue {
        failed: usize,
        total: usize,
        #[source]
        source: Box<google_cloud_tasks_v2::Error>,
    },
    #[error("what is known of the feed cannot be read or written")]
    Store(#[from] StoreError),
    #[error("{failed} of {total} events are not known to be on the topic")]
    Publish {
        failed: usize,
        total: usize,
        #[source]
        source: PublishError,
    },
    #[error("the fetch ended without a result")]
    Lost,
}

impl IntoResponse for PollerError {
    fn into_response(self) -> Response {
        let detail = self.to_string();
        let unavailable = || {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "urn:pipas:problem:unavailable", "Unavailable").retry_after(5)
        };
        let problem = match &self {
            Self::UnknownFeed { .. } => {
                Problem::new(StatusCode::NOT_FOUND, "urn:pipas:problem:unknown-feed", "Unknown feed")
            }
            Self::Time { .. } => Problem::new(StatusCode::BAD_REQUEST, "urn:pipas:problem:bad-header", "Bad header"),
            Self::Auth(error) => error.problem(),
            Self::Queue { .. } | Self::Store(_) | Self::Publish { .. } => {
                tracing::error!(error = chain(&self), "the poller could not do its work");
                unavailable()
            }
            Self::Lost => Problem::internal(),
        };
        problem.detail(detail).into_response()
    }
}
