//! Cloud Tasks: the part of its REST API (<https://cloud.google.com/tasks/docs/reference/rest>) that makes queues and HTTP
//! tasks, and their dispatch.
//!
//! A task is sent at its time and again, with the queue's back-off, until a 2xx answers or its attempts are used up. The name
//! of a task that is gone stays taken for a day. What is not done (App Engine tasks, OAuth tokens, pausing, IAM) is refused by
//! name with 501; rate limits are kept and not applied.

mod api;
mod dispatch;
mod engine;
mod error;
mod resource;
mod store;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::net::TcpListener;

use self::engine::Engine;
use crate::{faults::Faults, pubsub::Signer, wire::HttpServer};

/// How long requests on their way may still be answered when the server stops.
const STOPPING: Duration = Duration::from_secs(5);

/// The running server.
pub(crate) struct Server {
    engine: Arc<Engine>,
    http: HttpServer,
}

/// Serves Cloud Tasks on `listener`, with what `folder` holds from earlier. Tokens are signed as Pub/Sub's are.
pub(crate) async fn start(
    listener: TcpListener,
    folder: PathBuf,
    signer: Arc<Signer>,
    faults: Faults,
) -> anyhow::Result<Server> {
    let engine = tokio::task::spawn_blocking(move || Engine::open(&folder, signer, faults)).await??;
    let engine = Arc::new(engine);
    engine.resume()?;
    let http = HttpServer::spawn(listener, api::router(Arc::clone(&engine)))?;
    Ok(Server { engine, http })
}

impl Server {
    /// Accepts no more and sends no more; what is on its way may be answered.
    pub(crate) async fn shutdown(self) -> anyhow::Result<()> {
        let Self { engine, http } = self;
        engine.stop.cancel();
        let served = http.shutdown().await;
        engine.dispatches.close();
        if tokio::time::timeout(STOPPING, engine.dispatches.wait()).await.is_err() {
            tracing::warn!("some tasks were not answered in time");
        }
        tokio::task::spawn_blocking(move || engine.store.close()).await.context("closing Cloud Tasks")??;
        served
    }
}

#[cfg(test)]
mod tests;
