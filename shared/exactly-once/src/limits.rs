use std::time::Duration;

/// How long to wait before a further try: twice as long each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after `failures` tries in a row, counted from 0.
    pub fn delay(&self, failures: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(self.longest)
    }
}

/// The sizes and times of a writer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Limits {
    /// The most rows of one request.
    pub batch_rows: usize,
    /// The most bytes of one request; a single larger row goes alone.
    pub batch_bytes: usize,
    /// How long a delivery may wait for its answer before it is sent back. Shorter than the ack deadline.
    pub hold: Duration,
    /// From which age on someone else's claim is suspected, and its stream fenced. Longer than [`Self::append_limit`], so
    /// that no healthy owner is fenced.
    pub suspect_after: Duration,
    /// How long a request whose outcome is unknown is sent again before its stream is given up.
    pub append_limit: Duration,
    /// How long a settled key is kept.
    pub window: Duration,
    /// The least time between two fences of other owners' streams.
    pub fence_interval: Duration,
    /// Waits between looks at someone else's claim.
    pub poll: Backoff,
    /// Waits between tries of a claim, a swap, a settle or a fence.
    pub retry: Backoff,
    /// Waits between sends of a request whose outcome is unknown, or that the table's schema is not ready for.
    pub resend: Backoff,
    /// Waits after the quota was found exhausted.
    pub exhausted: Backoff,
    /// Waits between tries to create a write stream.
    pub create: Backoff,
    /// Whether the rest of a request, some rows of which the table refused, may go to the same offset once their keys have left
    /// the request. Sound only over a ledger that forgets nothing: one that forgets that a key left would find rows where
    /// its old claim points. Otherwise the rest goes to another stream, and the fence of this one frees all of them.
    pub reuse_refused_offset: bool,
    /// Whether rows that the table refuses become dead letters. False for the dead letters' own table, whose rows are sent
    /// back instead.
    pub reject_rows: bool,
}

impl Default for Limits {
    fn default() -> Self {
        const fn backoff(first_ms: u64, longest_ms: u64) -> Backoff {
            Backoff { first: Duration::from_millis(first_ms), longest: Duration::from_millis(longest_ms) }
        }
        Self {
            batch_rows: 500,
            batch_bytes: 1_000_000,
            hold: Duration::from_secs(20),
            suspect_after: Duration::from_secs(90),
            append_limit: Duration::from_secs(45),
            window: Duration::from_secs(24 * 60 * 60),
            fence_interval: Duration::from_secs(1),
            poll: backoff(50, 1_000),
            retry: backoff(50, 2_000),
            resend: backoff(100, 5_000),
            exhausted: backoff(1_000, 60_000),
            create: backoff(250, 30_000),
            reuse_refused_offset: false,
            reject_rows: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(300) };
        let delays: Vec<u128> = (0..5).map(|failures| backoff.delay(failures).as_millis()).collect();
        assert_eq!(delays, [50, 100, 200, 300, 300]);
        assert_eq!(backoff.delay(u32::MAX), Duration::from_millis(300));
    }

    #[test]
    fn a_healthy_owner_is_never_suspected() {
        let limits = Limits::default();
        assert!(limits.suspect_after > limits.append_limit + Duration::from_secs(20));
    }
}
