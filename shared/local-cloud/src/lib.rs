//! Pub/Sub, BigQuery, Cloud Storage and Cloud Tasks on one machine, speaking Google's own wire protocols.
//!
//! The code that runs on Google Cloud runs against these servers with only its endpoints changed: there are no memory
//! twins of the clients. What was answered is on disk: a killed process loses nothing that a client was told is done.
//! [`Faults`] makes the servers misbehave on purpose, for tests.

mod bigquery;
mod faults;
mod pubsub;
mod storage;
mod tasks;
mod wire;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::net::TcpListener;

pub use faults::{Action, Faults, Rule, RuleId, When};
pub use pubsub::SubscriptionStats;

/// How to start a [`LocalCloud`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the data is kept; `None` keeps it in a temporary folder that the shutdown removes.
    pub data_dir: Option<PathBuf>,
    /// The project that everything belongs to.
    pub project: String,
    /// Where the servers listen.
    pub addresses: Addresses,
    /// The faults that the servers inject; [`Faults::default`] injects none.
    pub faults: Faults,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data_dir: None,
            project: "pipas-local".to_owned(),
            addresses: Addresses::default(),
            faults: Faults::default(),
        }
    }
}

/// Where each server listens. Port 0 is any free port; the default is a free port of the loopback interface for each.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Pub/Sub: gRPC, and the key set of the push tokens.
    pub pubsub: SocketAddr,
    /// BigQuery's REST API.
    pub bigquery: SocketAddr,
    /// BigQuery's Storage Write API, gRPC.
    pub bigquery_storage: SocketAddr,
    /// Cloud Storage's JSON API.
    pub storage: SocketAddr,
    /// Cloud Tasks' REST API.
    pub tasks: SocketAddr,
}

impl Default for Addresses {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { pubsub: any, bigquery: any, bigquery_storage: any, storage: any, tasks: any }
    }
}

/// The servers' base URLs, as `http://host:port` without a final slash.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Endpoints {
    /// Pub/Sub, gRPC.
    pub pubsub: String,
    /// BigQuery's REST API.
    pub bigquery: String,
    /// BigQuery's Storage Write API, gRPC.
    pub bigquery_storage: String,
    /// Cloud Storage's JSON API.
    pub storage: String,
    /// Cloud Tasks' REST API.
    pub tasks: String,
    /// The whole URL of the key set (RFC 7517) that push tokens verify against.
    pub jwks: String,
}

/// The running servers. Dropping it without [`LocalCloud::shutdown`] loses nothing that was answered, but leaves tasks
/// running until the runtime ends.
pub struct LocalCloud {
    endpoints: Endpoints,
    pubsub: pubsub::Server,
    bigquery: bigquery::Server,
    storage: storage::Server,
    tasks: tasks::Server,
    ephemeral: Option<tempfile::TempDir>,
}

