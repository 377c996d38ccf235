use std::time::Duration;

/// How many pushes of a subscription may be on their way: few at the start, one more with each success, half as many
/// after a failure, and a pause when nothing succeeds at all.
///
/// The service's own slow start works so, with numbers that it does not publish; these are generous, for one machine.
/// The pause ends after a second at most, so that an endpoint that comes back is found soon.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    /// Counts the cuts; failures of pushes that began before the last cut do not cut again.
    round: u64,
    /// Cuts since the last success.
    fruitless: u32,
}

/// The most pushes on their way.
const LARGEST: usize = 1000;
const FIRST: usize = 64;
/// So many cuts without a success bring the window from its first size to 1.
const PATIENCE: u32 = 6;
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Window {
    pub(super) fn new() -> Self {
        Self { size: FIRST, round: 0, fruitless: 0 }
    }

    /// How many more may start.
    pub(super) fn room(&self, outstanding: usize) -> usize {
        self.size.saturating_sub(outstanding)
    }

    /// What a push remembers from its start to its end.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    pub(super) fn succeeded(&mut self) {
        self.fruitless = 0;
        self.size = (self.size + 1).min(LARGEST);
    }

    /// How long to pause before the next push.
    pub(super) fn failed(&mut self, round: u64) -> Duration {
        if round < self.round {
            return Duration::ZERO;
        }
        self.round += 1;
        self.fruitless = self.fruitless.saturating_add(1);
        self.size = (self.size / 2).max(1);
        match self.fruitless.checked_sub(PATIENCE) {
            None => Duration::ZERO,
            Some(doublings) => (SHORTEST_PAUSE * (1 << doublings.min(10))).min(LONGEST_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_success_and_halves_once_a_round() {
        let mut window = Window::new();
        for _ in 0..2000 {
            window.succeeded();
        }
        assert_eq!(window.room(0), LARGEST);
        let round = window.round();
        assert_eq!(window.failed(round), Duration::ZERO);
        assert_eq!(window.failed(round), Duration::ZERO);
        assert_eq!(window.room(0), LARGEST / 2);
        assert_eq!(window.room(LARGEST), 0);
    }

    #[test]
    fn it_pauses_only_when_nothing_succeeds() {
        let mut window = Window::new();
        let mut pauses = Vec::new();
        for _ in 0..11 {
            pauses.push(window.failed(window.round()).as_millis());
        }
        assert_eq!(pauses, [0, 0, 0, 0, 0, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(window.room(0), 1);
        window.succeeded();
        assert_eq!(window.failed(window.round()), Duration::ZERO);
    }
}
