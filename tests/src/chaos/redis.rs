use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::time::Instant;

use super::relay::Relay;
use crate::eventually;

const PATIENCE: Duration = Duration::from_secs(20);
/// How long a failover waits for something to lose.
const WRITES: Duration = Duration::from_secs(3);
/// The bytes of a ping among what a replica is sent, which is no write.
const PING: u64 = 14;

/// A Redis and its replica. Clients come through an address that outlives either.
pub struct Redis {
    /// What the loaders connect to.
    front: Relay,
    /// How the replica reaches its primary.
    link: Relay,
    primary: Server,
    replica: Server,
    started: usize,
    folder: TempDir,
}

/// A redis-server, or what `PIPAS_TEST_REDIS_SERVER` names in its place. Dropping it kills it.
struct Server {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Redis {
    /// Starts both.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (front, link) = (Relay::start().await?, Relay::start().await?);
        let primary = Server::start(folder.path().join("0"), free()?).await?;
        let replica = Server::start(folder.path().join("1"), free()?).await?;
        front.set([primary.address]);
        let redis = Self { front, link, primary, replica, started: 2, folder };
        redis.replicate().await?;
        Ok(redis)
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.front.address)
    }

    /// Kills it, and starts it again with what it had on disk, which is everything that it answered.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.primary.kill();
        self.primary = Server::start(self.primary.folder.clone(), self.primary.address).await?;
        self.front.set([self.primary.address]);
        self.replicate().await
    }

    /// What the primary answers to a command.
    pub fn ask(&self, words: &[&str]) -> anyhow::Result<String> {
        self.primary.ask(words)
    }

    /// Takes it away.
    pub fn stop(&mut self) {
        self.front.cut(self.primary.address);
        self.primary.kill();
    }

    /// Puts an empty one in its place.
    pub async fn replace(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.started += 1;
        self.primary = Server::start(self.folder.path().join(self.started.to_string()), free()?).await?;
        self.front.set([self.primary.address]);
        self.replicate().await
    }

    /// Cuts the replica off, lets `lost` go by, and up to a few seconds more until something was written meanwhile, kills the
    /// primary, and has the replica take its place: what was written meanwhile is lost. Returns whether anything was.
    pub async fn fail_over(&mut self, lost: Duration) -> anyhow::Result<bool> {
        self.link.cut(self.primary.address);
        tokio::time::sleep(lost).await;
        let deadline = Instant::now() + WRITES;
        let is_lost = loop {
            let is_lost = self.primary.offset()? > self.replica.offset()? + PING;
            if is_lost || Instant::now() >= deadline {
                break is_lost;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        self.front.cut(self.primary.address);
        self.primary.kill();
        self.started += 1;
        let fresh = Server::start(self.folder.path().join(self.started.to_string()), free()?).await?;
        self.primary = std::mem::replace(&mut self.replica, fresh);
        self.primary.ask(&["REPLICAOF", "NO", "ONE"])?;
        self.front.set([self.primary.address]);
        self.replicate().await?;
        Ok(is_lost)
    }

    /// Has the replica follow the primary, and waits until it does.
    async fn replicate(&self) -> anyhow::Result<()> {
        self.link.set([self.primary.address]);
        let (host, port) = (self.link.address.ip().to_string(), self.link.address.port().to_string());
        self.replica.ask(&["REPLICAOF", &host, &port])?;
        eventually(PATIENCE, async || {
            let info = self.replica.ask(&["INFO", "replication"])?;
            anyhow::ensure!(info.contains("master_link_status:up"), "the replica does not follow: {info}");
            Ok(())
        })
        .await
    }
}

impl Server {
    async fn start(folder: PathBuf, address: SocketAddr) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let port = address.port().to_string();
        let program = program();
        let mut command = Command::new(&program);
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir"]);
        command.arg(&folder).args(["--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0"]);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let server = Self { child, address, folder };
        eventually(PATIENCE, async || {
            let answer = server.ask(&["PING"])?;
            anyhow::ensure!(answer.trim() == "PONG", "{answer}");
            Ok(())
        })
        .await?;
        Ok(server)
    }

    fn ask(&self, words: &[&str]) -> anyhow::Result<String> {
        let port = self.address.port().to_string();
        // The client lies beside its server: redis-cli, valkey-cli.
        let program = program();
        let client = format!("{}-cli", program.strip_suffix("-server").unwrap_or(&program));
        let output = Command::new(&client).args(["-p", &port]).args(words).output().with_context(|| client.clone())?;
        if !output.status.success() {
            bail!("{client} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// How many bytes of writes it has seen.
    fn offset(&self) -> anyhow::Result<u64> {
        let info = self.ask(&["INFO", "replication"])?;
        let offset = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
        let offset = offset.with_context(|| format!("expected master_repl_offset, found {info}"))?;
        offset.trim().parse().with_context(|| format!("master_repl_offset:{offset} is no number"))
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server's program.
fn program() -> String {
    std::env::var("PIPAS_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// An address that nobody has.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
