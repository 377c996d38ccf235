use std::{future::Future, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use catalog::Catalog;
use local_cloud::{Faults, LocalCloud};
use pipas::Endpoints;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Process;

/// How a [`World`] differs from the usual one.
#[derive(Debug, Default)]
pub struct Setup {
    /// The folder of the local cloud's data; `None`: a temporary one.
    pub data_dir: Option<PathBuf>,
    /// The catalog's file; `None`: the shipped one.
    pub catalog: Option<PathBuf>,
    /// What the local cloud does wrong.
    pub faults: Faults,
    /// Google's Pub/Sub emulator, in place of the local Pub/Sub.
    pub pubsub: Option<String>,
    /// Further variables of every function.
    pub env: Vec<(&'static str, String)>,
    /// Further variables of the loader.
    pub loader_env: Vec<(&'static str, String)>,
    /// Further variables of the compactor.
    pub compactor_env: Vec<(&'static str, String)>,
}

/// The local cloud, a receiver, a loader, a deadletter function and a compactor, with one catalog and a real Redis.
pub struct World {
    /// Where everything is.
    pub endpoints: Endpoints,
    /// What the local cloud does wrong.
    pub faults: Faults,
    cloud: Option<LocalCloud>,
    receiver: Option<Process>,
    loader: Option<Process>,
    compactor: Option<Process>,
    env: Vec<(&'static str, String)>,
    deadletter: Option<Process>,
    replayer: Option<Process>,
    loader_env: Vec<(&'static str, String)>,
    compactor_env: Vec<(&'static str, String)>,
    catalog: PathBuf,
    http: reqwest::Client,
}

impl World {
    /// Starts everything, and waits until it is ready.
    pub async fn start(setup: Setup) -> anyhow::Result<Self> {
        let Setup { data_dir, catalog, faults, pubsub, env, loader_env, compactor_env } = setup;
        let options = local_cloud::Options { data_dir, faults: faults.clone(), ..Default::default() };
        let project = options.project.clone();
        let cloud = LocalCloud::start(options).await?;
        let known = Endpoints::of_cloud(&project, cloud.endpoints());
        let mut world = Self {
            endpoints: Endpoints { pubsub: pubsub.unwrap_or(known.pubsub), ..known },
            faults,
            cloud: Some(cloud),
            receiver: None,
            loader: None,
            compactor: None,
            env,
            deadletter: None,
            replayer: None,
            loader_env,
            compactor_env,
            catalog: catalog.unwrap_or_else(Self::catalog_file),
            http: reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?,
        };
        world.start_deadletter()?;
        world.start_loader().await?;
        world.start_receiver()?;
        world.start_compactor()?;
        Ok(world)
    }

    /// The shipped catalog's file.
    pub fn catalog_file() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../pipas.yaml")
    }

    /// The Redis that `scripts/test` started.
    pub fn redis_url() -> anyhow::Result<String> {
        std::env::var("PIPAS_TEST_REDIS_URL").context("PIPAS_TEST_REDIS_URL names no Redis; scripts/test sets it")
    }

    /// Starts a loader in place of the one that was killed, and points the push subscriptions at it.
    pub async fn start_loader(&mut self) -> anyhow::Result<()> {
        let loader = self.function("loader", &self.loader_env)?;
        self.endpoints.loader = loader.url.clone();
        self.loader = Some(loader);
        pipas::provision(&Catalog::load(&self.catalog)?, &self.endpoints).await
    }

    /// Starts a loader beside the one that runs. No subscription is pointed at it.
    pub fn another_loader(&self) -> anyhow::Result<Process> {
        self.function("loader", &self.loader_env)
    }

    /// Starts a deadletter function. The subscriptions are pointed at it when a loader is started.
    pub fn start_deadletter(&mut self) -> anyhow::Result<()> {
        let deadletter = self.function("deadletter", &self.loader_env)?;
        self.endpoints.deadletter = deadletter.url.clone();
        self.deadletter = Some(deadletter);
        Ok(())
    }

    /// Starts a receiver, in place of the one that was taken.
    pub fn start_receiver(&mut self) -> anyhow::Result<()> {
        let receiver = self.function("receiver", &[])?;
        self.endpoints.receiver = receiver.url.clone();
        self.receiver = Some(receiver);
        Ok(())
    }

    /// Starts a compactor, in place of the one that was taken.
    pub fn start_compactor(&mut self) -> anyhow::Result<()> {
        let compactor = self.another_compactor()?;
        self.endpoints.compactor = compactor.url.clone();
        self.compactor = Some(compactor);
        Ok(())
    }

    /// Starts a replayer, which most tests do without.
    pub fn start_replayer(&mut self) -> anyhow::Result<()> {
        let replayer = self.function("replayer", &[])?;
        self.endpoints.replayer = replayer.url.clone();
        self.replayer = Some(replayer);
        Ok(())
    }

    /// Kills the replayer as `kill -9` does.
    pub fn kill_replayer(&mut self) -> anyhow::Result<()> {
        self.replayer.take().context("no replayer runs")?.kill()
    }

    /// Starts a compactor beside the one that runs.
    pub fn another_compactor(&self) -> anyhow::Result<Process> {
        self.function("compactor", &self.compactor_env)
    }

    /// The process id of the running compactor.
    pub fn compactor_pid(&self) -> anyhow::Result<nix::unistd::Pid> {
        self.compactor.as_ref().context("no compactor runs")?.pid()
    }

    /// Starts a poller with these variables beside the usual ones; several may run.
    pub fn poller(&self, more: &[(&'static str, String)]) -> anyhow::Result<Process> {
        let mut env = vec![("PIPAS_POLLER_URL", "http://127.0.0.1:9".to_owned())];
        env.extend(more.iter().cloned());
        self.function("poller", &env)
    }

    /// Kills the loader as `kill -9` does.
    pub fn kill_loader(&mut self) -> anyhow::Result<()> {
        self.loader.take().context("no loader runs")?.kill()
    }

    /// The running loader, for signals of its own.
    pub fn take_loader(&mut self) -> Option<Process> {
        self.loader.take()
    }

    /// The running receiver, for signals of its own.
    pub fn take_receiver(&mut self) -> Option<Process> {
        self.receiver.take()
    }

    /// The running compactor, for signals of its own.
    pub fn take_compactor(&mut self) -> Option<Process> {
        self.compactor.take()
    }

    /// Posts `body` to `stream`.
    pub async fn post(
        &self,
        stream: &str,
        body: impl Into<reqwest::Body>,
        key: Option<&str>,
    ) -> anyhow::Result<reqwest::Response> {
        let mut request = self.http.post(format!("{}/v1/streams/{stream}/events", self.endpoints.receiver)).body(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        Ok(request.send().await?)
    }

    /// Runs `sql`; each row is an array of BigQuery's own JSON values.
    pub async fn query(&self, sql: &str) -> anyhow::Result<Vec<Vec<Value>>> {
        let url = format!("{}/bigquery/v2/projects/{}/queries", self.endpoints.bigquery, self.endpoints.project);
        let request = json!({ "query": sql, "useLegacySql": false, "maxResults": 100_000,
            "formatOptions": { "useInt64Timestamp": true } });
        let response = self.http.post(url).json(&request).send().await?;
        let status = response.status();
        let body: Value = response.json().await?;
        if !status.is_success() {
            bail!("{sql}: {body}");
        }
        let rows = body["rows"].as_array().cloned().unwrap_or_default();
        Ok(rows
            .iter()
            .map(|row| row["f"].as_array().into_iter().flatten().map(|cell| cell["v"].clone()).collect())
            .collect())
    }

    /// The one value of a query that has one.
    pub async fn query_one(&self, sql: &str) -> anyhow::Result<Value> {
        let rows = self.query(sql).await?;
        match rows.as_slice() {
            [row] if row.len() == 1 => Ok(row[0].clone()),
            _ => bail!("{sql}: one value was expected, found {rows:?}"),
        }
    }

    /// Triggers the compactor for every stream and returns its report.
    pub async fn compact(&self) -> anyhow::Result<Value> {
        match self.try_to_compact("").await? {
            (200, report) => Ok(report),
            (status, report) => bail!("POST /compact: {status}: {report}"),
        }
    }

    /// Triggers the compactor with `query` (`?stream=…`); its status and what it says.
    pub async fn try_to_compact(&self, query: &str) -> anyhow::Result<(u16, Value)> {
        let response = self.http.post(format!("{}/compact{query}", self.endpoints.compactor)).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    /// What a subscription of the local Pub/Sub holds and has done, by its id.
    pub async fn subscription(&self, id: &str) -> anyhow::Result<Value> {
        let url = format!("{}/local/v1/subscriptions", self.endpoints.pubsub);
        let all: Value = self.http.get(url).send().await?.error_for_status()?.json().await?;
        let is_it = |found: &&Value| found["name"].as_str().is_some_and(|name| name.ends_with(&format!("/{id}")));
        all.as_array()
            .into_iter()
            .flatten()
            .find(is_it)
            .cloned()
            .with_context(|| format!("no subscription {id}: {all}"))
    }

    /// The `/metrics` page of the function at `url`.
    pub async fn metrics(&self, url: &str) -> anyhow::Result<String> {
        Ok(self.http.get(format!("{url}/metrics")).send().await?.error_for_status()?.text().await?)
    }

    /// Stops the functions as Cloud Run does, then the local cloud.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let functions = [
            self.receiver.take(),
            self.replayer.take(),
            self.loader.take(),
            self.deadletter.take(),
            self.compactor.take(),
        ];
        for process in functions.into_iter().flatten() {
            let status = tokio::task::spawn_blocking(|| process.terminate()).await??;
            if !status.success() {
                bail!("a function ended with {status}");
            }
        }
        self.cloud.take().context("the local cloud")?.shutdown().await
    }

    fn function(&self, name: &str, more: &[(&'static str, String)]) -> anyhow::Result<Process> {
        let mut env = self.endpoints.environment(&self.catalog);
        env.push(("PIPAS_REDIS_URL", Self::redis_url()?));
        env.push(("PIPAS_COMPACTOR_IDLE_MS", "1500".to_owned()));
        env.extend(self.env.iter().chain(more).cloned());
        Process::function(name, &env)
    }
}

/// Asks again until `check` gives something; after `patience` the last refusal is the error.
pub async fn eventually<T, F>(patience: Duration, mut check: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let deadline = Instant::now() + patience;
    loop {
        match check().await {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("not so after {} s", patience.as_secs())));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
