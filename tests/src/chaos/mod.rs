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
use tokio_util::task::AbortOnDropHandle;

pub use self::redis::Redis;
use crate::eventually;
use fleet::Fleet;
use plan::{Counts, STALL, Step};

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
    /// What was tried.
    chaos: Chaos,
    /// What was done to the loaders and to Redis.
    counts: Counts,
    /// The audit.
    pub report: Report,
    took: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {} in {:.0} s", self.seed, self.counts, self.took.as_secs_f64())?;
        write!(f, "{}", self.report)?;
        self.faults().iter().try_for_each(|fault| write!(f, "\nseed {}: {fault}", self.seed))
    }
}

impl Chaos {
    /// Runs the seed to its end.
    pub async fn run(&self, seed: u64) -> anyhow::Result<Outcome> {
        self.try_run(seed).await.with_context(|| format!("seed {seed}"))
    }

    async fn try_run(&self, seed: u64) -> anyhow::Result<Outcome> {
        let loader = if self.unfenced { "unfenced-loader" } else { "loader" };
        let mut fleet = Fleet::start(loader).await?;
        let outcome = self.run_on(&mut fleet, seed).await;
        // Nothing of a run that failed may stand in the next one's way.
        let stopped = fleet.stop().await;
        let outcome = outcome?;
        stopped?;
        Ok(outcome)
    }

    async fn run_on(&self, fleet: &mut Fleet, seed: u64) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let mut random = StdRng::seed_from_u64(seed);
        let batches = input::batches(&mut random, seed, self.events);
        plan::inject(&mut random, &fleet.faults);

        let receiver = fleet.endpoints.receiver.clone();
        // Events come for as long as steps are taken, so that every step meets some on their way.
        let span = HEAD + Duration::from_secs(self.events as u64) / EVENTS_PER_SECOND;
        let sender = AbortOnDropHandle::new(tokio::spawn(async move { send(&receiver, batches, span).await }));
        let mut counts = Counts::default();
        while !sender.is_finished() {
            sleep(Duration::from_millis(random.random_range(100..600))).await;
            fleet.resume(false)?;
            let next = Step::next(&mut random, self.failover, &counts);
            // What the fence decides must come up in every run that does without it.
            let step = if self.unfenced { Step::Outage { for_: Duration::from_secs(3) } } else { next };
            fleet.take(step, &mut random, &mut counts).await.with_context(|| format!("{step:?}"))?;
        }
        sender.await??;
        counts.stalled = fleet.stalled();
        fleet.heal().await?;
        fleet.emptied(STREAM, PATIENCE + Duration::from_millis(self.events as u64 * 4)).await?;

        let scope = Scope { interval: Interval::default(), in_flight: Duration::ZERO, list: 10 };
        let report = audit(&Source::of(&fleet.endpoints), fleet.stream(STREAM)?, &scope).await?;
        Ok(Outcome { seed, chaos: *self, counts, report, took: started.elapsed() })
    }
}

impl Outcome {
    /// What is wrong: with the account, or with the run, which did not try what it should.
    pub fn faults(&self) -> Vec<String> {
        let Self { chaos: Chaos { events, failover, unfenced }, counts, report, .. } = self;
        let found = [
            (!report.is_closed(), format!("missing {}, doubled {}", report.missing, report.doubled)),
            (report.received < *events as u64, format!("received {} of {events} events", report.received)),
            (report.not_archived > 0, format!("{} rows and dead letters are not archived", report.not_archived)),
            (report.in_flight > 0, format!("{} events are in flight", report.in_flight)),
            (*failover && !unfenced && counts.lost_tails == 0, "no failover lost what was written last".to_owned()),
            (!unfenced && counts.stalled == 0, format!("no append was late by {STALL:?}")),
        ];
        found.into_iter().filter_map(|(is_wrong, what)| is_wrong.then_some(what)).collect()
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

/// Runs the seeds, `jobs` of them at once, and hands what came of each to `tell`. One that fails ends no other.
pub async fn seeds(
    chaos: Chaos,
    seeds: &[u64],
    jobs: usize,
    mut tell: impl FnMut(&anyhow::Result<Outcome>),
) -> Vec<anyhow::Result<Outcome>> {
    let mut runs = stream::iter(seeds).map(|seed| chaos.run(*seed)).buffer_unordered(jobs);
    let mut outcomes = Vec::new();
    while let Some(outcome) = runs.next().await {
        tell(&outcome);
        outcomes.push(outcome);
    }
    outcomes
}
