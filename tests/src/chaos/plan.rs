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
    /// The next append is answered late by [`STALL`].
    Stall,
    /// kill -9 of Redis, which starts again with its data.
    RestartRedis,
    /// Redis loses the end of what was written, and the replica takes its place.
    FailOver { lost: Duration },
}

/// How long the answer of a stalled append is kept back.
pub(super) const STALL: Duration = Duration::from_secs(5);
/// What the failover loses that every run has.
const LOST: Duration = Duration::from_millis(200);

impl Step {
    /// The next step after those in `counts`. Within the first steps each run has a stall, and failovers until one of them lost
    /// something.
    pub(super) fn next(random: &mut StdRng, failover: bool, counts: &Counts) -> Self {
        let drawn = Self::draw(random, failover);
        let is_due = random.random_range(0..4) <= counts.steps();
        if is_due && counts.stalls == 0 {
            Self::Stall
        } else if is_due && failover && counts.lost_tails == 0 {
            Self::FailOver { lost: LOST }
        } else {
            drawn
        }
    }

    fn draw(random: &mut StdRng, failover: bool) -> Self {
        let mut span = |from: u64, to: u64| Duration::from_millis(random.random_range(from..to));
        let (short, pause, outage, lost) = (span(0, 1500), span(1000, 5000), span(1500, 3500), span(20, 400));
        match random.random_range(0..100) {
            0..26 => Self::Kill { absent: short },
            26..52 => Self::Pause { for_: pause, is_cut_off: random.random_bool(0.7) },
            52..62 => Self::Terminate,
            62..80 => Self::Outage { for_: outage },
            80..85 => Self::Stall,
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
    /// Failovers in which the replica lacked something.
    pub(super) lost_tails: u32,
    stalls: u32,
    /// Appends that were late by a stall.
    pub(super) stalled: u64,
}

impl Counts {
    fn steps(&self) -> u32 {
        let Self { kills, pauses, terminations, outages, redis_restarts, failovers, stalls, .. } = self;
        kills + pauses + terminations + outages + redis_restarts + failovers + stalls
    }

    pub(super) fn add(&mut self, step: &Step) {
        *match step {
            Step::Kill { .. } => &mut self.kills,
            Step::Pause { .. } => &mut self.pauses,
            Step::Terminate => &mut self.terminations,
            Step::Outage { .. } => &mut self.outages,
            Step::Stall => &mut self.stalls,
            Step::RestartRedis => &mut self.redis_restarts,
            Step::FailOver { .. } => &mut self.failovers,
        } += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, pauses, terminations, outages, redis_restarts, failovers, lost_tails, stalled, .. } = self;
        write!(
            f,
            "{kills} kills, {pauses} pauses, {terminations} terminations, {outages} outages, {stalled} stalls of 5 s, "
        )?;
        write!(f, "{redis_restarts} Redis restarts, {failovers} failovers, {lost_tails} of them lost a tail")
    }
}

/// Has the next append be late; see [`Step::Stall`].
pub(super) fn stall(faults: &Faults) -> RuleId {
    faults.inject(Rule::new("BigQueryWrite/AppendRows", When::Next(1), Action::Delay(STALL)))
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_seed_has_an_early_stall_and_failovers_until_one_lost_something() {
        for seed in 0..1_000 {
            let (mut random, mut counts) = (StdRng::seed_from_u64(seed), Counts::default());
            for _ in 0..5 {
                let step = Step::next(&mut random, true, &counts);
                counts.add(&step);
            }
            assert!(counts.stalls > 0 && counts.failovers > 0, "seed {seed}: {counts:?}");
            // It lost nothing, so the next is one again.
            assert!(matches!(Step::next(&mut random, true, &counts), Step::FailOver { .. }), "seed {seed}");
            let mut without = Counts::default();
            for _ in 0..20 {
                let step = Step::next(&mut random, false, &without);
                without.add(&step);
            }
            assert_eq!(without.failovers, 0, "seed {seed}");
        }
    }
}
