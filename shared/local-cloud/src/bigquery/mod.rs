//! The local BigQuery: tables and rows kept on disk, the Storage Write API over gRPC, and the REST API over HTTP.

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use anyhow::Context;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{faults::Faults, wire::HttpServer};
use store::Store;

pub(crate) mod arrow_schema;
mod cell;
mod civil;
mod columns;
mod decimal;
mod rest;
pub(crate) mod sql;
mod store;
#[cfg(test)]
mod tests;
mod warehouse;
mod write;

/// Where everything is said to lie.
const LOCATION: &str = "US";
/// How long a closing server waits for calls that were cut off to let go of the files.
const LET_GO: Duration = Duration::from_secs(5);

/// A running local BigQuery.
#[derive(Debug)]
pub(crate) struct Server {
    rest: HttpServer,
    grpc: HttpServer,
    jobs: Arc<rest::Jobs>,
    store: Arc<Store>,
    ephemeral: Option<TempDir>,
}

/// Serves BigQuery's REST API on `rest` and its Storage Write API on `grpc`.
///
/// Everything that was answered is kept under `dir`; without one, nothing outlives the server.
pub(crate) async fn start(
    rest: TcpListener,
    grpc: TcpListener,
    dir: Option<PathBuf>,
    project: String,
    faults: Faults,
) -> anyhow::Result<Server> {
    let (dir, ephemeral) = match dir {
        Some(dir) => (dir, None),
        None => {
            let folder = tempfile::Builder::new().prefix("pipas-bigquery-").tempdir()?;
            (folder.path().to_owned(), Some(folder))
        }
    };
    let store = tokio::task::spawn_blocking(move || Store::open(&dir)).await.context("opening the store")??;
    let (store, project) = (Arc::new(store), Arc::<str>::from(project));
    let grpc = HttpServer::spawn(grpc, write::router(Arc::clone(&store), Arc::clone(&project), faults.clone()))?;
    let (router, jobs) = rest::router(Arc::clone(&store), project, faults)?;
    let rest = HttpServer::spawn(rest, router)?;
    Ok(Server { rest, grpc, jobs, store, ephemeral })
}

impl Server {
    /// Stops taking requests, lets those in flight end, and closes the store.
    pub(crate) async fn shutdown(self) -> anyhow::Result<()> {
        let Self { rest, grpc, jobs, store, ephemeral } = self;
        let (rest, grpc) = tokio::join!(rest.shutdown(), grpc.shutdown());
        let closing = tokio::task::spawn_blocking(move || {
            jobs.stop();
            store.close()
        });
        let closed = closing.await.context("closing the store")?;
        if let Ok(files) = &closed {
            let_go(files).await;
        }
        drop(ephemeral);
        rest.and(grpc).and(closed.map(drop))
    }
}

/// Waits until the files are closed, so that they can be opened again.
async fn let_go(files: &Weak<()>) {
    let deadline = Instant::now() + LET_GO;
    while files.strong_count() > 0 {
        if Instant::now() > deadline {
            tracing::warn!("the BigQuery store is still in use after its shutdown");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
