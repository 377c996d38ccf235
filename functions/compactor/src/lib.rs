//! The compactor: archive subscriptions into Avro objects on Cloud Storage.
//!
//! A trigger drains the `{stream}-archive` subscriptions within the catalog's budgets. Messages are grouped by the hour in which
//! they were published, one object an hour, streamed with bounded memory. Nothing is acked before its object is final and
//! the object's manifest entry stands; so a run that dies loses nothing, and what it had written without an entry is no part
//! of the archive. The merge pass makes large objects of an hour's small ones, and sweeps what is no part of the archive.

mod compact;
mod config;
mod drain;
mod error;
mod landing;
mod merge;
mod metrics;
mod object;
mod reading;
mod report;
mod turns;

use std::{sync::Arc, time::Duration};

use axum::{Router, routing::post};
use catalog::Catalog;
use objects::ObjectStore;
use pubsub::{Client, PushAuth};
use service::App;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::Config;
pub use error::StartError;
pub use report::{ArchivedObject, Landed, MergeReport, MergedObject, State, StreamReport};

use crate::{metrics::Metrics, turns::Turns};

/// The compactor, connected.
#[derive(Debug, Clone)]
pub struct Compactor {
    catalog: Arc<Catalog>,
    pubsub: Client,
    store: ObjectStore,
    auth: Arc<PushAuth>,
    idle: Duration,
    ack_deadline: Duration,
    metrics: Metrics,
    turns: Turns,
    /// The runs under way.
    tasks: TaskTracker,
    /// Cancelled when the service stops: runs pull no more, and finish what they hold.
    stopping: CancellationToken,
}

impl Compactor {
    /// Reads the catalog that `config` names and connects.
    pub async fn connect(config: &Config) -> Result<Self, StartError> {
        Self::with_catalog(config, Catalog::load(&config.catalog)?).await
    }

    /// Connects to Pub/Sub and Cloud Storage for the streams of `catalog`.
    pub async fn with_catalog(config: &Config, catalog: Catalog) -> Result<Self, StartError> {
        let auth = config.auth.as_ref().map_or(Ok(PushAuth::None), PushAuth::oidc)?;
        Ok(Self {
            catalog: Arc::new(catalog),
            pubsub: Client::connect(&config.pubsub).await?,
            store: ObjectStore::connect(&config.store).await?,
            auth: Arc::new(auth),
            idle: config.idle,
            ack_deadline: config.ack_deadline,
            metrics: Metrics::new()?,
            turns: Turns::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        })
    }
}

/// The compactor as an app: its route, its metrics, and the end of the runs under way.
pub fn router(compactor: Compactor) -> Result<App, StartError> {
    let registry = compactor.metrics.registry()?;
    let (tasks, stopping, store) = (compactor.tasks.clone(), compactor.stopping.clone(), compactor.store.clone());
    let router = Router::new()
        .route("/compact", post(compact::post))
        .fallback(service::problem::no_such_path)
        .with_state(compactor);
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
