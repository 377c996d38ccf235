//! The Storage Write service.

use std::{fmt, time::Duration};

use catalog::TableName;
use google_cloud_auth::credentials::{self, CacheableResource, Credentials};
use googleapis::google::cloud::bigquery::storage::v1::{
    BatchCommitWriteStreamsRequest, CreateWriteStreamRequest, FinalizeWriteStreamRequest, GetWriteStreamRequest,
    WriteStream, big_query_write_client::BigQueryWriteClient, storage_error::StorageErrorCode, write_stream,
};
use http::{Extensions, HeaderMap};
use jiff::Timestamp;
use rows::SharedDescriptor;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use crate::{connection::Connection, error::Fault, metrics::Metrics, stream::StreamWriter, wire::MAX_MESSAGE_BYTES};

const GOOGLE: &str = "https://bigquerystorage.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
/// The id of the stream that each table has.
const DEFAULT: &str = "_default";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A dead peer is noticed after these two.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls other than appends.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Where Storage Write is, and how patient its clients are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The project of the tables.
    pub project: String,
    /// The endpoint's URL; `None`: Google's. An `http://` endpoint is spoken to in plain text and without credentials.
    pub endpoint: Option<String>,
    /// How long an append waits for its answer before its fate counts as unknown.
    pub reply_timeout: Duration,
    /// The most bytes of rows that a connection has in flight.
    pub max_in_flight_bytes: usize,
}

