use archive::EncodeError;
use axum::{
    extract::rejection::QueryRejection,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use objects::StoreError;
use pubsub::{PullError, PushAuthError};
use service::problem::Problem;

/// The compactor could not start.
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
    /// The check of triggers could not be made.
    #[error(transparent)]
    Auth(#[from] pubsub::push_auth::PushAuthConfigError),
    /// The metrics could not be registered.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
}

/// Why a run of one stream failed. What it had not archived by then will be delivered again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DrainError {
    #[error("pulling failed")]
    Pull(#[from] PullError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a trigger is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompactorError {
    #[error("no stream is named `{stream}`")]
    UnknownStream { stream: String, streams: Vec<String> },
    #[error(
        "the parameters are `stream`, `merge=true`, `open=true`, and `from` with a time such as 2024-02-01T10:00:00Z"
    )]
    Parameters(#[from] QueryRejection),
    #[error(transparent)]
    Auth(#[from] PushAuthError),
    #[error("the run ended without a result")]
    Lost,
}

impl IntoResponse for CompactorError {
    fn into_response(self) -> Response {
        let detail = self.to_string();
        let problem = match self {
            Self::UnknownStream { streams, .. } => {
                Problem::new(StatusCode::NOT_FOUND, "urn:pipas:problem:unknown-stream", "Unknown stream")
                    .with("streams", streams)
            }
            Self::Parameters(_) => {
                Problem::new(StatusCode::BAD_REQUEST, "urn:pipas:problem:bad-parameters", "Bad parameters")
            }
            Self::Auth(error) => error.problem(),
            Self::Lost => Problem::internal(),
        };
        problem.detail(detail).into_response()
    }
}
