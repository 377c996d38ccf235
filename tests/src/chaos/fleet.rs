use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use catalog::{Catalog, Stream};
use local_cloud::{Faults, LocalCloud, RuleId};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use pipas::Endpoints;
use rand::{Rng, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    plan::{Counts, Step, lose_answers, stall},
    redis::Redis,
    relay::Relay,
};
use crate::{Process, World, eventually};

/// Loaders of a run.
const LOADERS: usize = 2;

/// The local cloud, a receiver, a compactor, a Redis with its replica, and loaders that pushes reach by turns.
pub(super) struct Fleet {
    pub(super) endpoints: Endpoints,
    pub(super) faults: Faults,
    cloud: LocalCloud,
    catalog: Catalog,
    redis: Redis,
    receiver: Process,
    compactor: Process,
    deadletter: Process,
    loader: &'static str,
    /// The running loaders; `None` while a loader's place is empty.
    loaders: [Option<Process>; LOADERS],
    front: Relay,
    /// Loaders that are paused, and until when.
    paused: Vec<(Instant, Pid)>,
    /// Outages of the answers, and until when.
    outages: Vec<(Instant, RuleId)>,
    /// The rules of stalls.
    stalls: Vec<RuleId>,
    /// Loaders that were told to stop.
    stopping: JoinSet<anyhow::Result<()>>,
}

impl Fleet {
    /// Starts everything; `loader` is the loaders' binary.
    pub(super) async fn start(loader: &'static str) -> anyhow::Result<Self> {
        let faults = Faults::default();
        let options = local_cloud::Options { faults: faults.clone(), ..Default::default() };
        let project = options.project.clone();
        let cloud = LocalCloud::start(options).await?;
        let (redis, front) = (Redis::start().await?, Relay::start().await?);
        let loader_front = format!("http://{}", front.address);
        let mut endpoints = Endpoints { loader: loader_front, ..Endpoints::of_cloud(&project, cloud.endpoints()) };
        let catalog = Catalog::load(&World::catalog_file())?;
        let deadletter = start("deadletter", &endpoints, &redis)?;
        endpoints.deadletter.clone_from(&deadletter.url);
        pipas::provision(&catalog, &endpoints).await?;
        let receiver = start("receiver", &endpoints, &redis)?;
        let compactor = start("compactor", &endpoints, &redis)?;
        endpoints.receiver.clone_from(&receiver.url);
        endpoints.compactor.clone_from(&compactor.url);
        let (loaders, paused, stopping) = (Default::default(), Vec::new(), JoinSet::new());
        let mut fleet = Self {
            endpoints,
            faults,
            cloud,
            catalog,
            redis,
            receiver,
            deadletter,
            compactor,
            loader,
            loaders,
            front,
            paused,
            outages: Vec::new(),
            stalls: Vec::new(),
            stopping,
        };
        fleet.fill()?;
        Ok(fleet)
    }

    pub(super) fn stream(&self, name: &str) -> anyhow::Result<&Stream> {
        self.catalog.streams.get(name).with_context(|| format!("no stream {name}"))
    }

