//! The poller: feeds from the web onto their streams' topics, more often than once a minute.
//!
//! Cloud Scheduler posts to `/poll` each minute; that puts a task for each fetch of the minute on a queue of Cloud Tasks, under
//! a name that says which fetch it is, so that a second trigger adds nothing. Each task posts to `/fetch`, which fetches the
//! feed and publishes its events as the receiver does. What is known of a feed stands in a bucket: what its last answer was,
//! how often it failed, and who fetches it now; so any instance may take any task.

mod config;
mod decode;
mod error;
mod faults;
mod feed;
mod fetch;
mod lease;
mod metrics;
mod outlet;
mod poll;
mod report;
mod source;
mod state;
mod tasks;

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, routing::post};
use catalog::Catalog;
use objects::ObjectStore;
use pubsub::{Client, PushAuth};
use service::App;
use tokio_util::task::TaskTracker;

pub use config::Config;
pub use error::StartError;
pub use report::{FetchReport, FetchResult, PollReport};

use crate::{feed::FeedPoller, metrics::Metrics, source::Source, tasks::TaskQueue};

/// The poller, connected.
#[derive(Clone)]
pub struct Poller(Arc<Inner>);

struct Inner {
    feeds: BTreeMap<String, FeedPoller>,
    source: Source,
    queue: TaskQueue,
    store: ObjectStore,
    auth: PushAuth,
    metrics: Metrics,
    /// The fetches under way.
    tasks: TaskTracker,
}

impl Poller {
    /// Reads the catalog that `config` names and connects.
    pub async fn connect(config: &Config) -> Result<Self, StartError> {
        Self::with_catalog(config, Catalog::load(&config.catalog)?).await
    }

    /// Connects to Pub/Sub, Cloud Storage and Cloud Tasks for the feeds of `catalog`.
    pub async fn with_catalog(config: &Config, catalog: Catalog) -> Result<Self, StartError> {
        let auth = config.auth.as_ref().map_or(Ok(PushAuth::None), PushAuth::oidc)?;
        let pubsub = Client::connect(&config.pubsub).await?;
        let mut feeds = BTreeMap::new();
        for stream in catalog.streams.values().filter(|stream| !stream.feeds.is_empty()) {
            let outlet = outlet::Outlet::new(stream, pubsub.publisher(stream.topic()));
            for feed in &stream.feeds {
                feeds.insert(feed.name.clone(), FeedPoller::new(feed, Arc::clone(&outlet)));
            }
        }
        Ok(Self(Arc::new(Inner {
            feeds,
            source: Source::new(config.env.clone())?,
            queue: TaskQueue::connect(&config.tasks).await?,
            store: ObjectStore::connect(&config.store).await?,
            auth,
            metrics: Metrics::new()?,
            tasks: TaskTracker::new(),
        })))
    }
}

/// The poller as an app: its routes, its metrics, and the end of the fetches under way.
pub fn router(poller: Poller) -> Result<App, StartError> {
    let registry = poller.0.metrics.registry()?;
    let (asked, drained) = (Arc::clone(&poller.0), Arc::clone(&poller.0));
    let router = Router::new()
        .route("/poll", post(poll::post))
        .route("/fetch", post(fetch::post))
        .fallback(service::problem::no_such_path)
        .with_state(poller);
    Ok(App::new(router, registry)
        .ready_when(move || {
            let store = asked.store.clone();
            async move { store.check().await }
        })
        .on_drain(async move || {
            drained.tasks.close();
            drained.tasks.wait().await;
        }))
}
