use std::{fmt, time::Duration};

use local_cloud::{Action, Faults, Rule, RuleId, When};
use rand::{Rng, rngs::StdRng};
use tonic::Code;

/// Something that is done to a loader or to Redis.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// kill -9, and another in its place after a while.
    Kill { absent: Duration },
    /// SIGSTOP, and SIGCONT after a while. Where it is also cut off, its deliveries go to another meanwhile, which takes over
    /// its claims; and then it goes on.
    Pause { for_: Duration, is_cut_off: bool },
    /// SIGTERM, and another in its place.
    Terminate,
    /// Every append is applied and its answer lost, for longer than a loader tries again: only the fence can tell.
    Outage { for_: Duration },
    /// kill -9 of Redis, which starts again with its data.
    RestartRedis,
    /// Redis loses the end of what was written, and the replica takes its place.
    FailOver { lost: Duration },
}

impl Step {
    pub(super) fn draw(random: &mut StdRng, failover: bool) -> Self {
        let mut span = |from: u64, to: u64| Duration::from_millis(random.random_range(from..to));
        let (short, pause, outage, lost) = (span(0, 1500), span(1000, 5000), span(1500, 3500), span(20, 400));
        match random.random_range(0..100) {
            0..26 => Self::Kill { absent: short },
            26..52 => Self::Pause { for_: pause, is_cut_off: random.random_bool(0.7) },
            52..62 => Self::Terminate,
            62..85 => Self::Outage { for_: outage },
            85..93 if failover => Self::FailOver { lost },
            _ => Self::RestartRedis,
        }
    }
}

/// How often each step was taken.
#[derive(Debug, Default)]
pub(super) struct Counts {
    kills: u32,
    pauses: u32,
    terminations: u32,
    outages: u32,
    redis_restarts: u32,
    failovers: u32,
}

impl Counts {
    pub(super) fn add(&mut self, step: &Step) {
        *match step {
            Step::Kill { .. } => &mut self.kills,
            Step::Pause { .. } => &mut self.pauses,
            Step::Terminate => &mut self.terminations,
            Step::Outage { .. } => &mut self.outages,
            Step::RestartRedis => &mut self.redis_restarts,
            Step::FailOver { .. } => &mut self.failovers,
        } += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, pauses, terminations, outages, redis_restarts, failovers } = self;
        write!(
            f,
            "{kills} kills, {pauses} pauses, {terminations} terminations, {outages} outages, {redis_restarts} Redis restarts, {failovers} failovers"
        )
    }
}

/// Loses the answer of every append; see [`Step::Outage`].
pub(super) fn lose_answers(faults: &Faults) -> RuleId {
    let always = When::Every(1);
    faults.inject(Rule::new("BigQueryWrite/AppendRows", always, Action::ApplyThenFail))
}

/// Puts the faults of a run in force: what is late, lost, doubled or refused, and how often.
pub(super) fn inject(random: &mut StdRng, faults: &Faults) {
    let error = |code: Code| Action::error(code, "injected");
    let late = |milliseconds| Action::Delay(Duration::from_millis(milliseconds));
    let rules = [
        ("BigQueryWrite/AppendRows", 0.03, Action::ApplyThenFail),
        ("BigQueryWrite/AppendRows", 0.02, Action::DropConnection),
        ("BigQueryWrite/AppendRows", 0.02, error(Code::Unavailable)),
        ("BigQueryWrite/AppendRows", 0.02, error(Code::Aborted)),
        ("BigQueryWrite/AppendRows", 0.01, error(Code::Internal)),
        ("BigQueryWrite/AppendRows", 0.005, error(Code::ResourceExhausted)),
        ("BigQueryWrite/AppendRows", 0.03, late(random.random_range(100..1000))),
        ("BigQueryWrite/AppendRows", 0.02, late(random.random_range(3000..5000))),
        ("BigQueryWrite/CreateWriteStream", 0.1, error(Code::Unavailable)),
        ("BigQueryWrite/CreateWriteStream", 0.1, Action::ApplyThenFail),
        ("BigQueryWrite/CreateWriteStream", 0.1, late(random.random_range(100..1500))),
        ("BigQueryWrite/FinalizeWriteStream", 0.1, error(Code::Unavailable)),
        ("BigQueryWrite/FinalizeWriteStream", 0.2, Action::ApplyThenFail),
        ("BigQueryWrite/FinalizeWriteStream", 0.1, late(random.random_range(100..1500))),
        ("push", 0.02, Action::ApplyThenFail),
        ("push", 0.02, Action::Duplicate),
        ("push", 0.01, error(Code::Unavailable)),
        ("push", 0.02, late(random.random_range(200..2000))),
        ("Publisher/Publish", 0.02, Action::ApplyThenFail),
    ];
    for (calls, probability, action) in rules {
        faults.inject(Rule::new(calls, When::Probability { probability, seed: random.random() }, action));
    }
}
