//! A table as it was found: its epoch, its schema in versions, and the writer of its rows.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use catalog::{TableName, TableSchema};
use event::{EventId, Message, Rejection};
use exactly_once::{Answer, EventKey, Retry};
use parking_lot::Mutex;
use rows::{EventView, RawEvent};
use storage_write::{Appender, AppenderConfig, Client, LiveEncoder, RowEncoder, SharedDescriptor};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::row::{Incoming, Origin};

/// One version of a table's schema, and what encodes by it.
pub(crate) struct Version {
    pub(crate) number: u32,
    pub(crate) encoder: Arc<RowEncoder>,
}

impl Version {
    /// The row but for its `ingest`.
    pub(crate) fn encode(&self, json: &[u8]) -> Result<Vec<u8>, Rejection> {
        let mut row = Vec::with_capacity(json.len());
        self.encoder.encode(json, &mut row)?;
        Ok(row)
    }

    /// The same of an event of a stream, by the table's rules.
    pub(crate) fn encode_event(&self, event: EventView<'_>) -> Result<Vec<u8>, Rejection> {
        let mut row = Vec::with_capacity(event.json.len());
        self.encoder.encode_event(event, &mut row)?;
        Ok(row)
    }

    /// The row that a raw table has of an event, but for its `ingest`.
    pub(crate) fn encode_raw(&self, origin: &Origin, event_type: Option<&str>) -> Result<Vec<u8>, Rejection> {
        let Message { data, publish_time, .. } = &*origin.message;
        let mut row = Vec::with_capacity(data.len() + 64);
        let event = RawEvent { json: data, event_type, published_at: *publish_time, is_masked: origin.is_masked() };
        self.encoder.encode_raw(&event, origin.mask.as_ref(), &mut row)?;
        Ok(row)
    }

    /// Whether the table has such a column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.encoder.descriptor().field.iter().any(|field| field.name() == column)
    }

    /// What the rows are encoded with.
    pub(crate) fn descriptor(&self) -> &SharedDescriptor {
        self.encoder.shared_descriptor()
    }
}

/// An event, and who waits for its answer.
pub(crate) struct Offered {
    pub(crate) incoming: Incoming,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// A table that was found, and the task that writes to it.
pub(crate) struct OpenTable {
    pub(crate) name: TableName,
    pub(crate) epoch: i64,
    encoder: LiveEncoder,
    version: Mutex<Arc<Version>>,
    offers: mpsc::UnboundedSender<Offered>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
    storage: Client,
    appender: OnceLock<Appender>,
}

/// What a table is opened with.
pub(crate) struct Parts {
    pub(crate) name: TableName,
    pub(crate) epoch: i64,
    pub(crate) encoder: LiveEncoder,
    pub(crate) offers: mpsc::UnboundedSender<Offered>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    pub(crate) storage: Client,
}

impl OpenTable {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { name, epoch, encoder, offers, stop, task, storage } = parts;
        let version = Mutex::new(Arc::new(Version { number: 0, encoder: encoder.current() }));
        let task = Mutex::new(Some(task));
        Self { name, epoch, encoder, version, offers, stop, task, storage, appender: OnceLock::new() }
    }

    /// The default stream's writer, for rows that may come twice.
    pub(crate) fn appender(&self) -> &Appender {
        self.appender
            .get_or_init(|| Appender::spawn(&self.storage, &self.name, self.encoder.clone(), AppenderConfig::default()))
    }

    /// The ledger's key of an event of this table, as long as it is this table.
    pub(crate) fn key(&self, id: &EventId) -> EventKey {
        EventKey::new(&self.name, self.epoch, id)
    }

    /// The newest version of the schema.
    pub(crate) fn version(&self) -> Arc<Version> {
        let encoder = self.encoder.current();
        let mut version = self.version.lock();
        if !Arc::ptr_eq(&version.encoder, &encoder) {
            *version = Arc::new(Version { number: version.number + 1, encoder });
            tracing::info!(table = %self.name, schema.version = version.number, "the table's schema changed");
        }
        Arc::clone(&version)
    }

    /// Takes a schema that BigQuery told of: events that come from now on are encoded by it.
    pub(crate) fn learn(&self, schema: &TableSchema) {
        if let Err(error) = self.encoder.update(schema) {
            tracing::error!(table = %self.name, %error, "the table's new schema cannot be encoded");
        }
    }

    /// Hands the event to the writer, and waits for its answer. The event goes its way also where nobody waits.
    pub(crate) async fn offer(&self, incoming: Incoming) -> Answer {
        let (answer, answered) = oneshot::channel();
        if self.offers.send(Offered { incoming, answer }).is_err() {
            return Answer::Retry(Retry::Stopping);
        }
        answered.await.unwrap_or(Answer::Retry(Retry::Stopping))
    }

    /// Tells the writer to stop.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the writer has stopped.
    pub(crate) async fn stopped(&self) {
        let task = self.task.lock().take();
        if let Some(appender) = self.appender.get() {
            appender.close().await;
        }
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(table = %self.name, %error, "a writer ended badly");
        }
    }
}

/// How long a table that could not be opened is not asked for again.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
