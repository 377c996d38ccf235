//! Where the probe stands: a table of its own, and two clients that know nothing of each other.

use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use catalog::{Delivery, Field, FieldType, Mode, Table, TableName, TableSchema, UnknownFields, When};
use serde_json::json;
use storage_write::{
    AppendError, AppendRequest, Appended, CallError, Client, ClientConfig, RowEncoder, SharedDescriptor, Tables,
    WriteStreamName,
};
use tokio::time::{Instant, sleep};

use crate::instance::Endpoints;

/// A table that was just made may not be known everywhere yet.
const SETTLING: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(200);
/// How often one append is sent while it fails in passing.
const TRIES: usize = 5;

/// The services that are tried.
pub(super) struct Place {
    project: String,
    bigquery: Option<String>,
    storage_write: Option<String>,
}

impl Place {
    pub(super) fn google(project: String) -> Self {
        Self { project, bigquery: None, storage_write: None }
    }

    pub(super) fn of(endpoints: &Endpoints) -> Self {
        Self {
            project: endpoints.project.clone(),
            bigquery: Some(endpoints.bigquery.clone()),
            storage_write: Some(endpoints.bigquery_storage.clone()),
        }
    }
}

pub(super) struct Stand {
    /// Creates streams and appends to them.
    pub(super) writer: Client,
    /// Has created none, and finalizes them: another process, as far as the service can see.
    pub(super) other: Client,
    tables: Tables,
    project: String,
    table: TableName,
    encoder: RowEncoder,
}

impl Stand {
    pub(super) async fn build(place: Place, dataset: &str) -> anyhow::Result<Self> {
        let Place { project, bigquery, storage_write } = place;
        let tables = Tables::connect(&project, bigquery.as_deref()).await?;
        let name = format!("probe_{}", uuid::Uuid::now_v7().simple());
        let table = TableName { dataset: dataset.to_owned(), table: name.clone() };
        let schema = TableSchema {
            fields: vec![
                Field::new("write_stream", FieldType::String, Mode::Required),
                Field::new("write_offset", FieldType::Integer, Mode::Required),
            ],
        };
        let declared = Table {
            key: name,
            name: table.clone(),
            when: When::Always,
            schema: schema.clone(),
            partition: None,
            cluster: Vec::new(),
            event_id: None,
            unknown_fields: UnknownFields::Reject,
            delivery: Delivery::AtLeastOnce,
            rules: catalog::Rules::default(),
            is_raw: false,
        };
        tables.create_dataset(dataset).await.context("the dataset")?;
        tables.create_own_table(&declared).await.context("the table")?;
        let encoder = RowEncoder::new(&schema, UnknownFields::Reject)?;
        let client = || -> anyhow::Result<Client> {
            let metrics = storage_write::Metrics::new(&prometheus::Registry::new())?;
            Ok(Client::connect(ClientConfig::new(&project, storage_write.clone()), metrics)?)
        };
        Ok(Self { writer: client()?, other: client()?, tables, project, table, encoder })
    }

    /// A new COMMITTED stream.
    pub(super) async fn stream(&self) -> anyhow::Result<WriteStreamName> {
        Ok(patiently(
            |error: &CallError| error.is_passing() || error.is_not_found(),
            async || self.writer.create_write_stream(&self.table).await,
        )
        .await?)
    }

    /// Appends the row of `offset` over a new connection, and again over another while it fails in passing: what the last
    /// answer was.
    pub(super) async fn append(
        &self,
        stream: &WriteStreamName,
        offset: i64,
    ) -> anyhow::Result<Result<Appended, AppendError>> {
        let mut answer = self.append_once(stream, offset).await?;
        for _ in 1..TRIES {
            if !answer.as_ref().is_err_and(AppendError::is_passing) {
                break;
            }
            sleep(AGAIN).await;
            answer = self.append_once(stream, offset).await?;
        }
        Ok(answer)
    }

