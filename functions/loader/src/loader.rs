use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::{Router, routing::post};
use catalog::{Catalog, Delivery, TableName, dead_letters_table};
use dedupe::{InProcessLedger, Ledger, RedisLedger, RedisSettings};
use event::Outcome;
use exactly_once::{Limits, Owner};
use futures::future::join_all;
use http::HeaderMap;
use objects::ObjectStore;
use pubsub::{PushAuth, push::PushDelivery};
use registry::Registry;
use rows::MaskKey;
use service::{App, TraceContext, chain};
use storage_write::{Client, ClientConfig, Tables};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, LedgerConfig, StartError,
    dead_letters::DeadLetters,
    error::LoaderError,
    generation::{Generations, Whole},
    janitor::{self, Janitor},
    ledger_health::LedgerHealth,
    metrics::Metrics,
    push,
    quota::{self, Quota},
    recovery::{Claimed, Recovery},
    stream::StreamLoader,
};

/// The loader, connected.
#[derive(Clone)]
pub struct Loader(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) auth: PushAuth,
    pub(crate) metrics: Metrics,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) stop: CancellationToken,
    ledger: Arc<dyn Ledger>,
    streams: BTreeMap<String, Arc<StreamLoader>>,
    by_subscription: BTreeMap<String, Arc<StreamLoader>>,
    pub(crate) janitor: Option<Janitor>,
    room: Arc<Semaphore>,
}

/// What every table's writer uses.
pub(crate) struct Services {
    pub(crate) project: String,
    pub(crate) tables: Tables,
    pub(crate) storage: Client,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) ledger_health: LedgerHealth,
    /// Which write streams may receive rows; `None`: nobody keeps track.
    pub(crate) registry: Option<Registry>,
    pub(crate) generations: Generations,
    pub(crate) quota: Quota,
    /// This incarnation: no other process, and no later start, claims under it.
    pub(crate) owner: Owner,
    pub(crate) metrics: Metrics,
    /// What masks hash under.
    pub(crate) mask_key: MaskKey,
    #[cfg(feature = "unfenced")]
    pub(crate) unfenced: bool,
}

impl Loader {
    /// Reads the catalog that `config` names and makes the clients. Nothing is asked of BigQuery before the first delivery.
    pub async fn connect(config: &Config) -> Result<Self, StartError> {
        Self::with_catalog(config, Catalog::load(&config.catalog)?).await
    }

    /// Makes the clients for the streams of `catalog`.
    pub async fn with_catalog(config: &Config, catalog: Catalog) -> Result<Self, StartError> {
        let auth = match &config.auth {
            Some(oidc) => PushAuth::oidc(oidc)?,
            None => PushAuth::None,
        };
        let metrics = Metrics::new()?;
        let mask_key = mask_key(config, &catalog)?;
        let ledger = ledger(&config.ledger, &metrics)?;
        let registry = match (catalog.registry, &config.registry) {
            (catalog::Registry::Storage, Some(store)) => Some(Registry::new(ObjectStore::connect(store).await?)),
            (catalog::Registry::Storage, None) => return Err(StartError::NoRegistry),
            (catalog::Registry::None, _) => None,
        };
        let storage = ClientConfig::new(&config.project, config.storage_endpoint.clone());
        let services = Arc::new(Services {
            project: config.project.clone(),
            tables: Tables::connect(&config.project, config.bigquery_endpoint.as_deref()).await?,
            storage: Client::connect(storage, metrics.storage.clone())?,
            ledger: Arc::clone(&ledger),
            ledger_health: LedgerHealth::default(),
            generations: Generations::new(registry.is_none().then(Whole::unguarded)),
            registry,
            quota: Quota::new(&catalog.quotas, &metrics),
            owner: Owner::generate(),
            metrics: metrics.clone(),
            mask_key,
            #[cfg(feature = "unfenced")]
            unfenced: config.unfenced,
        });
        let stop = CancellationToken::new();
        let claimed = claimed(&catalog);
        // Without a registry a failover of the ledger may write an event twice anyhow, and streams are not spent on it.
        let limits = Limits { reuse_refused_offset: services.registry.is_none(), ..config.limits.clone() };
        let letters = Limits { window: longest_window(&catalog), ..limits.clone() };
        let dead_letters = Arc::new(DeadLetters::new(&services, &letters));
        let streams: BTreeMap<String, Arc<StreamLoader>> = catalog
            .streams
            .into_iter()
            .map(|(name, stream)| {
                metrics.announce(&name);
                (name, Arc::new(StreamLoader::new(stream, &limits, &services, &dead_letters, &stop)))
            })
            .collect();
        let by_subscription =
            streams.values().map(|stream| (stream.stream.loader_subscription(), Arc::clone(stream))).collect();
        let room = Arc::new(Semaphore::new(config.buffer_bytes));
        tokio::spawn(quota::report(Arc::clone(&services), stop.clone()));
        let janitor = services.registry.clone().map(|registry| {
            let recovery =
                Recovery::new(Arc::clone(&services), registry.clone(), claimed.clone(), config.recovery_limit);
            tokio::spawn(recovery.run(stop.clone()));
            Janitor::new(Arc::clone(&services), registry, config.janitor_idle, &claimed)
        });
        tracing::info!(loader.owner = %services.owner, streams = streams.len(), "loader connected");
        Ok(Self(Arc::new(Inner { auth, metrics, dead_letters, stop, ledger, streams, by_subscription, janitor, room })))
    }
}

