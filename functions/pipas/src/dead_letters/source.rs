//! Where dead letters are read, and published again.

use anyhow::Context;
use storage_write::{Client, ClientConfig, Tables};

use crate::{cli::Global, instance::Endpoints, warehouse::Warehouse};

/// A project's tables and topics.
#[derive(Debug, Clone)]
pub(super) struct Source {
    project: String,
    bigquery: Option<String>,
    bigquery_storage: Option<String>,
    pubsub: Option<String>,
}

impl Source {
    /// The project that is named, else the running local instance.
    pub(super) fn find(global: &Global, project: Option<String>) -> anyhow::Result<Self> {
        Ok(match project {
            Some(project) => Self { project, bigquery: None, bigquery_storage: None, pubsub: None },
            None => {
                let Endpoints { project, bigquery, bigquery_storage, pubsub, .. } = Endpoints::find(&global.data_dir)?;
                Self {
                    project,
                    bigquery: Some(bigquery),
                    bigquery_storage: Some(bigquery_storage),
                    pubsub: Some(pubsub),
                }
            }
        })
    }

    pub(super) async fn tables(&self) -> anyhow::Result<Tables> {
        Tables::connect(&self.project, self.bigquery.as_deref()).await.context("BigQuery")
    }

    pub(super) async fn warehouse(&self) -> anyhow::Result<Warehouse> {
        Ok(Warehouse::new(self.tables().await?))
    }

    pub(super) async fn topics(&self) -> anyhow::Result<pubsub::Client> {
        let config = pubsub::PubSubConfig { project: self.project.clone(), endpoint: self.pubsub.clone() };
        pubsub::Client::connect(&config).await.context("Pub/Sub")
    }

    pub(super) fn storage(&self) -> anyhow::Result<Client> {
        let config = ClientConfig::new(&self.project, self.bigquery_storage.clone());
        let metrics = storage_write::Metrics::new(&prometheus::Registry::new())?;
        Client::connect(config, metrics).context("BigQuery Storage Write")
    }
}