    async fn append_once(
        &self,
        stream: &WriteStreamName,
        offset: i64,
    ) -> anyhow::Result<Result<Appended, AppendError>> {
        let rows = vec![self.row(stream, offset)?];
        Ok(self.writer.stream_writer(stream.clone(), self.descriptor()).append(offset, rows).await)
    }

    /// Sees to it that the row of `offset` is written.
    pub(super) async fn write(&self, stream: &WriteStreamName, offset: i64) -> anyhow::Result<()> {
        match self.append(stream, offset).await? {
            // An earlier try of the same row may have been applied.
            Ok(_) | Err(AppendError::AlreadyExists(_)) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("appending at {offset}")),
        }
    }

    /// The request that appends the row of `offset`.
    pub(super) fn request(&self, stream: &WriteStreamName, offset: i64) -> anyhow::Result<AppendRequest> {
        let rows = vec![self.row(stream, offset)?];
        Ok(AppendRequest { stream: stream.clone(), offset: Some(offset), rows, descriptor: self.descriptor() })
    }

    /// Finalizes by the client that did not create the stream.
    pub(super) async fn finalize(&self, stream: &WriteStreamName) -> Result<i64, CallError> {
        patiently(CallError::is_passing, async || self.other.finalize(stream).await).await
    }

    /// Finalizes by the client that created the stream.
    pub(super) async fn finalize_own(&self, stream: &WriteStreamName) -> Result<i64, CallError> {
        patiently(CallError::is_passing, async || self.writer.finalize(stream).await).await
    }

    /// How many rows came by the stream.
    pub(super) async fn count(&self, stream: &WriteStreamName) -> anyhow::Result<i64> {
        let counts = self.counts(Some(stream)).await?;
        Ok(counts.first().map_or(0, |count| count.rows))
    }

    /// The rows of each stream, or of one.
    pub(super) async fn counts(&self, stream: Option<&WriteStreamName>) -> anyhow::Result<Vec<Count>> {
        let only = stream.map_or_else(|| "TRUE".to_owned(), |stream| format!("write_stream = '{}'", stream.id()));
        let sql = format!(
            "SELECT write_stream, COUNT(*), COUNT(DISTINCT write_offset) FROM `{}.{}` WHERE {only} GROUP BY write_stream",
            self.project, self.table
        );
        let answer = self.tables.query(&sql).await?;
        let read = |row: &Vec<serde_json::Value>| {
            let number = |at: usize| row.get(at)?.as_str()?.parse().ok();
            Some(Count { stream: row.first()?.as_str()?.to_owned(), rows: number(1)?, distinct: number(2)? })
        };
        answer.rows.iter().map(|row| read(row).ok_or_else(|| anyhow!("{row:?} is no count"))).collect()
    }

    /// Drops the table.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        self.tables.drop_table(&self.table).await.with_context(|| format!("{} is left behind", self.table))
    }

    fn row(&self, stream: &WriteStreamName, offset: i64) -> anyhow::Result<Bytes> {
        let json = json!({ "write_stream": stream.id(), "write_offset": offset }).to_string();
        let mut row = Vec::new();
        let encoded = self.encoder.encode(json.as_bytes(), &mut row);
        encoded.map_err(|rejection| anyhow!("a row of the probe's own: {rejection:?}"))?;
        Ok(row.into())
    }

    fn descriptor(&self) -> SharedDescriptor {
        self.encoder.shared_descriptor().clone()
    }
}

/// The rows of one stream, and how many different offsets they say.
pub(super) struct Count {
    pub(super) stream: String,
    pub(super) rows: i64,
    pub(super) distinct: i64,
}

/// Calls again while it fails in passing.
async fn patiently<T, E>(passes: impl Fn(&E) -> bool, mut call: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
    let deadline = Instant::now() + SETTLING;
    loop {
        match call().await {
            Err(error) if passes(&error) && Instant::now() < deadline => sleep(AGAIN).await,
            result => return result,
        }
    }
}
