//! Tells the ledger once a second what this loader uses of the quotas, and learns what all loaders use.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use dedupe::{LedgerError, Meter, Metered};
use futures::FutureExt;
use service::chain;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    CONNECTIONS, CREATE_WRITE_STREAM, HOUR, Quota, THROUGHPUT,
    share::{self, Fleet},
};
use crate::loader::Services;

/// How long what is used is summed up. The throughput is of a second, so this is one.
const PERIOD: Duration = Duration::from_secs(1);
/// So many reports follow the last delivery: connections stay open for a while, and then nobody is asked any more, because a
/// service costs nothing only while it does nothing.
const QUIET: u32 = 60;
/// After so many reports without an answer this loader brakes by what it alone uses.
const SILENCE: u32 = 3;
/// The loaders, as the ledger's counts call them.
const LOADERS: &str = "loaders";

/// What was told last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Told {
    turn: u64,
    bytes: u64,
    connections: u64,
}

/// What the ledger answered.
#[derive(Debug, Clone, Copy)]
struct Heard {
    loaders: Metered,
    connections: Metered,
    throughput: Metered,
    streams: Metered,
}

/// Reports while deliveries come, until `stop`.
pub(crate) async fn run(services: Arc<Services>, stop: CancellationToken) {
    let quota = &services.quota;
    let (mut last, mut unanswered) = (Told::default(), 0);
    loop {
        tokio::select! {
            () = quota.came.notified() => {}
            () = stop.cancelled() => return,
        }
        let mut quiet = 0;
        while quiet < QUIET {
            let told =
                Told { turn: 0, bytes: quota.bytes.lock().taken(), connections: services.storage.open_connections() };
            match tell(&services, told).await {
                Ok(heard) => {
                    unanswered = 0;
                    quota.heard(&services, last, told, heard);
                    last = Told { turn: heard.loaders.turn, ..told };
                }
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "what is used of the quotas was not reported");
                    unanswered += 1;
                    if unanswered == SILENCE {
                        tracing::warn!("the ledger does not say what other loaders use of the quotas");
                        quota.alone();
                    }
                }
            }
            tokio::select! {
                () = sleep(until_next(since_epoch())) => {}
                () = stop.cancelled() => return,
            }
            quiet = if quota.came.notified().now_or_never().is_some() { 0 } else { quiet + 1 };
        }
        for unknown in [CREATE_WRITE_STREAM, CONNECTIONS, THROUGHPUT] {
            services.metrics.quota_used(unknown, 0);
        }
    }
}

async fn tell(services: &Services, told: Told) -> Result<Heard, LedgerError> {
    let second = |what, by| Meter { what, by, period: PERIOD };
    let meters = [
        second(LOADERS, 1),
        second(CONNECTIONS, told.connections),
        second(THROUGHPUT, told.bytes),
        Meter { what: CREATE_WRITE_STREAM, by: 0, period: HOUR },
    ];
    match services.ledger.meter(&meters).await?[..] {
        [loaders, connections, throughput, streams] => Ok(Heard { loaders, connections, throughput, streams }),
        ref other => Err(LedgerError::Corrupt { detail: format!("{} counts where 4 were asked for", other.len()) }),
    }
}

impl Quota {
    fn heard(&self, services: &Services, last: Told, told: Told, heard: Heard) {
        let (fleet, others) = others(last, told, heard);
        self.others_connections.store(others, Ordering::Relaxed);
        self.bytes.lock().set_rate(share::rate(self.bytes_a_second, fleet), Instant::now());
        services.metrics.quota_used(THROUGHPUT, fleet.bytes);
        services.metrics.quota_used(CONNECTIONS, self.open_connections(told.connections));
        services.metrics.quota_used(CREATE_WRITE_STREAM, heard.streams.current);
    }
}

/// The fleet of the last whole second, and the connections of its other loaders. What was told `last` is in the counts of that
/// second only if it was told in it; who told nothing in it is new, or slept.
fn others(last: Told, told: Told, Heard { loaders, connections, throughput, .. }: Heard) -> (Fleet, u64) {
    let is_in = last.turn + 1 == loaders.turn;
    let own = if is_in { last } else { Told::default() };
    let loaders = (loaders.previous + u64::from(!is_in)).max(loaders.current);
    let fleet = Fleet { loaders, bytes: throughput.previous, own: own.bytes };
    let before = connections.previous.saturating_sub(own.connections);
    (fleet, before.max(connections.current.saturating_sub(told.connections)))
}

/// How long it is to the middle of the next second: each loader reports once in each, whatever its clock and its delays.
fn until_next(now: Duration) -> Duration {
    PERIOD + PERIOD / 2 - Duration::from_nanos(u64::from(now.subsec_nanos()))
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(turn: u64, loaders: (u64, u64), connections: (u64, u64), bytes: (u64, u64)) -> Heard {
        let metered = |(previous, current)| Metered { turn, previous, current };
        let streams = metered((0, 0));
        Heard { loaders: metered(loaders), connections: metered(connections), throughput: metered(bytes), streams }
    }

    #[test]
    fn a_loader_knows_its_own_part() {
        let last = Told { turn: 41, bytes: 300, connections: 2 };
        let told = Told { turn: 0, bytes: 500, connections: 3 };
        let found = others(last, told, heard(42, (20, 1), (50, 3), (1_000, 500)));
        assert_eq!(found, (Fleet { loaders: 20, bytes: 1_000, own: 300 }, 48));
    }

    #[test]
    fn who_is_new_or_slept_comes_on_top() {
        let told = Told { turn: 0, bytes: 10, connections: 1 };
        for last in [Told::default(), Told { turn: 40, bytes: 300, connections: 2 }] {
            let found = others(last, told, heard(42, (2, 2), (7, 4), (1_000, 10)));
            assert_eq!(found, (Fleet { loaders: 3, bytes: 1_000, own: 0 }, 7));
        }
    }

    #[test]
    fn a_fleet_that_begins_sees_itself_at_once() {
        let told = Told { turn: 0, bytes: 10, connections: 1 };
        let found = others(Told::default(), told, heard(42, (0, 5), (0, 5), (0, 50)));
        assert_eq!(found, (Fleet { loaders: 5, bytes: 0, own: 0 }, 4));
    }

    #[test]
    fn a_report_is_in_the_middle_of_each_second() {
        for (now, wait) in [(0, 1_500), (400, 1_100), (500, 1_000), (999, 501)] {
            assert_eq!(until_next(Duration::from_millis(7_000 + now)), Duration::from_millis(wait));
        }
    }
}
