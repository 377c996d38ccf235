use axum::response::{IntoResponse, Response};
use catalog::TableName;
use http::StatusCode;
use objects::StoreError;
use pubsub::{PublishError, PushAuthError};
use service::{chain, problem::Problem};
use storage_write::{AppendError, CallError, TablesError};

/// The replayer could not start.
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
    /// The client of BigQuery's REST side could not be made.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The Storage Write client could not be made.
    #[error(transparent)]
    StorageWrite(#[from] storage_write::ConnectError),
    /// The check of triggers could not be made.
    #[error(transparent)]
    Auth(#[from] pubsub::push_auth::PushAuthConfigError),
    /// The metrics could not be registered.
    #[error("the metrics could not be registered")]
    Metrics(#[from] prometheus::Error),
}

/// Why a replay is refused, or failed. What it had done by then is in its checkpoint: the same request goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The catalog has no such stream.
    #[error("no stream is named `{stream}`; the catalog has {}", streams.join(", "))]
    UnknownStream {
        /// What was asked for.
        stream: String,
        /// Those that there are.
        streams: Vec<String>,
    },
    /// The stream has no such table.
    #[error("the stream {stream} has no table `{table}`; it has {}", known.join(", "))]
    UnknownTable {
        /// What was asked for.
        table: String,
        /// The stream.
        stream: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The span of publish times holds none.
    #[error("`from` must be before `to`")]
    EmptySpan,
    /// Objects without publish times are asked for by publish time.
    #[error("`from` and `to` are times of publishing, which objects without a manifest need not tell: leave them out")]
    ForeignSpan,
    /// The table is not there.
    #[error("the table {table} does not exist: make it before its rows are brought back")]
    NoTable {
        /// The table.
        table: TableName,
    },
    /// The table has columns that cannot be written.
    #[error("the table {table} cannot be written: {detail}")]
    Unsupported {
        /// The table.
        table: TableName,
        /// Why.
        detail: String,
    },
    /// Rows would be made whose hashes are not those of the others.
    #[error("PIPAS_MASK_KEY is not set; expected the key that the loader hashes the masked values of {stream} under")]
    NoMaskKey {
        /// The stream.
        stream: String,
    },
    /// What was named has no objects.
    #[error("{named} has no objects")]
    NoObjects {
        /// As it was named.
        named: String,
    },
    /// A local file cannot be looked at.
    #[error("{path} cannot be read")]
    File {
        /// As it was named.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another merge of the stream was interrupted.
    #[error("another merge of {stream} was interrupted: finish it, or begin anew with `restart`. It is {request}")]
    OtherMerge {
        /// The stream.
        stream: String,
        /// The other one.
        request: String,
    },
    /// Another run of this replay has taken over.
    #[error("another run of this replay goes on: it has written {checkpoint}")]
    TakenOver {
        /// The checkpoint.
        checkpoint: String,
    },
    /// A run of this process is under way.
    #[error("a replay is under way")]
    Busy,
    /// What an interrupted merge had staged has expired.
    #[error("the staging table {table} of the interrupted run is gone: begin anew with `restart`")]
    StagingGone {
        /// The table.
        table: TableName,
    },
    /// A staging table is not what it should be.
    #[error("the staging table {table}: {detail}")]
    Staging {
        /// The table.
        table: TableName,
        /// What is wrong.
        detail: String,
    },
    /// Rows could not be staged.
    #[error("rows could not be appended to {table}")]
    Append {
        /// The table.
        table: TableName,
        /// Why.
        #[source]
        source: AppendError,
    },
    /// Pub/Sub did not take a message.
    #[error("publishing failed")]
    Publish(#[source] PublishError),
    /// The checkpoint could not be written as JSON.
    #[error("the checkpoint cannot be written")]
    Checkpoint(#[source] serde_json::Error),
    /// Cloud Storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// BigQuery's REST side.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// Storage Write.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The token of a trigger.
    #[error(transparent)]
    Auth(#[from] PushAuthError),
    /// The run ended without a result.
    #[error("the run ended without a result")]
    Lost,
}

impl IntoResponse for ReplayError {
    fn into_response(self) -> Response {
        let detail = chain(&self);
        let problem = |status, kind, title| Problem::new(status, kind, title).detail(detail.clone());
        match self {
            Self::UnknownStream { ref streams, .. } => {
                problem(StatusCode::NOT_FOUND, "urn:pipas:problem:unknown-stream", "Unknown stream")
                    .with("streams", streams)
            }
            Self::UnknownTable { .. }
            | Self::EmptySpan
            | Self::ForeignSpan
            | Self::NoObjects { .. }
            | Self::File { .. } => problem(StatusCode::BAD_REQUEST, "urn:pipas:problem:bad-replay", "Bad replay"),
            Self::NoTable { .. } | Self::Unsupported { .. } | Self::NoMaskKey { .. } => {
                problem(StatusCode::CONFLICT, "urn:pipas:problem:table", "The table cannot be filled")
            }
            Self::OtherMerge { .. } | Self::TakenOver { .. } | Self::Busy | Self::StagingGone { .. } => {
                problem(StatusCode::CONFLICT, "urn:pipas:problem:other-replay", "Another replay")
            }
            Self::Auth(error) => error.problem(),
            Self::Staging { .. }
            | Self::Append { .. }
            | Self::Publish(_)
            | Self::Checkpoint(_)
            | Self::Store(_)
            | Self::Tables(_)
            | Self::Call(_)
            | Self::Lost => {
                problem(StatusCode::INTERNAL_SERVER_ERROR, "urn:pipas:problem:replay-failed", "Replay failed")
            }
        }
        .into_response()
    }
}
