//! Chaos on the real thing: loaders that are killed, paused and stopped, a Redis that is restarted and fails over, servers
//! whose answers are late, lost or errors. All of it is drawn from a seed. At the end `pipas audit` says what became of it.

mod fleet;
mod input;
mod plan;
mod redis;
mod relay;

use std::{fmt, time::Duration};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use pipas::audit::{Interval, Report, Scope, Source, audit};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::{Instant, sleep, sleep_until};

pub use self::redis::Redis;
use crate::eventually;
use fleet::Fleet;
use plan::{Counts, Step};

/// The stream that is tried.
const STREAM: &str = "events";
/// Requests of the sender that are under way at once.
const SENDERS: usize = 4;
/// How fast events are sent.
const EVENTS_PER_SECOND: u32 = 500;
/// How long sending takes on top of that.
const HEAD: Duration = Duration::from_secs(4);
/// The last deliveries come slowly: a subscription that was nacked is pushed with a backoff of up to 10 s.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct Chaos {
    /// Distinct events; some are sent again, some with other content, some are no rows.
    pub events: usize,
    /// Whether Redis also loses the end of what was written, and another takes its place. The ledger must know its generation.
    pub failover: bool,
    /// The loaders do not fence: they take over claims without finalizing the write stream.
    pub unfenced: bool,
}

/// What came of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// The seed: the same seed draws the same events, faults and steps.
    pub seed: u64,
    /// What was done to the loaders and to Redis.
    counts: Counts,
    /// The audit.
    pub report: Report,
    took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {} in {:.0} s", self.seed, self.counts, self.took.as_secs_f64())?;
        write!(f, "{}", self.report)
    }
}

impl Chaos {
    /// Runs the seed to its end.
    pub async fn run(&self, seed: u64) -> anyhow::Result<Outcome> {
        self.try_run(seed).await.with_context(|| format!("seed {seed}"))
    }

    async fn try_run(&self, seed: u64) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let mut random = StdRng::seed_from_u64(seed);
        let loader = if self.unfenced { "unfenced-loader" } else { "loader" };
        let mut fleet = Fleet::start(loader).await?;
        let batches = input::batches(&mut random, seed, self.events, !self.failover);
        plan::inject(&mut random, &fleet.faults);

        let receiver = fleet.endpoints.receiver.clone();
        // Events come for as long as steps are taken, so that every step meets some on their way.
        let span = HEAD + Duration::from_secs(self.events as u64) / EVENTS_PER_SECOND;
        let sender = tokio::spawn(async move { send(&receiver, batches, span).await });
        let mut counts = Counts::default();
        while !sender.is_finished() {
            sleep(Duration::from_millis(random.random_range(100..600))).await;
            fleet.resume(false)?;
            let drawn = Step::draw(&mut random, self.failover);
            // What the fence decides must come up in every run that does without it.
            let step = if self.unfenced { Step::Outage { for_: Duration::from_secs(3) } } else { drawn };
            counts.add(&step);
            fleet.take(step, &mut random).await.with_context(|| format!("{step:?}"))?;
        }
        sender.await??;
        fleet.heal().await?;
        fleet.emptied(STREAM, PATIENCE + Duration::from_millis(self.events as u64 * 4)).await?;

        let scope = Scope { interval: Interval::default(), in_flight: Duration::ZERO, list: 10 };
        let report = audit(&Source::of(&fleet.endpoints), fleet.stream(STREAM)?, &scope).await?;
        fleet.stop().await?;
        Ok(Outcome { seed, counts, report, took: started.elapsed() })
    }
}

/// Posts every batch, in about `span`, until it is accepted: a batch whose answer was lost is sent again, as a producer would.
async fn send(receiver: &str, batches: Vec<String>, span: Duration) -> anyhow::Result<()> {
    let http = reqwest::Client::new();
    let url = format!("{receiver}/v1/streams/{STREAM}/events");
    let (begun, pause) = (Instant::now(), span / u32::try_from(batches.len().max(1))?);
    stream::iter((0..).zip(batches).map(Ok))
        .try_for_each_concurrent(SENDERS, |(at, batch)| {
            let (http, url) = (&http, &url);
            async move {
                sleep_until(begun + pause * at).await;
                eventually(Duration::from_secs(60), async || {
                    let answer = http.post(url).body(batch.clone()).send().await?;
                    let status = answer.status();
                    anyhow::ensure!(status == 200, "{status}: {}", answer.text().await?);
                    Ok(())
                })
                .await
            }
        })
        .await
}

/// Runs the seeds, `jobs` of them at once, and hands each outcome to `tell`.
pub async fn seeds(
    chaos: Chaos,
    seeds: &[u64],
    jobs: usize,
    mut tell: impl FnMut(&Outcome),
) -> anyhow::Result<Vec<Outcome>> {
    let mut runs = stream::iter(seeds).map(|seed| chaos.run(*seed)).buffer_unordered(jobs);
    let mut outcomes = Vec::new();
    while let Some(outcome) = runs.try_next().await? {
        tell(&outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
