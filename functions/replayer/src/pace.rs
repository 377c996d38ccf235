//! So many events a second.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// The rate limit of a run; every object's reader waits for its turn here.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Option<u32>,
    next: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(rate: Option<u32>) -> Self {
        Self { rate: rate.filter(|rate| *rate > 0), next: Mutex::new(Instant::now()) }
    }

    /// The most events that should go together, so that they go evenly.
    pub(crate) fn batch(&self, most: usize) -> usize {
        self.rate.map_or(most, |rate| (rate as usize / 4).clamp(1, most))
    }

    /// Waits for the turn of `events`.
    pub(crate) async fn turn(&self, events: usize) {
        let Some(rate) = self.rate else { return };
        let turn = slot(&mut *self.next.lock().await, Instant::now(), events, rate);
        sleep_until(turn).await;
    }
}

/// When so many events may go; `next` is when those after them may.
fn slot(next: &mut Instant, now: Instant, events: usize, rate: u32) -> Instant {
    let turn = (*next).max(now);
    *next = turn + Duration::from_secs_f64(events as f64 / f64::from(rate));
    turn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_at_the_rate() {
        let now = Instant::now();
        let mut next = now;
        let turns: Vec<u128> = (0..4).map(|_| (slot(&mut next, now, 50, 100) - now).as_millis()).collect();
        assert_eq!(turns, [0, 500, 1000, 1500]);
        let later = now + Duration::from_secs(60);
        assert_eq!(slot(&mut next, later, 1, 100), later, "what was not used is not made up for");
        assert_eq!((Pace::new(Some(100)).batch(500), Pace::new(None).batch(500)), (25, 500));
    }
}
