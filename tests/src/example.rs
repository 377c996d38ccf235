use std::{
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use pipas::Endpoints;
use serde_json::Value;

use crate::{Up, eventually, pipas};

/// One of the examples, running as its README says: `pipas up` with its catalog.
#[derive(Debug)]
pub struct Example {
    /// Where everything is.
    pub endpoints: Endpoints,
    /// The data directory.
    pub data: tempfile::TempDir,
    name: &'static str,
    up: Up,
}

impl Example {
    /// Starts `examples/{name}`, with further variables in its environment.
    pub async fn start(name: &'static str, env: &[(&str, String)]) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let up = Up::start_in(env, &Self::catalog(name), data.path(), &["--compact-every", "2"]).await?;
        Ok(Self { endpoints: Endpoints::find(data.path())?, data, name, up })
    }

    /// The catalog of `examples/{name}`.
    pub fn catalog(name: &str) -> PathBuf {
        Self::folder(name).join("pipas.yaml")
    }

    /// The folder of `examples/{name}`.
    pub fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
    }

    /// The result of a query, a row an object.
    pub fn query(&self, sql: &str) -> anyhow::Result<Vec<Value>> {
        Ok(serde_json::from_value(self.printed(&["query", sql])?)?)
    }

    /// What a command beside it prints with `--json`.
    pub fn printed(&self, args: &[&str]) -> anyhow::Result<Value> {
        let output = pipas(self.data.path(), &[args, &["--json"]].concat())?;
        anyhow::ensure!(output.status.success(), "{args:?}: {}", said(&output));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Waits until `sql` gives `expected`, rows as objects.
    pub async fn shows(&self, sql: &str, expected: &Value, patience: Duration) -> anyhow::Result<()> {
        eventually(patience, async || {
            let found = self.printed(&["query", sql])?;
            anyhow::ensure!(found == *expected, "{sql}: expected {expected:#}, found {found:#}");
            Ok(())
        })
        .await
    }

    /// Where a stream takes events.
    pub fn events_of(&self, stream: &str) -> String {
        format!("{}/v1/streams/{stream}/events", self.endpoints.receiver)
    }

    /// Waits until the account of `stream` closes, with everything archived; the account.
    pub async fn closes(&self, stream: &str, patience: Duration) -> anyhow::Result<Value> {
        let catalog = Self::catalog(self.name).display().to_string();
        eventually(patience, async || {
            let audit = pipas(self.data.path(), &["audit", "--stream", stream, "--catalog", &catalog, "--json"])?;
            anyhow::ensure!(audit.status.success(), "{}", said(&audit));
            let account: Value = serde_json::from_slice(&audit.stdout)?;
            anyhow::ensure!(account["not_archived"] == 0, "{account}");
            Ok(account)
        })
        .await
    }

    /// What `pipas check --all` says of the samples of `examples/{name}`; an error where one is not as it must be.
    pub fn check_samples(name: &str) -> anyhow::Result<String> {
        let (nowhere, catalog) = (tempfile::tempdir()?, Self::catalog(name));
        let folder = Self::folder(name).display().to_string();
        let checked = pipas(nowhere.path(), &["check", "--catalog", &catalog.display().to_string(), "--all", &folder])?;
        anyhow::ensure!(checked.status.success(), "{}", said(&checked));
        Ok(said(&checked))
    }

    /// Stops it as Ctrl-C does.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.up.interrupt().await
    }
}

/// Everything that a command printed.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
