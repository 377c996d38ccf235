use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pipas::Endpoints;

use crate::{Process, World, eventually};

/// A running `pipas up`, on free ports. Dropping it kills it.
#[derive(Debug)]
pub struct Up {
    child: Child,
}

impl Up {
    /// Starts it with the shipped catalog and its data in `data_dir`, and waits until it is ready.
    pub async fn start(data_dir: &Path, more: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(&World::catalog_file(), data_dir, more).await
    }

    /// Starts it with another catalog.
    pub async fn start_with(catalog: &Path, data_dir: &Path, more: &[&str]) -> anyhow::Result<Self> {
        Self::start_in(&[], catalog, data_dir, more).await
    }

    /// Starts it with another catalog, and with further variables in its environment.
    pub async fn start_in(
        env: &[(&str, String)],
        catalog: &Path,
        data_dir: &Path,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(Process::binary("pipas")?);
        command.args(["up", "--ports-from", "0", "--catalog"]).arg(catalog);
        command.arg("--data-dir").arg(data_dir).args(more).env_remove("PIPAS_REDIS_URL");
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let mut up = Self { child: command.stdin(Stdio::null()).spawn()? };
        eventually(Duration::from_secs(60), async || {
            Endpoints::find(data_dir)?;
            Ok(())
        })
        .await
        .inspect_err(|_| up.kill())?;
        Ok(up)
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ctrl-C; it must end well.
    pub async fn interrupt(self) -> anyhow::Result<()> {
        self.ends_after(Signal::SIGINT, Duration::from_secs(30)).await
    }

    /// Sends SIGTERM; it must end well within Cloud Run's 10 s.
    pub async fn terminate(self) -> anyhow::Result<()> {
        self.ends_after(Signal::SIGTERM, Duration::from_secs(10)).await
    }

    async fn ends_after(mut self, signal: Signal, limit: Duration) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.child.id().try_into()?), signal)?;
        let status = eventually(limit, || {
            let status = self.child.try_wait();
            async { status?.ok_or_else(|| anyhow::anyhow!("up still runs after {signal}")) }
        })
        .await?;
        anyhow::ensure!(status.success(), "up ended with {status} after {signal}");
        Ok(())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs another command of `pipas` beside the instance in `data_dir`.
pub fn pipas(data_dir: &Path, args: &[&str]) -> anyhow::Result<Output> {
    Ok(Command::new(Process::binary("pipas")?).args(args).env("PIPAS_DATA_DIR", data_dir).output()?)
}
