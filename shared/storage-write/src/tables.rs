//! The REST side of BigQuery: which columns a table has, and making datasets, tables and views.
//!
//! Over plain HTTP, not through `gcp-bigquery-client`: its model of a column has no precision, scale, maximal length or default
//! value, so a table made or read through it would silently lose them.

mod job;
mod query;
mod resource;

use std::time::Duration;

use catalog::{Table, TableName, TableSchema, View};
use event::Timestamp;
use google_cloud_auth::credentials::{self, CacheableResource, Credentials};
use http::{Extensions, HeaderMap, Method, StatusCode};
pub use query::{QueryPages, QueryRows};
pub use resource::LiveTable;
use resource::{DatasetResource, ErrorBody, TableResource};
use serde::{Serialize, de::DeserializeOwned};

const GOOGLE: &str = "https://bigquery.googleapis.com";
const PATH: &str = "/bigquery/v2";
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts of a call that fails in passing.
const ATTEMPTS: u32 = 4;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// Datasets, tables and views of one project. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tables {
    project: String,
    base: String,
    http: reqwest::Client,
    credentials: Option<Credentials>,
}

/// Why a call to BigQuery's REST API failed.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// There are no Application Default Credentials.
    #[error("no credentials for BigQuery")]
    NoCredentials(#[from] google_cloud_auth::build_errors::Error),
    /// No access token could be had.
    #[error("no access token for BigQuery")]
    NoToken(#[from] google_cloud_auth::errors::CredentialsError),
    /// The service could not be reached, or its answer not be read.
    #[error("BigQuery could not be reached")]
    Transport(#[from] reqwest::Error),
    /// The service said no.
    #[error("BigQuery answered {status} ({reason}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// BigQuery's reason, e.g. `notFound`.
        reason: String,
        /// The explanation.
        message: String,
    },
    /// The table has what Pipas cannot write, or lacks what every table has.
    #[error("the table {table} cannot be used: {detail}")]
    Unusable {
        /// The table.
        table: TableName,
        /// Why.
        detail: String,
    },
    /// A job failed.
    #[error("the job {job} failed ({reason}): {message}")]
    Job {
        /// The job's id.
        job: String,
        /// BigQuery's reason, e.g. `invalidQuery`.
        reason: String,
        /// The explanation.
        message: String,
    },
    /// A query did not end in time.
    #[error("the query was not done after {0:?}")]
    QueryTimeout(Duration),
}

impl TablesError {
    /// Whether what the call was about is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the same call may succeed later.
    fn is_passing(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Transport(error) => error.is_connect() || error.is_timeout() || error.is_request(),
            Self::NoToken(error) => error.is_transient(),
            Self::NoCredentials(_) | Self::Unusable { .. } | Self::Job { .. } | Self::QueryTimeout(_) => false,
        }
    }

    fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }
}

impl Tables {
    /// The tables of `project` at `endpoint`; `None`: Google's. An `http://` endpoint is spoken to without credentials.
    pub async fn connect(project: &str, endpoint: Option<&str>) -> Result<Self, TablesError> {
        let endpoint = endpoint.unwrap_or(GOOGLE).trim_end_matches('/');
        let is_plain = endpoint.starts_with("http://");
        let credentials =
            if is_plain { None } else { Some(credentials::Builder::default().with_scopes([SCOPE]).build()?) };
        let base = if endpoint.ends_with(PATH) { endpoint.to_owned() } else { format!("{endpoint}{PATH}") };
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build()?;
        Ok(Self { project: project.to_owned(), base, http, credentials })
    }

    /// A table's real columns, and its epoch: the time of its creation in milliseconds of the Unix epoch, by which a table
    /// that was dropped and made again is told from the one before.
    pub async fn get(&self, table: &TableName) -> Result<(TableSchema, i64), TablesError> {
        let found = self.resource(table).await?;
        found.into_schema_and_epoch().map_err(|detail| TablesError::Unusable { table: table.clone(), detail })
    }

    /// What stands under the name; `None`: nothing.
    pub async fn find(&self, name: &TableName) -> Result<Option<LiveTable>, TablesError> {
        let found = match self.resource(name).await {
            Err(error) if error.is_not_found() => return Ok(None),
            found => found?,
        };
        let live = found.into_live().map_err(|detail| TablesError::Unusable { table: name.clone(), detail })?;
        Ok(Some(live))
    }

