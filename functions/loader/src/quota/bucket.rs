use tokio::time::Instant;

/// Bytes that may be let in now; it fills with the time up to a second's worth.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    left: f64,
    at: Instant,
    taken: u64,
}

impl Bucket {
    /// A full one, that fills with `rate` bytes a second.
    pub(super) fn new(rate: f64, now: Instant) -> Self {
        Self { rate, left: rate, at: now, taken: 0 }
    }

    /// Takes `bytes`, also where less is left: what is owed is waited for. False where nothing is left.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        self.fill(now);
        if self.left < 0.0 {
            return false;
        }
        self.left -= bytes as f64;
        self.taken += bytes as u64;
        true
    }

    /// From now on it fills with `rate` bytes a second.
    pub(super) fn set_rate(&mut self, rate: f64, now: Instant) {
        self.fill(now);
        self.rate = rate;
        self.left = self.left.min(rate);
    }

    /// The bytes that were taken since this was asked last.
    pub(super) fn taken(&mut self) -> u64 {
        std::mem::take(&mut self.taken)
    }

    fn fill(&mut self, now: Instant) {
        let filled = self.left + now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.left = filled.min(self.rate);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_fills_with_the_time_up_to_a_seconds_worth() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut bucket = Bucket::new(100.0, start);
        assert!(bucket.take(100, at(0)) && bucket.take(50, at(0)));
        assert!(!bucket.take(1, at(0)) && !bucket.take(1, at(499)));
        assert!(bucket.take(1, at(501)));
        assert_eq!((bucket.taken(), bucket.taken()), (151, 0));
        assert!(bucket.take(101, at(60_000)) && !bucket.take(1, at(60_000)));
    }

    #[test]
    fn another_rate_counts_from_now_on() {
        let start = Instant::now();
        let mut bucket = Bucket::new(100.0, start);
        bucket.set_rate(10.0, start);
        assert!(bucket.take(20, start));
        let later = start + Duration::from_millis(900);
        assert!(!bucket.take(1, later));
        bucket.set_rate(100.0, later);
        assert!(bucket.take(1, later + Duration::from_millis(11)));
    }
}
