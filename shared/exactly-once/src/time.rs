use std::{ops::Add, time::Duration};

/// A point in time, counted from any fixed start: the machine only compares and adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Time(Duration);

impl Time {
    /// The start.
    pub const START: Self = Self(Duration::ZERO);

    /// The time `since_start` after the start.
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// How long after the start.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long after `earlier`; zero where it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}
