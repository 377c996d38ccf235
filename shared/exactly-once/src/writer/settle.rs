//! Telling the ledger of committed rows. Deliveries are answered before: a claim whose row stands is decidable by the fence.

use super::{
    Writer,
    normal::{Numbers, move_time, number},
};
use crate::{Alarm, CallId, Claim, EventKey, Output, PayloadHash, Settled, Time};

/// Rows that stand, and that the ledger may not know of yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Settlement {
    call: CallId,
    claim: Claim,
    rows: Vec<(EventKey, PayloadHash)>,
    failures: u32,
    retry_at: Option<Time>,
}

impl Settlement {
    pub(super) fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }

    pub(super) fn payload_of(&self, wanted: &EventKey) -> Option<PayloadHash> {
        self.rows.iter().find(|(key, _)| key == wanted).map(|(_, payload)| *payload)
    }

    /// See [`Writer::normalize`].
    pub(super) fn normalize(&mut self, numbers: &mut Numbers, time: impl Fn(Time) -> Time) {
        self.failures = 0;
        self.call = CallId(number(numbers, self.call.0));
        move_time(&mut self.retry_at, time);
    }

    /// What two settlements of one writer differ by.
    pub(super) fn order(&self) -> (&Claim, &[(EventKey, PayloadHash)]) {
        (&self.claim, &self.rows)
    }
}

impl Writer {
    pub(super) fn settle(&mut self, claim: Claim, rows: Vec<(EventKey, PayloadHash)>) {
        if rows.is_empty() {
            return;
        }
        let call = self.call();
        let settle = Output::Settle { call, claim: claim.clone(), rows: rows.clone(), window: self.limits.window };
        self.out.push(settle);
        self.unsettled.push(Settlement { call, claim, rows, failures: 0, retry_at: None });
    }

    pub(super) fn settled(&mut self, call: CallId, results: Vec<Settled>) {
        let Some(at) = self.unsettled.iter().position(|settlement| settlement.call == call) else { return };
        let settlement = self.unsettled.swap_remove(at);
        for ((key, _), result) in settlement.rows.into_iter().zip(results) {
            match result {
                Settled::Done => {}
                Settled::Contradicted(found) => self.alarm(Alarm::Contradicted { key, found }),
            }
        }
    }

    pub(super) fn settle_failed(&mut self, now: Time, call: CallId) {
        let backoff = self.limits.retry;
        if let Some(settlement) = self.unsettled.iter_mut().find(|settlement| settlement.call == call) {
            settlement.retry_at = Some(now + backoff.delay(settlement.failures));
            settlement.failures = settlement.failures.saturating_add(1);
        }
    }

    pub(super) fn retry_settlements(&mut self, now: Time) {
        let window = self.limits.window;
        for at in 0..self.unsettled.len() {
            if self.unsettled[at].retry_at.is_some_and(|due| due <= now) {
                let call = self.call();
                let settlement = &mut self.unsettled[at];
                (settlement.call, settlement.retry_at) = (call, None);
                let (claim, rows) = (settlement.claim.clone(), settlement.rows.clone());
                self.out.push(Output::Settle { call, claim, rows, window });
            }
        }
    }
}