    /// Ends what has lasted for as long as it should, or all of it: pauses and outages.
    pub(super) fn resume(&mut self, all: bool) -> anyhow::Result<()> {
        let now = Instant::now();
        self.outages.retain(|(until, rule)| {
            let is_over = all || *until <= now;
            !(is_over && self.faults.remove(*rule))
        });
        let (over, paused): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.paused).into_iter().partition(|(until, _)| all || *until <= now);
        self.paused = paused;
        for (_, pid) in &over {
            // It may have been killed meanwhile.
            let _ = kill(*pid, Signal::SIGCONT);
        }
        if over.is_empty() { Ok(()) } else { self.point() }
    }

    /// Takes a step, on a loader that is drawn, and counts it.
    pub(super) async fn take(&mut self, step: Step, random: &mut StdRng, counts: &mut Counts) -> anyhow::Result<()> {
        counts.add(&step);
        let place = random.random_range(0..LOADERS);
        match step {
            Step::Kill { absent } => {
                if let Some(loader) = self.loaders[place].take() {
                    loader.kill()?;
                }
                self.point()?;
                sleep(absent).await;
                self.fill()?;
            }
            Step::Pause { for_, is_cut_off } => {
                if let Some(loader) = &self.loaders[place] {
                    let (pid, address) = (loader.pid()?, address(loader)?);
                    kill(pid, Signal::SIGSTOP)?;
                    self.paused.push((Instant::now() + for_, pid));
                    if is_cut_off {
                        self.front.cut(address);
                    }
                }
            }
            Step::Terminate => {
                if let Some(loader) = self.loaders[place].take() {
                    // A signal waits for who is paused, and its time to stop does not.
                    let pid = loader.pid()?;
                    self.paused.retain(|(_, paused)| *paused != pid);
                    kill(pid, Signal::SIGCONT)?;
                    // It answers what it holds while its place is taken: a new revision beside an old one.
                    self.stopping.spawn_blocking(move || loader.terminate().map(drop));
                }
                self.fill()?;
            }
            Step::Outage { for_ } => self.outages.push((Instant::now() + for_, lose_answers(&self.faults))),
            Step::Stall => self.stalls.push(stall(&self.faults)),
            Step::RestartRedis => self.redis.restart().await?,
            Step::FailOver { lost } => counts.lost_tails += u32::from(self.redis.fail_over(lost).await?),
        }
        Ok(())
    }

    /// How many appends were late by a stall.
    pub(super) fn stalled(&self) -> u64 {
        self.stalls.iter().filter_map(|rule| self.faults.fired(*rule)).sum()
    }

    /// Starts a loader in every empty place.
    fn fill(&mut self) -> anyhow::Result<()> {
        for place in &mut self.loaders {
            if place.is_none() {
                *place = Some(start(self.loader, &self.endpoints, &self.redis)?);
            }
        }
        self.point()
    }

    /// Points the pushes at the loaders that run. Connections to one that stops stay until it closes them.
    fn point(&self) -> anyhow::Result<()> {
        let paused =
            |loader: &&Process| loader.pid().is_ok_and(|pid| self.paused.iter().any(|(_, known)| *known == pid));
        let live = self.loaders.iter().flatten().filter(|loader| !paused(loader)).map(address);
        self.front.set(live.collect::<anyhow::Result<Vec<SocketAddr>>>()?);
        Ok(())
    }

    /// Ends the faults; from now on everything goes well.
    pub(super) async fn heal(&mut self) -> anyhow::Result<()> {
        self.resume(true)?;
        self.faults.clear();
        while let Some(stopped) = self.stopping.join_next().await {
            stopped??;
        }
        self.fill()
    }

    /// Waits until the loaders have answered every message of `stream`, and the archive has every one.
    pub(super) async fn emptied(&self, stream: &str, patience: Duration) -> anyhow::Result<()> {
        let stream = self.stream(stream)?;
        let http = reqwest::Client::new();
        eventually(patience, async || self.backlog(&stream.loader_subscription())).await?;
        eventually(patience, async || {
            http.post(format!("{}/compact", self.endpoints.compactor)).send().await?.error_for_status()?;
            self.backlog(&stream.archive_subscription())
        })
        .await
    }

    fn backlog(&self, subscription: &str) -> anyhow::Result<()> {
        let suffix = format!("/{subscription}");
        let found = self.cloud.pubsub_stats().into_iter().find(|found| found.name.ends_with(&suffix));
        let backlog = found.context("no such subscription")?.backlog;
        anyhow::ensure!(backlog == 0, "{subscription} holds {backlog} messages");
        Ok(())
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let Self { loaders, receiver, deadletter, compactor, cloud, .. } = self;
        drop((loaders, receiver, deadletter, compactor));
        cloud.shutdown().await
    }
}

fn address(loader: &Process) -> anyhow::Result<SocketAddr> {
    loader
        .url
        .strip_prefix("http://")
        .and_then(|url| url.parse().ok())
        .with_context(|| format!("{} is no address", loader.url))
}

fn start(function: &str, endpoints: &Endpoints, redis: &Redis) -> anyhow::Result<Process> {
    let mut env = endpoints.environment(&World::catalog_file());
    env.extend([
        ("PIPAS_REDIS_URL", redis.url()),
        ("PIPAS_COMPACTOR_IDLE_MS", "500".to_owned()),
        // A claim is old after 2 s, so that the paused and the slow are taken for dead.
        ("PIPAS_SUSPECT_AFTER", "2s".to_owned()),
        // Faults are meant; only what is wrong is told, and where a function listens.
        ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "error,service::serve=info".to_owned())),
    ]);
    tokio::task::block_in_place(|| Process::function(function, &env))
}
