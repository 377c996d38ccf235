//! A long-lived AppendRows stream: several appends in flight, answered in their order.

mod actor;
mod open;

use std::sync::Arc;

use bytes::Bytes;
use catalog::TableSchema;
use rows::SharedDescriptor;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};
use tonic::Code;

use crate::{
    client::{Client, WriteStreamName},
    error::{AppendError, Fault},
};
use actor::Actor;

/// What a request costs beyond its rows, in bytes of the bound.
const REQUEST_OVERHEAD: usize = 128;

/// One append: encoded rows for one write stream.
#[derive(Debug, Clone)]
pub struct AppendRequest {
    /// The stream. Default streams share a connection; a created stream has one of its own.
    pub stream: WriteStreamName,
    /// Where the stream must end for the append to be applied; `None` on a default stream.
    pub offset: Option<i64>,
    /// The encoded rows.
    pub rows: Vec<Bytes>,
    /// What they were encoded with.
    pub descriptor: SharedDescriptor,
}

impl AppendRequest {
    fn bytes(&self) -> usize {
        self.rows.iter().map(Bytes::len).sum()
    }
}

/// The rows are committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Appended {
    /// The offset of the first of them; `None` on a default stream.
    pub offset: Option<i64>,
    /// The table's schema, where the service saw it change since the connection was made. Types that Pipas does not write
    /// make it `None`.
    pub updated_schema: Option<TableSchema>,
}

/// A long-lived AppendRows stream, opened when it is needed and opened anew when it breaks.
///
/// Requests go out in the order of [`Connection::append`] and are answered in it. When the stream breaks, whatever is in
/// flight is [`AppendError::Ambiguous`], but for the first, about which the service may have said more. Nothing is sent twice
/// by itself. Dropping the future of an append does not take it back. Bytes in flight are bounded; beyond the bound
/// `append` waits.
#[derive(Debug)]
pub struct Connection {
    commands: mpsc::UnboundedSender<Command>,
    permits: Arc<Semaphore>,
    max_bytes: usize,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    Append(Pending),
    Reset,
}

#[derive(Debug)]
struct Pending {
    request: AppendRequest,
    bytes: usize,
    permit: OwnedSemaphorePermit,
    reply: oneshot::Sender<Result<Appended, AppendError>>,
}

impl Connection {
    pub(crate) fn spawn(client: Client) -> Self {
        let max_bytes = client.config.max_in_flight_bytes.min(u32::MAX as usize);
        let (sender, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(Actor::new(client, receiver).run());
        Self { commands: sender, permits: Arc::new(Semaphore::new(max_bytes)), max_bytes, task }
    }

    /// Appends rows; answers when the service has.
    pub async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        let bytes = request.bytes();
        let cost = u32::try_from((bytes + REQUEST_OVERHEAD).min(self.max_bytes)).unwrap_or(u32::MAX);
        let closed = || {
            let message = "the connection is closed".to_owned();
            AppendError::not_sent(Fault { code: Code::Unavailable, storage: None, message })
        };
        let permit = Arc::clone(&self.permits).acquire_many_owned(cost).await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let pending = Pending { request, bytes, permit, reply };
        self.commands.send(Command::Append(pending)).map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(AppendError::unknown("the connection ended")))
    }

    /// Breaks the stream off: what is in flight becomes [`AppendError::Ambiguous`], and the next append opens a new one.
    pub fn reset(&self) {
        // A closed connection is as good as reset.
        let _ = self.commands.send(Command::Reset);
    }

    /// Waits until nothing is in flight any more, and closes the stream.
    pub async fn close(self) {
        let Self { commands, task, .. } = self;
        drop(commands);
        if let Err(error) = task.await {
            tracing::error!(error = %error, "a connection's task died");
        }
    }
}
