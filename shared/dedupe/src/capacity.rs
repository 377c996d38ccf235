//! How much memory a ledger in Redis needs: `docs/capacity.md` has the measurements behind these numbers.

use std::time::Duration;

/// The most that a settled event takes of Redis's memory, on average. A test holds the ledger to it.
pub const SETTLED_EVENT_BYTES: u64 = 48;

/// What an empty server takes.
const EMPTY_SERVER_BYTES: u64 = 4 << 20;

/// The memory, in bytes, of the settled events of a stream with so many events a second: at most, since keys are kept for a
/// quarter of their window longer than the window. Streams add up.
pub fn memory(rate_per_second: f64, window: Duration) -> u64 {
    let events = rate_per_second.max(0.0) * window.as_secs_f64() * 1.25;
    EMPTY_SERVER_BYTES.saturating_add((events * SETTLED_EVENT_BYTES as f64).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_rate_times_window() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(memory(0.0, hour), EMPTY_SERVER_BYTES);
        assert_eq!(memory(1_000.0, hour * 24) - EMPTY_SERVER_BYTES, 1_000 * 86_400 * 60);
        assert_eq!(memory(-1.0, hour), EMPTY_SERVER_BYTES);
    }
}
