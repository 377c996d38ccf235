//! Where an audit reads.

use anyhow::Context;
use objects::{ObjectStore, StoreConfig};
use serde::Deserialize;
use storage_write::Tables;

use crate::instance::Endpoints;

/// A project's tables and its archive.
#[derive(Debug, Clone)]
pub struct Source {
    project: String,
    bucket: String,
    bigquery: Option<String>,
    storage: Option<String>,
    /// The local Pub/Sub, which tells its backlog.
    pubsub: Option<String>,
}

impl Source {
    /// A project of Google Cloud's, read with the default credentials.
    pub fn google(project: String, bucket: String) -> Self {
        Self { project, bucket, bigquery: None, storage: None, pubsub: None }
    }

    /// A local instance.
    pub fn of(endpoints: &Endpoints) -> Self {
        Self {
            project: endpoints.project.clone(),
            bucket: endpoints.archive_bucket.clone(),
            bigquery: Some(endpoints.bigquery.clone()),
            storage: Some(endpoints.storage.clone()),
            pubsub: Some(endpoints.pubsub.clone()),
        }
    }

    pub(crate) async fn archive(&self) -> anyhow::Result<ObjectStore> {
        let config = StoreConfig { bucket: self.bucket.clone(), endpoint: self.storage.clone() };
        ObjectStore::connect(&config).await.context("the archive")
    }

    pub(crate) async fn tables(&self) -> anyhow::Result<Tables> {
        Tables::connect(&self.project, self.bigquery.as_deref()).await.context("BigQuery")
    }

    /// How many messages the subscription holds, where that can be asked: on a local instance.
    pub(crate) async fn backlog(&self, subscription: &str) -> anyhow::Result<Option<u64>> {
        #[derive(Deserialize)]
        struct Subscription {
            name: String,
            backlog: u64,
        }
        let Some(pubsub) = &self.pubsub else { return Ok(None) };
        let answer = reqwest::get(format!("{pubsub}/local/v1/subscriptions")).await?;
        if !answer.status().is_success() {
            // Google's emulator in the place of the local Pub/Sub does not tell.
            return Ok(None);
        }
        let found: Vec<Subscription> = answer.json().await?;
        let suffix = format!("/{subscription}");
        Ok(found.into_iter().find(|found| found.name.ends_with(&suffix)).map(|found| found.backlog))
    }
}