impl ClientConfig {
    /// The settings that the protocol names: 20 s for an answer; 64 MB in flight.
    pub fn new(project: impl Into<String>, endpoint: Option<String>) -> Self {
        Self {
            project: project.into(),
            endpoint,
            reply_timeout: Duration::from_secs(20),
            max_in_flight_bytes: 64 << 20,
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint is no URL, or its TLS settings are unusable.
    #[error("the endpoint {endpoint} cannot be used")]
    Endpoint {
        /// The endpoint as it was given.
        endpoint: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// There are no Application Default Credentials.
    #[error("no credentials for BigQuery")]
    Credentials(#[from] google_cloud_auth::build_errors::Error),
}

/// A call other than an append failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call} of {name}: {fault}")]
pub struct CallError {
    /// The method.
    pub call: &'static str,
    /// The table or stream it was about.
    pub name: String,
    /// What the service, or the way to it, said.
    pub fault: Fault,
}

impl CallError {
    /// Whether what the call was about is not there.
    pub fn is_not_found(&self) -> bool {
        self.fault.code == Code::NotFound
    }

    /// Whether it says that the stream takes no rows any more: it is not there, or was finalized before.
    pub fn is_closed(&self) -> bool {
        match self.fault.storage {
            Some(storage) => matches!(
                storage,
                StorageErrorCode::StreamFinalized
                    | StorageErrorCode::InvalidStreamState
                    | StorageErrorCode::StreamNotFound
                    | StorageErrorCode::TableNotFound
            ),
            None => matches!(self.fault.code, Code::NotFound | Code::FailedPrecondition),
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        match self.fault.code {
            Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted
            | Code::Unavailable
            | Code::Unknown => true,
            Code::Ok
            | Code::AlreadyExists
            | Code::DataLoss
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::NotFound
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented => false,
        }
    }
}

/// The full name of a write stream: `projects/{project}/datasets/{dataset}/tables/{table}/streams/{id}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteStreamName(String);

impl WriteStreamName {
    /// The default stream of a table.
    pub fn default_of(project: &str, table: &TableName) -> Self {
        Self::of(project, table, DEFAULT)
    }

    /// The stream `id` of a table.
    pub fn of(project: &str, table: &TableName, id: &str) -> Self {
        Self(format!("{}/streams/{id}", table_path(project, table)))
    }

    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The short id, which is what rows and claims carry.
    pub fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it is a table's default stream.
    pub fn is_default(&self) -> bool {
        self.id() == DEFAULT
    }
}

impl fmt::Display for WriteStreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WriteStreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What is known of a write stream. Its length is not: the service does not tell it before the stream is finalized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteStreamState {
    /// The stream.
    pub name: WriteStreamName,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Where it is, e.g. `europe-west1`.
    pub location: String,
}

/// The Storage Write service of one project. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) config: ClientConfig,
    pub(crate) metrics: Metrics,
    endpoint: Endpoint,
    channel: Channel,
    credentials: Option<Credentials>,
}

impl Client {
    /// A client; connections are made when they are needed. Needs a Tokio runtime.
    pub fn connect(config: ClientConfig, metrics: Metrics) -> Result<Self, ConnectError> {
        let url = config.endpoint.clone().unwrap_or_else(|| GOOGLE.to_owned());
        let is_plain = url.starts_with("http://");
        let endpoint = endpoint(&url, is_plain).map_err(|source| ConnectError::Endpoint { endpoint: url, source })?;
        let credentials =
            if is_plain { None } else { Some(credentials::Builder::default().with_scopes([SCOPE]).build()?) };
        Ok(Self { channel: endpoint.connect_lazy(), config, metrics, endpoint, credentials })
    }

    /// The project of the tables.
    pub fn project(&self) -> &str {
        &self.config.project
    }

    /// Makes a stream of type COMMITTED: its rows can be queried as soon as they are acknowledged.
    pub async fn create_write_stream(&self, table: &TableName) -> Result<WriteStreamName, CallError> {
        self.create_stream(table, write_stream::Type::Committed).await
    }

    /// Makes a stream of type PENDING: its rows can be queried once it was finalized and [`Self::commit`] was called.
    pub async fn create_pending_stream(&self, table: &TableName) -> Result<WriteStreamName, CallError> {
        self.create_stream(table, write_stream::Type::Pending).await
    }

    /// Makes the rows of finalized PENDING streams of `table` visible, all at once or none.
    pub async fn commit(&self, table: &TableName, streams: &[WriteStreamName]) -> Result<(), CallError> {
        let parent = table_path(&self.config.project, table);
        let write_streams = streams.iter().map(|stream| stream.0.clone()).collect();
        let message = BatchCommitWriteStreamsRequest { parent: parent.clone(), write_streams };
        let call = "BatchCommitWriteStreams";
        let answer = async {
            let request = self.request(message, "parent", &parent).await?;
            self.stub().batch_commit_write_streams(request).await
        };
        let answer = answer.await.map_err(failed(call, &parent))?.into_inner();
        if answer.commit_time.is_some() {
            return Ok(());
        }
        let said: Vec<String> = answer.stream_errors.into_iter().map(|error| error.error_message).collect();
        Err(failed(call, &parent)(Status::failed_precondition(said.join("; "))))
    }

    async fn create_stream(&self, table: &TableName, kind: write_stream::Type) -> Result<WriteStreamName, CallError> {
        let parent = table_path(&self.config.project, table);
        let write_stream = WriteStream { r#type: kind.into(), ..WriteStream::default() };
        let message = CreateWriteStreamRequest { parent: parent.clone(), write_stream: Some(write_stream) };
        let answer = async {
            let request = self.request(message, "parent", &parent).await?;
            self.stub().create_write_stream(request).await
        };
        let answer = answer.await.map_err(failed("CreateWriteStream", &parent))?;
        Ok(WriteStreamName(answer.into_inner().name))
    }

    /// Ends a stream: no append can succeed after this. Answers how many rows it has, for good.
    pub async fn finalize(&self, stream: &WriteStreamName) -> Result<i64, CallError> {
        let message = FinalizeWriteStreamRequest { name: stream.0.clone() };
        let answer = async {
            let request = self.request(message, "name", stream.as_str()).await?;
            self.stub().finalize_write_stream(request).await
        };
        let answer = answer.await.map_err(failed("FinalizeWriteStream", stream.as_str()))?;
        Ok(answer.into_inner().row_count)
    }

    /// What is known of a stream.
    pub async fn get_write_stream(&self, stream: &WriteStreamName) -> Result<WriteStreamState, CallError> {
        let message = GetWriteStreamRequest { name: stream.0.clone(), ..GetWriteStreamRequest::default() };
        let answer = async {
            let request = self.request(message, "name", stream.as_str()).await?;
            self.stub().get_write_stream(request).await
        };
        let found = answer.await.map_err(failed("GetWriteStream", stream.as_str()))?.into_inner();
        let created_at = found.create_time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
        Ok(WriteStreamState { name: WriteStreamName(found.name), created_at, location: found.location })
    }

    /// How many AppendRows streams this client and its clones have open.
    pub fn open_connections(&self) -> u64 {
        u64::try_from(self.metrics.connections.get()).unwrap_or(0)
    }

    /// A connection for default streams, which share it.
    pub fn connection(&self) -> Connection {
        Connection::spawn(self.clone())
    }

    /// The one writer of a created stream.
    pub fn stream_writer(&self, stream: WriteStreamName, descriptor: SharedDescriptor) -> StreamWriter {
        StreamWriter::new(self.connection(), stream, descriptor)
    }

    /// A connection of its own for one AppendRows call, so that a broken one is never used again.
    pub(crate) fn new_channel(&self) -> Channel {
        self.endpoint.connect_lazy()
    }

    /// The headers of a call about `value`.
    pub(crate) async fn headers(&self, parameter: &str, value: &str) -> Result<MetadataMap, Status> {
        let mut headers = HeaderMap::new();
        if let Some(credentials) = &self.credentials {
            let found = credentials.headers(Extensions::new()).await.map_err(|error| {
                let code = if error.is_transient() { Code::Unavailable } else { Code::Unauthenticated };
                Status::new(code, format!("no access token: {error}"))
            })?;
            if let CacheableResource::New { data, .. } = found {
                headers = data;
            }
        }
        let mut metadata = MetadataMap::from_headers(headers);
        let key = MetadataKey::<Ascii>::from_static("x-goog-request-params");
        let routing = format!("{parameter}={}", percent_encoded(value));
        let routing = MetadataValue::try_from(routing).map_err(|error| Status::invalid_argument(error.to_string()))?;
        metadata.insert(key, routing);
        Ok(metadata)
    }

    async fn request<T>(&self, message: T, parameter: &str, value: &str) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers(parameter, value).await?;
        request.set_timeout(CALL_TIMEOUT);
        Ok(request)
    }

    fn stub(&self) -> BigQueryWriteClient<Channel> {
        BigQueryWriteClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

fn endpoint(url: &str, is_plain: bool) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .tcp_nodelay(true);
    if is_plain { Ok(endpoint) } else { endpoint.tls_config(ClientTlsConfig::new().with_native_roots()) }
}

fn failed(call: &'static str, name: &str) -> impl FnOnce(Status) -> CallError {
    let name = name.to_owned();
    move |status| CallError { call, name, fault: Fault::from_status(&status) }
}

fn table_path(project: &str, table: &TableName) -> String {
    format!("projects/{project}/datasets/{}/tables/{}", table.dataset, table.table)
}

/// As <https://google.aip.dev/client-libraries/4222> asks: what is no unreserved character is percent-encoded.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len() + 16);
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let table = TableName { dataset: "d".into(), table: "t".into() };
        let default = WriteStreamName::default_of("p", &table);
        assert_eq!(default.as_str(), "projects/p/datasets/d/tables/t/streams/_default");
        assert!(default.is_default());
        let created = WriteStreamName::of("p", &table, "abc");
        assert_eq!((created.id(), created.is_default()), ("abc", false));
    }

    #[test]
    fn routing_values_are_encoded() {
        assert_eq!(percent_encoded("projects/p x"), "projects%2Fp%20x");
    }
}
