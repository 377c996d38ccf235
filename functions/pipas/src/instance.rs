//! The running instance: which endpoints `pipas up` serves, and how other commands find them.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Where each part of a running instance listens. `pipas up` writes it to `endpoints.json` in the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// The project that the instance plays.
    pub project: String,
    /// The bucket of the archive.
    pub archive_bucket: String,
    /// The bucket of the registry of write streams.
    pub registry_bucket: String,
    /// Takes events.
    pub receiver: String,
    /// Takes push deliveries.
    pub loader: String,
    /// Takes push deliveries of the dead-letter topics.
    pub deadletter: String,
    /// Takes the scheduler's triggers.
    pub compactor: String,
    /// Takes replays.
    pub replayer: String,
    /// Takes the scheduler's triggers and the tasks of feeds.
    pub poller: String,
    /// Pub/Sub, gRPC.
    pub pubsub: String,
    /// BigQuery, REST.
    pub bigquery: String,
    /// BigQuery Storage Write, gRPC.
    pub bigquery_storage: String,
    /// Cloud Storage, JSON API.
    pub storage: String,
    /// Cloud Tasks, REST.
    pub tasks: String,
    /// The process id of `pipas up`.
    pub pid: u32,
}

impl Endpoints {
    /// The file in the data directory.
    pub const FILE: &'static str = "endpoints.json";

    /// Those of a local cloud in this process, which plays `project`; the functions' own are not known yet.
    pub fn of_cloud(project: &str, local: &local_cloud::Endpoints) -> Self {
        Self {
            project: project.to_owned(),
            archive_bucket: "pipas-archive".to_owned(),
            registry_bucket: "pipas-registry".to_owned(),
            receiver: String::new(),
            loader: String::new(),
            deadletter: String::new(),
            compactor: String::new(),
            replayer: String::new(),
            poller: String::new(),
            pubsub: local.pubsub.clone(),
            bigquery: local.bigquery.clone(),
            bigquery_storage: local.bigquery_storage.clone(),
            storage: local.storage.clone(),
            tasks: local.tasks.clone(),
            pid: std::process::id(),
        }
    }

    /// The endpoints of the instance that keeps its data in `data_dir`.
    pub fn find(data_dir: &Path) -> anyhow::Result<Self> {
        let file = data_dir.join(Self::FILE);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "no running instance: {} does not exist. Start one with `pipas up`, or name its folder with --data-dir",
                file.display()
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        serde_json::from_str(&text).with_context(|| format!("{} is not what `pipas up` writes", file.display()))
    }

    /// The queue of the feeds' tasks.
    pub fn queue(&self) -> String {
        format!("projects/{}/locations/local/queues/pipas-feeds", self.project)
    }

    /// What every function is told, as a deployment would tell it; here nobody signs pushes.
    pub fn environment(&self, catalog: &Path) -> Vec<(&'static str, String)> {
        vec![
            ("PIPAS_CATALOG", catalog.display().to_string()),
            ("GOOGLE_CLOUD_PROJECT", self.project.clone()),
            ("PIPAS_PUBSUB_ENDPOINT", self.pubsub.clone()),
            ("PIPAS_BIGQUERY_ENDPOINT", self.bigquery.clone()),
            ("PIPAS_BIGQUERY_STORAGE_ENDPOINT", self.bigquery_storage.clone()),
            ("PIPAS_STORAGE_ENDPOINT", self.storage.clone()),
            ("PIPAS_ARCHIVE_BUCKET", self.archive_bucket.clone()),
            ("PIPAS_REGISTRY_BUCKET", self.registry_bucket.clone()),
            ("PIPAS_TASKS_ENDPOINT", self.tasks.clone()),
            ("PIPAS_TASKS_QUEUE", self.queue()),
            ("PIPAS_POLLER_URL", self.poller.clone()),
            ("PIPAS_PUSH_AUTH", "none".to_owned()),
        ]
    }

    /// Writes the file whole or not at all.
    pub(crate) fn write(&self, data_dir: &Path) -> anyhow::Result<PathBuf> {
        let (file, fresh) = (data_dir.join(Self::FILE), data_dir.join("endpoints.json.new"));
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(&fresh, text + "\n").with_context(|| format!("cannot write {}", fresh.display()))?;
        std::fs::rename(&fresh, &file).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    /// The parts with their addresses, in the order in which people read them.
    pub(crate) fn rows(&self) -> [(&'static str, &str, &'static str); 11] {
        [
            ("receiver", &self.receiver, "POST /v1/streams/{stream}/events"),
            ("loader", &self.loader, "push deliveries"),
            ("deadletter", &self.deadletter, "push deliveries of dead-letter topics"),
            ("compactor", &self.compactor, "POST /compact"),
            ("replayer", &self.replayer, "POST /replay"),
            ("poller", &self.poller, "POST /poll, POST /fetch"),
            ("Pub/Sub", &self.pubsub, "gRPC: PUBSUB_EMULATOR_HOST"),
            ("BigQuery", &self.bigquery, "REST v2"),
            ("BigQuery Storage", &self.bigquery_storage, "gRPC: Storage Write"),
            ("Cloud Storage", &self.storage, "JSON API: STORAGE_EMULATOR_HOST"),
            ("Cloud Tasks", &self.tasks, "REST v2"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_instance_says_how_to_start_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Endpoints::find(folder.path()).expect_err("no instance").to_string();
        assert!(error.contains("pipas up"), "{error}");
    }
}
