//! Group commit on a table's default stream.

mod delivery;
mod gather;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use catalog::TableName;
use event::Rejection;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use rows::{LiveEncoder, SharedDescriptor};

use crate::{
    client::{Client, WriteStreamName},
    error::AppendError,
};
use gather::Gatherer;

/// What a waiting row costs beyond its bytes.
const ROW_OVERHEAD: usize = 128;

/// How rows are gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppenderConfig {
    /// The most rows of an append.
    pub max_rows: usize,
    /// The bytes of rows after which an append is full.
    pub max_bytes: usize,
    /// The most appends in flight.
    pub max_in_flight: usize,
    /// The most bytes of rows that wait or are in flight; beyond them a row is [`RowFailure::Overloaded`].
    pub max_pending_bytes: usize,
    /// How long passing faults are tried again before a row is [`RowFailure::Unavailable`].
    pub retry_for: Duration,
}

impl Default for AppenderConfig {
    fn default() -> Self {
        Self {
            max_rows: 500,
            max_bytes: 1_000_000,
            max_in_flight: 8,
            max_pending_bytes: 128 << 20,
            retry_for: Duration::from_secs(20),
        }
    }
}

/// Why a row is not known to be in the table.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowFailure {
    /// The table will never take the row.
    #[error(transparent)]
    Rejected(Rejection),
    /// Too many bytes wait already; the row was not taken.
    #[error("too many bytes wait to be appended")]
    Overloaded,
    /// The row was tried again until its time was up; it may be in the table all the same.
    #[error("the row could not be appended")]
    Unavailable(#[source] AppendError),
    /// The appender is closing; the row was not taken.
    #[error("the appender is closed")]
    Closed,
}

/// Group commit on a table's default stream: at least once, and each caller learns the fate of its own row.
///
/// A row goes out at once when nothing is in flight; else rows gather until they fill an append or the one in flight is
/// answered. Rows that the service refuses leave their append, and the rest is sent again; where it refuses the request and names
/// no row, the halves go by themselves, and a row is rejected when it was refused alone. A schema that grew, as an answer tells
/// it, goes into the [`LiveEncoder`], so that the next rows are encoded with it.
#[derive(Debug)]
pub struct Appender {
    rows: Mutex<Option<mpsc::UnboundedSender<QueuedRow>>>,
    permits: Arc<Semaphore>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct QueuedRow {
    bytes: Bytes,
    descriptor: SharedDescriptor,
    reply: oneshot::Sender<Result<(), RowFailure>>,
    _permit: OwnedSemaphorePermit,
}

impl QueuedRow {
    fn settle(self, result: Result<(), RowFailure>) {
        // Whoever does not wait any more does not need to know.
        let _ = self.reply.send(result);
    }
}

impl Appender {
    /// An appender with a connection of its own. `encoder` is what the rows of `table` are encoded with.
    pub fn spawn(client: &Client, table: &TableName, encoder: LiveEncoder, config: AppenderConfig) -> Self {
        let stream = WriteStreamName::default_of(client.project(), table);
        let permits = Arc::new(Semaphore::new(config.max_pending_bytes.min(Semaphore::MAX_PERMITS)));
        let (rows, receiver) = mpsc::unbounded_channel();
        let gatherer = Gatherer::new(client.connection(), stream, encoder, config);
        let task = tokio::spawn(gatherer.run(receiver));
        Self { rows: Mutex::new(Some(rows)), permits, task: Mutex::new(Some(task)) }
    }

    /// Appends `row`, which was encoded with `descriptor`. Resolves when the row is in the table, or why it is not. Dropping
    /// the future does not take the row back.
    pub async fn append(&self, row: Bytes, descriptor: &SharedDescriptor) -> Result<(), RowFailure> {
        let cost = u32::try_from(row.len() + ROW_OVERHEAD).map_err(|_| RowFailure::Overloaded)?;
        let permit = Arc::clone(&self.permits).try_acquire_many_owned(cost).map_err(|_| RowFailure::Overloaded)?;
        let (reply, fate) = oneshot::channel();
        let queued = QueuedRow { bytes: row, descriptor: descriptor.clone(), reply, _permit: permit };
        let is_queued = self.rows.lock().as_ref().is_some_and(|rows| rows.send(queued).is_ok());
        if !is_queued {
            return Err(RowFailure::Closed);
        }
        fate.await.unwrap_or(Err(RowFailure::Unavailable(AppendError::unknown("the appender ended"))))
    }

    /// Takes no more rows, and waits for the fate of those it has.
    pub async fn close(&self) {
        self.rows.lock().take();
        let task = self.task.lock().take();
        if let Some(Err(error)) = futures::future::OptionFuture::from(task).await {
            tracing::error!(error = %error, "an appender's task died");
        }
    }
}
