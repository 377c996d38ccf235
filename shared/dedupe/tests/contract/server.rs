//! A Redis server: the one that `PIPAS_TEST_REDIS_URL` names, else one that the test starts and ends, of the program that
//! `PIPAS_TEST_REDIS_SERVER` names.

use std::{path::PathBuf, process::Stdio, time::Duration};

use dedupe::{Ledger, RedisLedger};
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub(crate) enum RedisServer {
    Named(String),
    Started { folder: TempDir, process: Option<Box<Child>>, arguments: Vec<String> },
}

impl RedisServer {
    pub(crate) async fn named_or_started() -> Self {
        match std::env::var("PIPAS_TEST_REDIS_URL") {
            Ok(url) if !url.is_empty() => Self::Named(url),
            _ => Self::started().await,
        }
    }

    pub(crate) async fn started() -> Self {
        Self::started_with(&[]).await
    }

    /// A server of our own, with further settings.
    pub(crate) async fn started_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self::Started { folder, process: None, arguments };
        server.start().await;
        server
    }

    pub(crate) async fn start(&mut self) {
        let Self::Started { folder, process, arguments } = self else { return };
        let program = std::env::var("PIPAS_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let child = Command::new(&program)
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no", "--dir"])
            .arg(folder.path())
            .args(arguments)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program} must be installed, or PIPAS_TEST_REDIS_URL must name a server: {error}")
            });
        *process = Some(Box::new(child));
    }

    pub(crate) async fn kill(&mut self) {
        if let Self::Started { process: Some(process), .. } = self {
            process.kill().await.expect("an end");
        }
    }

    pub(crate) fn url(&self) -> secrecy::SecretString {
        match self {
            Self::Named(url) => url.clone().into(),
            Self::Started { .. } => format!("redis+unix://{}", self.socket().display()).into(),
        }
    }

    /// The socket of a server of our own.
    pub(crate) fn socket(&self) -> PathBuf {
        let Self::Started { folder, .. } = self else { panic!("only of a server of our own") };
        folder.path().join("redis.sock")
    }

    /// The process of a server of our own.
    pub(crate) fn pid(&self) -> u32 {
        let Self::Started { process: Some(process), .. } = self else { panic!("only of a server of our own") };
        process.id().expect("a process that runs")
    }

    pub(crate) async fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(format!("redis+unix://{}", self.socket().display()));
        let mut connection =
            client.expect("an address").get_multiplexed_async_connection().await.expect("a connection");
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.expect("an answer")
    }

    /// A number of a section of `INFO`.
    pub(crate) async fn info(&self, section: &str, name: &str) -> i64 {
        let info: String = self.command(&["INFO", section]).await;
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no number {name} in {info}"))
    }

    /// The processor time that the server has used.
    pub(crate) async fn processor_time(&self) -> Duration {
        let info: String = self.command(&["INFO", "cpu"]).await;
        let seconds = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        let (user, system): (Option<f64>, Option<f64>) = (seconds("used_cpu_user:"), seconds("used_cpu_sys:"));
        Duration::from_secs_f64(
            user.zip(system).map_or_else(|| panic!("no times in {info}"), |(user, system)| user + system),
        )
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port().to_string()
}

/// Waits until the server answers.
pub(crate) async fn answers(ledger: &RedisLedger) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while let Err(error) = ledger.ping().await {
        assert!(std::time::Instant::now() < deadline, "the server does not answer: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