    async fn resource(&self, name: &TableName) -> Result<TableResource, TablesError> {
        let path = format!("/datasets/{}/tables/{}", encoded(&name.dataset), encoded(&name.table));
        self.call(Method::GET, &path, None::<&()>).await
    }

    /// Makes a dataset, where there is none of that name.
    pub async fn create_dataset(&self, dataset: &str) -> Result<(), TablesError> {
        self.create("/datasets", &DatasetResource::new(&self.project, dataset)).await
    }

    /// Makes a stream's table with Pipas's own columns, where there is none of that name. What exists is left as it is.
    pub async fn create_table(&self, table: &Table) -> Result<(), TablesError> {
        self.create_with(table, table.real_schema()).await
    }

    /// Makes a table of Pipas's own, with its own columns alone, where there is none of that name.
    pub async fn create_own_table(&self, table: &Table) -> Result<(), TablesError> {
        self.create_with(table, table.schema.clone()).await
    }

    /// Makes a table that removes itself at `expires`, where there is none of that name.
    pub async fn create_temporary_table(
        &self,
        table: &TableName,
        schema: &TableSchema,
        expires: Timestamp,
    ) -> Result<(), TablesError> {
        let path = format!("/datasets/{}/tables", encoded(&table.dataset));
        self.create(&path, &TableResource::of_temporary_table(&self.project, table, schema, expires)).await
    }

    /// Makes a view, where there is none of that name.
    pub async fn create_view(&self, view: &View) -> Result<(), TablesError> {
        let path = format!("/datasets/{}/tables", encoded(&view.name.dataset));
        self.create(&path, &TableResource::of_view(&self.project, view)).await
    }

    /// Drops a table. One that is not there is dropped already.
    pub async fn drop_table(&self, table: &TableName) -> Result<(), TablesError> {
        let path = format!("/datasets/{}/tables/{}", encoded(&table.dataset), encoded(&table.table));
        let url = format!("{}/projects/{}{path}", self.base, encoded(&self.project));
        let response = self.http.delete(url).headers(self.headers().await?).send().await?;
        match response.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            status => Err(refused(status, &response.bytes().await?)),
        }
    }

    async fn create_with(&self, table: &Table, schema: TableSchema) -> Result<(), TablesError> {
        let path = format!("/datasets/{}/tables", encoded(&table.name.dataset));
        self.create(&path, &TableResource::of_table(&self.project, table, &schema)).await
    }

    async fn create(&self, path: &str, resource: &impl Serialize) -> Result<(), TablesError> {
        match self.call::<serde::de::IgnoredAny>(Method::POST, path, Some(resource)).await {
            Err(error) if !error.is_conflict() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// One call, tried again while it fails in passing: every call made here can be repeated.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, TablesError> {
        let mut backoff = FIRST_BACKOFF;
        for _ in 1..ATTEMPTS {
            match self.call_once(method.clone(), path, body).await {
                Err(error) if error.is_passing() => {
                    tracing::debug!(error = %error, "a call to BigQuery is tried again")
                }
                result => return result,
            }
            tokio::time::sleep(backoff).await;
            backoff *= 2;
        }
        self.call_once(method, path, body).await
    }

    async fn call_once<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, TablesError> {
        let url = format!("{}/projects/{}{path}", self.base, encoded(&self.project));
        let mut request = self.http.request(method, url).headers(self.headers().await?);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.json().await?);
        }
        Err(refused(status, &response.bytes().await?))
    }

    async fn headers(&self) -> Result<HeaderMap, TablesError> {
        let Some(credentials) = &self.credentials else { return Ok(HeaderMap::new()) };
        Ok(match credentials.headers(Extensions::new()).await? {
            CacheableResource::New { data, .. } => data,
            CacheableResource::NotModified => HeaderMap::new(),
        })
    }
}

fn refused(status: StatusCode, body: &[u8]) -> TablesError {
    let (reason, message) = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => body.reason_and_message(),
        Err(_) => ("unknown".to_owned(), String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()),
    };
    TablesError::Refused { status: status.as_u16(), reason, message }
}

/// A name as one segment of a path.
fn encoded(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