impl LocalCloud {
    /// Binds the addresses, finds the data of earlier runs again and serves.
    ///
    /// # Errors
    /// An address is taken, or the data folder is unusable, damaged or in use by another process.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let Options { data_dir, project, addresses, faults } = options;
        let (root, ephemeral) = match data_dir {
            Some(root) => (root, None),
            None => {
                let folder = tempfile::Builder::new().prefix("pipas-local-cloud-").tempdir()?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        let pubsub_listener = bind("Pub/Sub", addresses.pubsub).await?;
        let rest_listener = bind("BigQuery", addresses.bigquery).await?;
        let grpc_listener = bind("BigQuery Storage Write", addresses.bigquery_storage).await?;
        let storage_listener = bind("Cloud Storage", addresses.storage).await?;
        let tasks_listener = bind("Cloud Tasks", addresses.tasks).await?;
        let pubsub = base_url(&pubsub_listener)?;
        let endpoints = Endpoints {
            jwks: format!("{pubsub}{}", pubsub::JWKS_PATH),
            pubsub,
            bigquery: base_url(&rest_listener)?,
            bigquery_storage: base_url(&grpc_listener)?,
            storage: base_url(&storage_listener)?,
            tasks: base_url(&tasks_listener)?,
        };

        let storage =
            storage::start(storage_listener, Some(folder(&root, "storage").await?), project.clone(), faults.clone())
                .await
                .context("starting Cloud Storage")?;
        let bigquery = bigquery::start(
            rest_listener,
            grpc_listener,
            Some(folder(&root, "bigquery").await?),
            project,
            faults.clone(),
        )
        .await
        .context("starting BigQuery")?;
        let pubsub = pubsub::start(pubsub_listener, folder(&root, "pubsub").await?, faults.clone())
            .await
            .context("starting Pub/Sub")?;
        let tasks = tasks::start(tasks_listener, folder(&root, "tasks").await?, pubsub.signer(), faults)
            .await
            .context("starting Cloud Tasks")?;
        Ok(Self { endpoints, pubsub, bigquery, storage, tasks, ephemeral })
    }

    /// Where the servers are.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What each subscription holds and has done, in the order of their names.
    pub fn pubsub_stats(&self) -> Vec<SubscriptionStats> {
        self.pubsub.stats()
    }

    /// Stops pushing, ends open streams, answers what is in flight, and closes the files.
    ///
    /// # Errors
    /// The last writes failed. Every server is stopped whatever happens to the others.
    pub async fn shutdown(self) -> anyhow::Result<()> {
        let Self { pubsub, bigquery, storage, tasks, ephemeral, .. } = self;
        let tasks = tasks.shutdown().await.context("stopping Cloud Tasks");
        let pubsub = pubsub.shutdown().await.context("stopping Pub/Sub");
        let bigquery = bigquery.shutdown().await.context("stopping BigQuery");
        let storage = storage.shutdown().await.context("stopping Cloud Storage");
        if let Some(folder) = ephemeral {
            let removed = tokio::task::spawn_blocking(move || folder.close()).await;
            if let Ok(Err(error)) = removed {
                tracing::warn!(%error, "the temporary data folder was not removed");
            }
        }
        tasks.and(pubsub).and(bigquery).and(storage)
    }
}

async fn bind(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{what} cannot listen on {address}"))
}

async fn folder(root: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = root.join(name);
    tokio::fs::create_dir_all(&folder).await.with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// The URL under which a client on this machine reaches the listener.
fn base_url(listener: &TcpListener) -> anyhow::Result<String> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{address}"))
}

#[cfg(test)]
mod tests {
    use googleapis::google::pubsub::v1::{GetTopicRequest, Topic, publisher_client::PublisherClient};

    use super::*;

    #[tokio::test]
    async fn a_restart_finds_the_data_and_an_ephemeral_cloud_leaves_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { data_dir: Some(folder.path().to_owned()), ..Options::default() };
        let name = "projects/pipas-local/topics/orders".to_owned();

        let cloud = LocalCloud::start(options.clone()).await.expect("starts");
        let mut publisher = PublisherClient::connect(cloud.endpoints().pubsub.clone()).await.expect("answers");
        publisher.create_topic(Topic { name: name.clone(), ..Topic::default() }).await.expect("is created");
        cloud.shutdown().await.expect("stops");

        let cloud = LocalCloud::start(options).await.expect("starts again");
        let mut publisher = PublisherClient::connect(cloud.endpoints().pubsub.clone()).await.expect("answers");
        publisher.get_topic(GetTopicRequest { topic: name }).await.expect("is there");
        assert!(cloud.pubsub_stats().is_empty());
        cloud.shutdown().await.expect("stops");

        let cloud = LocalCloud::start(Options::default()).await.expect("starts");
        let root = cloud.ephemeral.as_ref().expect("is temporary").path().to_owned();
        assert!(root.join("pubsub").is_dir());
        cloud.shutdown().await.expect("stops");
        assert!(!root.exists());
    }

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = taken.local_addr().expect("an address");
        let addresses = Addresses { storage: address, ..Addresses::default() };
        let error = LocalCloud::start(Options { addresses, ..Options::default() }).await.err().expect("is taken");
        assert_eq!(error.to_string(), format!("Cloud Storage cannot listen on {address}"));
    }
}
