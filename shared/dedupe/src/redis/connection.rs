//! A connection that comes back by itself, also where nobody closed it.
//!
//! The client's own manager makes a new connection when the old one is closed. One that was not closed may be as bad: its server
//! was made a replica and takes no writes any more, or its peer is gone without a word.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use futures::FutureExt;
use parking_lot::Mutex;
use redis::{
    Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};

/// So many calls in a row that nobody answers in time, and the connection is given up.
const SILENCES: u32 = 4;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    config: ConnectionManagerConfig,
    current: Mutex<Arc<Current>>,
}

/// One life of the connection.
struct Current {
    manager: ConnectionManager,
    silences: AtomicU32,
}

impl Connection {
    /// Connects with the first call.
    pub(super) fn new(client: Client, config: ConnectionManagerConfig) -> RedisResult<Self> {
        let current = Mutex::new(Arc::new(Current::new(&client, &config)?));
        Ok(Self { shared: Arc::new(Shared { client, config, current }) })
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.shared.current.lock())
    }

    /// Takes note of how a call of `used` ended; after an end that another connection may not come to, the next call has one.
    fn saw(&self, used: &Arc<Current>, error: Option<&RedisError>) {
        let is_bad = match error {
            None => {
                used.silences.store(0, Ordering::Relaxed);
                return;
            }
            Some(error) if error.is_timeout() => used.silences.fetch_add(1, Ordering::Relaxed) + 1 >= SILENCES,
            Some(error) => {
                matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly) | ErrorKind::AuthenticationFailed)
            }
        };
        let mut current = self.shared.current.lock();
        if !is_bad || !Arc::ptr_eq(&current, used) {
            return;
        }
        match Current::new(&self.shared.client, &self.shared.config) {
            Ok(new) => {
                tracing::warn!(
                    error = error.map(tracing::field::display),
                    "the ledger's connection is given up for another"
                );
                *current = Arc::new(new);
            }
            Err(error) => tracing::error!(%error, "the ledger cannot be connected to"),
        }
    }
}

impl Current {
    fn new(client: &Client, config: &ConnectionManagerConfig) -> RedisResult<Self> {
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?;
        Ok(Self { manager, silences: AtomicU32::new(0) })
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        async move {
            let current = self.current();
            let answer = current.manager.clone().req_packed_command(cmd).await.and_then(Value::extract_error);
            self.saw(&current, answer.as_ref().err());
            answer
        }
        .boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        async move {
            let current = self.current();
            let answer = current.manager.clone().req_packed_commands(pipeline, offset, count).await;
            self.saw(&current, answer.as_ref().err());
            answer
        }
        .boxed()
    }

    fn get_db(&self) -> i64 {
        self.current().manager.get_db()
    }
}
