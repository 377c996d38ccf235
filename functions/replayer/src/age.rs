//! Which events a claim protects from a second row.
//!
//! A claim is remembered for the stream's dedupe window, counted from its event's row, and no row of an event is older than
//! its message. So what was published within the window is protected: it is published again, and refused where it is a row.
//! An older event is protected only where its table is itself younger than the window: then no row of it can be older than
//! what the ledger remembers, least of all in a table that was dropped and made again. Whatever else may have a row that
//! nobody remembers.

use std::time::Duration;

use event::Timestamp;
use jiff::SignedDuration;

use crate::target::{Target, Targets};

/// How long the loader remembers dead letters.
const DEAD_LETTERS: Duration = Duration::from_secs(24 * 60 * 60);
/// The part of the window that is left for the way of a message to the loader, and the most that is.
const MARGIN: u32 = 8;
const LONGEST_MARGIN: Duration = Duration::from_secs(60 * 60);

/// The dedupe window of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Age {
    window: Duration,
}

impl Age {
    pub(crate) fn new(window: Duration) -> Self {
        Self { window }
    }

    /// Whether a claim may be forgotten by the time when a message of `published` arrives.
    pub(crate) fn is_old(&self, published: Timestamp, now: Timestamp) -> bool {
        is_before(published, now, self.window)
    }

    /// Whether the event may have a row of which no claim is left.
    pub(crate) fn may_be_forgotten_row(&self, published: Timestamp, target: &Target, now: Timestamp) -> bool {
        let has_old_rows = target.epoch.is_some_and(|epoch| self.is_old(epoch, now));
        // An upsert is no second row.
        !target.is_upsert() && has_old_rows && self.is_old(published, now)
    }

    /// Whether the event may have a row in a raw table of which no claim is left: each of them takes what is published.
    pub(crate) fn may_be_forgotten_raw_row(&self, published: Timestamp, targets: &Targets, now: Timestamp) -> bool {
        self.is_old(published, now) && targets.raw_epochs.iter().flatten().any(|epoch| self.is_old(*epoch, now))
    }

    /// Whether the event may have a dead letter of which no claim is left.
    pub(crate) fn may_be_forgotten_letter(&self, published: Timestamp, targets: &Targets, now: Timestamp) -> bool {
        let is_old = |time| is_before(time, now, DEAD_LETTERS);
        targets.dead_letters.is_some_and(is_old) && is_old(published)
    }

    /// Whether no message of this replay can be forgotten: then none need be looked at.
    pub(crate) fn is_all_remembered(&self, targets: &Targets, now: Timestamp) -> bool {
        let is_young = |target: &Target| !self.may_be_forgotten_row(Timestamp::MIN, target, now);
        let has_old_raw_table = self.may_be_forgotten_raw_row(Timestamp::MIN, targets, now);
        targets.all().all(is_young) && !has_old_raw_table && !self.may_be_forgotten_letter(Timestamp::MIN, targets, now)
    }
}

fn is_before(time: Timestamp, now: Timestamp, window: Duration) -> bool {
    let kept = window - (window / MARGIN).min(LONGEST_MARGIN);
    let kept = SignedDuration::try_from(kept).unwrap_or(SignedDuration::MAX);
    now.checked_sub(kept).is_ok_and(|edge| time <= edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_old_a_margin_before_its_claim_is_forgotten() {
        let now: Timestamp = "2024-02-02T00:00:00Z".parse().expect("a time");
        let age = Age::new(Duration::from_secs(24 * 3600));
        let at = |text: &str| age.is_old(text.parse().expect("a time"), now);
        assert!(at("2024-02-01T01:00:00Z") && !at("2024-02-01T01:00:01Z"));
        let short = Age::new(Duration::from_secs(8));
        assert!(short.is_old("2024-02-01T23:59:53Z".parse().expect("a time"), now));
        assert!(!short.is_old("2024-02-01T23:59:54Z".parse().expect("a time"), now));
    }
}
