use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use pubsub::{PushAuthError, push::PushDecodeError};
use service::problem::Problem;

/// The loader could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The catalog is bad.
    #[error(transparent)]
    Catalog(#[from] catalog::CatalogError),
    /// The check of push requests could not be made.
    #[error(transparent)]
    PushAuth(#[from] pubsub::push_auth::PushAuthConfigError),
    /// The claim ledger could not be opened.
    #[error(transparent)]
    Ledger(#[from] dedupe::LedgerError),
    /// The file of the ledger's authority cannot be read.
    #[error("PIPAS_REDIS_CA: {} cannot be read", path.display())]
    Authority {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The client of the registry's bucket could not be made.
    #[error("the registry of write streams cannot be reached")]
    Registry(#[from] objects::StoreError),
    /// The catalog wants a registry, and nothing says where it is.
    #[error(
        "PIPAS_REGISTRY_BUCKET is not set; expected the bucket of the registry of write streams \
         (or `registry: none` in the catalog: then a failover of the ledger may write an event twice)"
    )]
    NoRegistry,
    /// The catalog masks by hash, and there is no key.
    #[error(
        "PIPAS_MASK_KEY is not set; expected the key of at least {least} bytes that the masks of the stream {stream} hash under",
        least = rows::MaskKey::MIN_BYTES
    )]
    NoMaskKey {
        /// A stream that masks by hash.
        stream: String,
    },
    /// The Storage Write client could not be made.
    #[error(transparent)]
    StorageWrite(#[from] storage_write::ConnectError),
    /// The client of BigQuery's REST API could not be made.
    #[error(transparent)]
    Tables(#[from] storage_write::TablesError),
    /// The metrics could not be registered.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
}

/// Why a push is not acked: Pub/Sub sends it again.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// The push is not Pub/Sub's, or nobody could tell.
    #[error(transparent)]
    Auth(#[from] PushAuthError),
    /// The body is no push.
    #[error(transparent)]
    Envelope(#[from] PushDecodeError),
    /// The body did not come whole.
    #[error("the body could not be read: {detail}")]
    Body {
        /// What happened.
        detail: String,
    },
    /// The catalog has no such stream.
    #[error("no stream belongs to {named}")]
    UnknownStream {
        /// What the push names.
        named: String,
        /// The streams that there are.
        streams: Vec<String>,
    },
    /// There is no room for it now.
    #[error("too many bytes wait for BigQuery")]
    Overloaded,
    /// A quota is used up.
    #[error("BigQuery's quota is exhausted, or the loaders' share of it")]
    Exhausted,
    /// The function is stopping.
    #[error("the loader is stopping")]
    Stopping,
    /// Time ran out.
    #[error("nothing was decided in time")]
    Undecided,
    /// The row was refused, and may not be the next time.
    #[error("BigQuery refused the row in a way that may pass")]
    Refused,
    /// The event is to be a dead letter, and that was not written.
    #[error("the dead letter could not be written")]
    DeadLetter,
    /// No claim can be made for now.
    #[error("the claim ledger lost claims, and is being made whole")]
    Recovering,
    /// The table is not there, or not as it should be.
    #[error("the table cannot be loaded now")]
    Table(#[from] TableFault),
}

/// Why a table cannot be loaded for now. Shared by those who asked at the same time.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TableFault {
    /// BigQuery does not show it.
    #[error(transparent)]
    Unreadable(Arc<storage_write::TablesError>),
    /// It has columns that cannot be written.
    #[error("the table's schema cannot be encoded: {0}")]
    Unsupported(Arc<str>),
}

impl TableFault {
    /// Whether no loader can have the table before somebody changes it.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Unreadable(error) => error.is_not_found(),
            Self::Unsupported(_) => true,
        }
    }
}

impl LoaderError {
    /// The stable name, as metrics spell it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Auth(PushAuthError::Unauthenticated(_)) => "unauthenticated",
            Self::Auth(PushAuthError::Forbidden(_)) => "forbidden",
            Self::Auth(PushAuthError::Unavailable(_)) => "keys_unavailable",
            Self::Envelope(_) => "envelope",
            Self::Body { .. } => "body",
            Self::UnknownStream { .. } => "unknown_stream",
            Self::Overloaded => "overloaded",
            Self::Exhausted => "exhausted",
            Self::Stopping => "stopping",
            Self::Undecided => "undecided",
            Self::Refused => "refused",
            Self::DeadLetter => "dead_letter_failed",
            Self::Recovering => "recovering",
            Self::Table(_) => "table",
        }
    }

    /// What Pub/Sub is told. Every status nacks; 429 asks it to slow down.
    const fn status(&self) -> StatusCode {
        match self {
            Self::Auth(PushAuthError::Unauthenticated(_)) => StatusCode::UNAUTHORIZED,
            Self::Auth(PushAuthError::Forbidden(_)) => StatusCode::FORBIDDEN,
            Self::Envelope(PushDecodeError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Envelope(
                PushDecodeError::Json { .. } | PushDecodeError::Missing { .. } | PushDecodeError::Invalid { .. },
            )
            | Self::Body { .. } => StatusCode::BAD_REQUEST,
            Self::UnknownStream { .. } => StatusCode::NOT_FOUND,
            Self::Overloaded | Self::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Auth(PushAuthError::Unavailable(_))
            | Self::Stopping
            | Self::Undecided
            | Self::Refused
            | Self::DeadLetter
            | Self::Recovering
            | Self::Table(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(&self) -> &'static str {
        self.status().canonical_reason().unwrap_or("Refused")
    }
}

impl IntoResponse for LoaderError {
    fn into_response(self) -> Response {
        let problem =
            Problem::new(self.status(), format!("urn:pipas:problem:{}", self.name().replace('_', "-")), self.title())
                .detail(self.to_string());
        let problem = match &self {
            Self::UnknownStream { streams, .. } => problem.with("streams", streams),
            Self::Overloaded => problem.retry_after(1),
            Self::Exhausted => problem.retry_after(10),
            Self::Auth(_)
            | Self::Envelope(_)
            | Self::Body { .. }
            | Self::Stopping
            | Self::Undecided
            | Self::Refused
            | Self::DeadLetter
            | Self::Recovering
            | Self::Table(_) => problem,
        };
        problem.into_response()
    }
}