impl Loader {
    /// Checks whether the request with these headers is Pub/Sub's.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<(), LoaderError> {
        Ok(self.0.auth.verify_headers(headers).await?)
    }

    /// Gives up on the event of a message whose deliveries are used up: afterwards it is a dead letter (`exhausted_retries`),
    /// or was a row or a dead letter already; an error says that it must come again. `delivery` is the message as it was
    /// published, and how often it was delivered. What is done for it stands below `trace`.
    pub async fn give_up(
        &self,
        stream: &str,
        delivery: PushDelivery,
        trace: TraceContext,
    ) -> Result<Outcome, LoaderError> {
        let stream = self.0.stream(Some(stream), "")?;
        let room = self.0.room(delivery.message.size())?;
        if self.0.stop.is_cancelled() {
            return Err(LoaderError::Stopping);
        }
        stream.give_up(delivery, trace, room).await
    }

    /// The streams' names.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.0.streams.keys().map(String::as_str)
    }

    /// What the loader measures.
    pub fn registry(&self) -> prometheus::Registry {
        self.0.metrics.registry()
    }

    /// Cancelled where the loader is to stop: it takes nothing more then.
    pub fn stop(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// Whether the claim ledger answers.
    pub async fn ready(&self) -> Result<(), dedupe::LedgerError> {
        self.0.ledger.ping().await
    }

    /// Takes nothing more, and brings what was begun to its end.
    pub async fn drain(&self) {
        self.0.drain().await;
    }
}

/// The key of masks that hash; a catalog that has some does not go without.
fn mask_key(config: &Config, catalog: &Catalog) -> Result<MaskKey, StartError> {
    match &config.mask_key {
        Some(key) => Ok(key.clone()),
        None => match catalog.streams.values().find(|stream| stream.payload_mask().hashes()) {
            Some(stream) => Err(StartError::NoMaskKey { stream: stream.name.clone() }),
            None => Ok(MaskKey::none()),
        },
    }
}

/// How long dead letters are remembered: for as long as any event may come again.
fn longest_window(catalog: &Catalog) -> Duration {
    let windows = catalog.streams.values().map(|stream| stream.dedupe_window);
    windows.max().unwrap_or(Limits::default().window)
}

/// The tables whose rows are claimed, each once, with the longest window that names it.
fn claimed(catalog: &Catalog) -> Vec<Claimed> {
    let mut windows: BTreeMap<&TableName, Duration> = BTreeMap::new();
    for stream in catalog.streams.values() {
        let claims = |table: &&catalog::Table| !matches!(table.delivery, Delivery::Upsert(_));
        for table in stream.tables.iter().filter(claims) {
            let window = windows.entry(&table.name).or_default();
            *window = stream.dedupe_window.max(*window);
        }
    }
    let dead_letters =
        Claimed { name: dead_letters_table().name, window: longest_window(catalog), is_dead_letters: true };
    let tables =
        windows.into_iter().map(|(name, window)| Claimed { name: name.clone(), window, is_dead_letters: false });
    tables.chain([dead_letters]).collect()
}

impl Inner {
    /// The stream that a push belongs to: the one its path names, else the one whose subscription its body names.
    pub(crate) fn stream(&self, path: Option<&str>, subscription: &str) -> Result<&Arc<StreamLoader>, LoaderError> {
        let found = match path {
            Some(name) => self.streams.get(name),
            None => self.by_subscription.get(subscription.rsplit('/').next().unwrap_or_default()),
        };
        found.ok_or_else(|| LoaderError::UnknownStream {
            named: match path {
                Some(name) => format!("the path `{}`", shortened(name)),
                None => format!("the subscription `{}`", shortened(subscription)),
            },
            streams: self.streams.keys().cloned().collect(),
        })
    }

    /// Room for a body of `bytes`, until the permit is dropped.
    pub(crate) fn room(&self, bytes: usize) -> Result<Room, LoaderError> {
        let count = u32::try_from(bytes.max(1)).map_err(|_| LoaderError::Overloaded)?;
        let permit = Arc::clone(&self.room).try_acquire_many_owned(count).map_err(|_| LoaderError::Overloaded)?;
        self.metrics.buffered.add(i64::from(count));
        Ok(Room { permit, buffered: self.metrics.buffered.clone() })
    }

