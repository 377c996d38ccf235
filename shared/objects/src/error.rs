/// Why the object store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The endpoint is no URL.
    #[error("the storage endpoint {endpoint:?} is no URL")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        #[source]
        source: url::ParseError,
    },
    /// No credentials could be made.
    #[error("no credentials for Cloud Storage")]
    Credentials(#[source] google_cloud_auth::build_errors::Error),
    /// The credentials gave no token.
    #[error("the credentials gave no token")]
    Token(#[source] google_cloud_auth::errors::CredentialsError),
    /// The storage client could not be made.
    #[error("the storage client could not be made")]
    Client(#[source] google_cloud_gax::client_builder::Error),
    /// The request did not reach the server, or its answer did not reach us.
    #[error("{call} failed on the way")]
    Transport {
        /// What was asked.
        call: &'static str,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The storage client failed.
    #[error("{call} of {name} failed")]
    Google {
        /// What was asked.
        call: &'static str,
        /// The object.
        name: String,
        /// What happened.
        #[source]
        source: Box<google_cloud_storage::Error>,
    },
    /// The server refused.
    #[error("{call} was refused with status {status}: {message}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// The HTTP status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// The bucket or the object does not exist.
    #[error("{name} does not exist")]
    NotFound {
        /// The bucket or the object.
        name: String,
    },
    /// Another object has the name.
    #[error("{name} exists already, and is another object")]
    Exists {
        /// The object.
        name: String,
    },
    /// The object is not the one any more that was to be replaced.
    #[error("{name} was changed by another")]
    Changed {
        /// The object.
        name: String,
    },
    /// The server has less of the upload than it said it had, or does not know it any more.
    #[error("the upload of {name} cannot be resumed: {detail}")]
    UploadLost {
        /// The object.
        name: String,
        /// What the server said.
        detail: String,
    },
    /// The object is not what was sent. It was removed.
    #[error("{name} arrived as {found}, but was sent as {sent}")]
    Corrupt {
        /// The object.
        name: String,
        /// Size and checksum as sent.
        sent: String,
        /// Size and checksum as the server has them.
        found: String,
    },
    /// An answer that makes no sense.
    #[error("the answer to {call} is unusable: {detail}")]
    Malformed {
        /// What was asked.
        call: &'static str,
        /// What is wrong with the answer.
        detail: String,
    },
}

impl StoreError {
    /// Whether the same request may succeed later. The one table of retries.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { source, .. } => !source.is_builder(),
            Self::Token(source) => source.is_transient(),
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Endpoint { .. }
            | Self::Credentials(_)
            | Self::Client(_)
            | Self::Google { .. } // retried by the client itself
            | Self::NotFound { .. }
            | Self::Exists { .. }
            | Self::Changed { .. }
            | Self::UploadLost { .. }
            | Self::Corrupt { .. }
            | Self::Malformed { .. } => false,
        }
    }
}
