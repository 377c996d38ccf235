//! What all who share a ledger count together.

use std::time::{Duration, SystemTime};

/// An amount to be added to a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter<'a> {
    /// What is counted, always over the same period.
    pub what: &'a str,
    /// How much more of it there is; 0 only asks.
    pub by: u64,
    /// How long a count lasts before the next one begins, at 0.
    pub period: Duration,
}

/// A count of all who share the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metered {
    /// The number of the current period, by which a caller knows which of its own amounts are in the counts.
    pub turn: u64,
    /// What the period before came to.
    pub previous: u64,
    /// What the current period has come to, with the amount just added.
    pub current: u64,
}

/// The number of the current period, by this machine's clock.
pub(crate) fn turn(period: Duration) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis() / period.as_millis().max(1)).unwrap_or(u64::MAX)
}