    /// Brings what was begun to its end, and finalizes the write streams: the events' first, whose dead letters may still come.
    async fn drain(&self) {
        self.stop.cancel();
        join_all(self.streams.values().map(|stream| stream.close())).await;
        self.dead_letters.close().await;
    }
}

/// Room that a delivery takes up.
pub(crate) struct Room {
    permit: OwnedSemaphorePermit,
    buffered: prometheus::IntGauge,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.buffered.sub(self.permit.num_permits() as i64);
    }
}

/// The loader as an app: its routes, its metrics, its readiness, and the drain.
pub fn router(loader: Loader) -> App {
    let Loader(inner) = loader;
    let (registry, stop) = (inner.metrics.registry(), inner.stop.clone());
    let (asked, drained) = (Arc::clone(&inner.ledger), Arc::clone(&inner));
    let router = Router::new()
        .route("/", post(push::push))
        .route("/push/{stream}", post(push::push))
        .route("/janitor", post(janitor::post))
        .fallback(service::problem::no_such_path)
        .with_state(inner);
    App::new(router, registry)
        .ready_when(move || {
            let ledger = Arc::clone(&asked);
            async move { ledger.ping().await }
        })
        .stopping_cancels(stop)
        .on_drain(move || async move { drained.drain().await })
}

fn ledger(config: &LedgerConfig, metrics: &Metrics) -> Result<Arc<dyn Ledger>, StartError> {
    match config {
        LedgerConfig::Redis { url, authority, buckets } => {
            let read = |path: &PathBuf| {
                std::fs::read(path).map_err(|source| StartError::Authority { path: path.clone(), source })
            };
            let authority = authority.as_ref().map(read).transpose()?;
            let settings = RedisSettings { authority, buckets: *buckets, ..RedisSettings::new(url.clone()) };
            let ledger = Arc::new(RedisLedger::new(&settings)?);
            tokio::spawn(look_at(Arc::downgrade(&ledger), metrics.clone()));
            Ok(ledger)
        }
        LedgerConfig::InProcess { journal: None } => {
            tracing::warn!(
                "claims are kept in this process alone: a second loader, or a restart, may write an event twice"
            );
            Ok(Arc::new(InProcessLedger::new()))
        }
        LedgerConfig::InProcess { journal: Some(folder) } => journalled(folder),
    }
}

/// Warns of a server that is no ledger: at once, and again and again, for another may take its place, or its settings change. The
/// start does not wait for it: the server may come later, and `/readyz` asks it.
async fn look_at(ledger: Weak<RedisLedger>, metrics: Metrics) {
    while let Some(ledger) = ledger.upgrade() {
        match timeout(LEDGER_PATIENCE, ledger.eviction_policy()).await {
            Ok(Ok(policy)) => metrics.ledger_policy(policy.as_deref()),
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "the ledger does not answer"),
            Err(_) => tracing::warn!("the ledger does not answer"),
        }
        drop(ledger);
        sleep(LEDGER_LOOK).await;
    }
}

/// How often the ledger's server is asked what it is.
const LEDGER_LOOK: Duration = Duration::from_secs(60);
/// How long the ledger's server may take to say what it is.
const LEDGER_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(feature = "journal")]
fn journalled(folder: &std::path::Path) -> Result<Arc<dyn Ledger>, StartError> {
    Ok(Arc::new(InProcessLedger::open(folder)?))
}

#[cfg(not(feature = "journal"))]
fn journalled(folder: &std::path::Path) -> Result<Arc<dyn Ledger>, StartError> {
    tracing::error!(ledger.journal = %folder.display(), "this build keeps no journal: a restart may write an event twice");
    Ok(Arc::new(InProcessLedger::new()))
}

fn shortened(name: &str) -> String {
    name.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_are_remembered_as_long_as_any_event() {
        let folder = tempfile::tempdir().expect("a folder");
        let stream = |name: &str, window: &str| {
            format!(
                "  {name}:\n    event_id: /id\n    dedupe_window: {window}\n    tables:\n      t:\n        table: d.{name}\n        \
                 schema: t.json\n"
            )
        };
        let file = folder.path().join("pipas.yaml");
        std::fs::write(folder.path().join("t.json"), r#"[{"name":"id","type":"STRING"}]"#).expect("written");
        std::fs::write(&file, format!("streams:\n{}{}", stream("one", "1h"), stream("two", "72h"))).expect("written");
        let catalog = Catalog::load(&file).expect("a catalog");
        let found = claimed(&catalog);
        let letters = found.iter().find(|table| table.is_dead_letters).expect("their table");
        assert_eq!(letters.window, Duration::from_secs(72 * 3_600));
        assert_eq!(longest_window(&catalog), letters.window);
    }
}
