use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// One of the workspace's binaries, running. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// What it listens on, as `http://host:port`.
    pub url: String,
}

impl Process {
    /// The binary `name`, which `scripts/test` built before the tests.
    pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
        let us = std::env::current_exe()?;
        let folder = us.parent().context("our own folder")?;
        // Tests lie a folder below the binaries.
        let folder = if folder.ends_with("deps") { folder.parent().context("the binaries' folder")? } else { folder };
        let binary = folder.join(name);
        if !binary.exists() {
            bail!("{} is not built: run `cargo build --workspace --bins`, or scripts/test", binary.display());
        }
        Ok(binary)
    }

    /// Starts the function `name` on a free port and waits until it listens.
    pub fn function(name: &str, env: &[(&str, String)]) -> anyhow::Result<Self> {
        Self::start(name, Command::new(Self::binary(name)?), env)
    }

    /// Starts the function `name` by `command` on a free port and waits until it listens.
    pub fn start(name: &str, mut command: Command, env: &[(&str, String)]) -> anyhow::Result<Self> {
        command.env_clear().env("PORT", "0").envs(env.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let stdout = child.stdout.take().context("standard output")?;
        let (sender, receiver) = mpsc::channel();
        // Its log is passed on, so that a failed test shows it.
        let prefix = name.to_owned();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = listening(&line) {
                    let _ = sender.send(address);
                }
                println!("[{prefix}] {line}");
            }
        });
        let mut process = Self { name: name.to_owned(), child, url: String::new() };
        match receiver.recv_timeout(Duration::from_secs(30)) {
            Ok(address) => {
                process.url = format!("http://{}", address.replace("0.0.0.0", "127.0.0.1").replace("[::]", "127.0.0.1"))
            }
            Err(_) => bail!("{name} did not listen within 30 s"),
        }
        Ok(process)
    }

    /// The process's id.
    pub fn pid(&self) -> anyhow::Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }

    /// Sends `signal`.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(self.pid()?, signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM and waits for its end, which must come within Cloud Run's 10 s.
    pub fn terminate(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} still runs 10 s after SIGTERM", self.name);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a function's log line `listening`.
fn listening(line: &str) -> Option<String> {
    let entry: serde_json::Value = serde_json::from_str(line).ok()?;
    if entry["message"].as_str()? != "listening" {
        return None;
    }
    entry["address"].as_str().map(str::to_owned)
}
