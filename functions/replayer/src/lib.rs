//! The replayer: archived messages go through the loader once more, or are merged into their tables.
//!
//! A replay reads the archive's objects by the manifest, verifies each before it takes a message from it, and publishes the
//! messages again under their identity: the loader sees the message that was, so its id, its claim, its dead letter and its
//! place among upserts are what they were. What is a row already is refused as a duplicate; what is missing is loaded. Where
//! claims are forgotten and rows are not, nothing is published: those events are merged, by a staging table and one
//! statement that inserts what the table lacks.

mod age;
mod checkpoint;
mod config;
mod error;
mod foreign;
mod identity;
mod listing;
mod merge;
mod metrics;
mod outgoing;
mod overlap;
mod pace;
mod post;
mod progress;
mod publish;
mod read;
mod report;
mod request;
mod run;
mod sieve;
mod staging;
mod target;

use std::sync::Arc;

use axum::{Router, routing::post};
use catalog::Catalog;
use objects::{ObjectStore, StoreConfig};
use pubsub::{Client, PushAuth};
use rows::MaskKey;
use service::App;
use storage_write::Tables;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::Config;
pub use error::{ReplayError, StartError};
pub use progress::{Counts, Progress};
pub use report::{Damaged, Report, State};
pub use request::{Mode, Request};
pub use run::Control;

use crate::metrics::Metrics;

/// The replayer, connected.
#[derive(Debug, Clone)]
pub struct Replayer(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) catalog: Catalog,
    pub(crate) pubsub: Client,
    pub(crate) store: ObjectStore,
    pub(crate) storage: StoreConfig,
    pub(crate) tables: Tables,
    pub(crate) rows: storage_write::Client,
    pub(crate) auth: PushAuth,
    pub(crate) metrics: Metrics,
    /// What masks hash under; `None`: nobody said.
    pub(crate) mask_key: Option<MaskKey>,
    /// Held by the run that is under way.
    pub(crate) turn: tokio::sync::Mutex<()>,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the service stops: a run writes its checkpoint and ends.
    pub(crate) stopping: CancellationToken,
}

impl Replayer {
    /// Reads the catalog that `config` names and makes the clients.
    pub async fn connect(config: &Config) -> Result<Self, StartError> {
        Self::with_catalog(config, Catalog::load(&config.catalog)?).await
    }

    /// Makes the clients for the streams of `catalog`. Nothing is sent before the first replay.
    pub async fn with_catalog(config: &Config, catalog: Catalog) -> Result<Self, StartError> {
        let project = &config.pubsub.project;
        let rows = storage_write::ClientConfig::new(project, config.bigquery_storage_endpoint.clone());
        let metrics = Metrics::new()?;
        Ok(Self(Arc::new(Inner {
            catalog,
            pubsub: Client::connect(&config.pubsub).await?,
            store: ObjectStore::connect(&config.store).await?,
            storage: config.store.clone(),
            tables: Tables::connect(project, config.bigquery_endpoint.as_deref()).await?,
            rows: storage_write::Client::connect(rows, metrics.storage.clone())?,
            auth: config.auth.as_ref().map_or(Ok(PushAuth::None), PushAuth::oidc)?,
            metrics,
            mask_key: config.mask_key.clone(),
            turn: tokio::sync::Mutex::new(()),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        })))
    }

    /// Replays what `request` asks for, until it is done or `control` ends it; then the same request goes on where it ended.
    pub async fn replay(&self, request: &Request, control: &Control) -> Result<Report, ReplayError> {
        run::replay(&self.0, request, control).await
    }
}

/// The replayer as an app: its route, its metrics, and the end of the run under way.
pub fn router(replayer: Replayer) -> Result<App, StartError> {
    let Replayer(inner) = replayer;
    let registry = inner.metrics.registry();
    let (tasks, stopping, store) = (inner.tasks.clone(), inner.stopping.clone(), inner.store.clone());
    let router = Router::new()
        .route("/replay", post(post::post))
        .fallback(service::problem::no_such_path)
        .with_state(Replayer(inner));
    Ok(App::new(router, registry)
        .ready_when(move || {
            let store = store.clone();
            async move { store.check().await }
        })
        .stopping_cancels(stopping)
        .on_drain(async move || {
            tasks.close();
            tasks.wait().await;
        }))
}
