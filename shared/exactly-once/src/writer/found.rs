//! What stands at an event's key, and what follows from it.

use std::time::Duration;

use super::{
    OwnStream, Writer,
    entry::{Landed, Phase, Step},
};
use crate::{Alarm, Answer, Claim, EventKey, Expected, Output, PayloadHash, Retry, State, Time, Verdict};

impl Writer {
    /// The key was not ours to take: `state` stands there.
    pub(super) fn found(&mut self, now: Time, key: EventKey, state: Option<State>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        match state {
            None => self.begin(key, None),
            Some(State::Done { payload }) => self.finish(key, Landed::Found, payload),
            Some(State::Rejected { payload }) if payload.gives_way_to(entry.payload) => {
                self.reopen(key, Expected::Rejected(payload));
            }
            Some(State::Rejected { payload }) => self.finish(key, Landed::FoundDeadLetter, payload),
            // The event was redriven since, so the dead letter stands, and only the key was never told.
            Some(State::Rejecting { payload, .. }) if payload.gives_way_to(entry.payload) => {
                self.reopen(key, Expected::Rejecting(payload));
            }
            Some(State::Rejecting { payload, rejection })
                if payload.agrees(entry.payload) && payload.redrives() == entry.payload.redrives() =>
            {
                // Whoever meets an unfinished rejection finishes it.
                entry.verdict = Verdict::Reject(rejection.clone());
                entry.phase = Phase::Rejecting(Step::Writing);
                self.out.push(Output::WriteDeadLetter { key, rejection });
            }
            Some(State::Rejecting { payload, .. }) => self.found_other_rejecting(key, payload),
            Some(State::Claimed { claim, payload, age }) => self.found_claim(now, key, (claim, payload), age),
        }
    }

    /// Another event with this id is on its way to a dead letter, or a later try of this one: then this one's dead letter
    /// stands. Deliveries of that one, which joined ours, come again: its dead letter does not stand yet, and their bytes are
    /// not here.
    fn found_other_rejecting(&mut self, key: EventKey, rejecting: PayloadHash) {
        self.answer_all(key, |delivery| match delivery.agrees(rejecting) {
            false => Answer::Conflict,
            true if delivery.redrives() < rejecting.redrives() => Answer::Duplicate,
            true => Answer::Retry(Retry::Undecided),
        });
        self.forget(key);
    }

    fn found_claim(&mut self, now: Time, key: EventKey, (claim, payload): (Claim, PayloadHash), age: Duration) {
        match &self.stream {
            OwnStream::Open { id, next, .. } if *id == claim.write_stream && claim.owner == self.owner => {
                if claim.base_offset < *next {
                    self.found_own_row(key, claim, payload);
                } else {
                    self.alarm(Alarm::UnknownOwnClaim { key, claim });
                    self.hold(now, key);
                }
                return;
            }
            OwnStream::None { .. } | OwnStream::Creating { .. } | OwnStream::Open { .. } => {}
        }
        if let Some(rows) = self.fenced_rows(&claim.write_stream) {
            self.decide(key, claim, payload, rows);
        } else if self.fences.contains_key(&claim.write_stream) {
            self.await_fence(key, claim, payload);
        } else if claim.owner == self.owner || (age >= self.limits.suspect_after && now >= self.next_fence) {
            let (stream, own) = (claim.write_stream.clone(), claim.owner == self.owner);
            self.await_fence(key, claim, payload);
            self.fence(now, stream, own);
        } else {
            self.hold(now, key);
        }
    }

    /// A claim of ours below our stream's end: its row stands, and only the ledger was never told.
    fn found_own_row(&mut self, key: EventKey, claim: Claim, payload: PayloadHash) {
        let settling = self.unsettled.iter().find_map(|settlement| settlement.payload_of(&key));
        let payload = settling.unwrap_or(payload);
        self.finish(key, Landed::Found, payload);
        if settling.is_none() {
            self.settle(claim, vec![(key, payload)]);
        }
    }

    fn await_fence(&mut self, key: EventKey, claim: Claim, payload: PayloadHash) {
        if self.stopping {
            self.send_back_whatever(key);
        } else if let Some(entry) = self.entries.get_mut(&key) {
            entry.phase = Phase::Fencing { claim, payload, own: false };
        }
    }

    /// Someone else has it, and may be well: look again soon.
    fn hold(&mut self, now: Time, key: EventKey) {
        if self.stopping {
            self.send_back_whatever(key);
            return;
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let at = now + self.limits.poll.delay(entry.polls);
        entry.polls = entry.polls.saturating_add(1);
        entry.phase = Phase::Held;
        if entry.deliveries.is_empty() {
            self.forget(key);
        } else {
            self.set_timer(key, Some(at));
        }
    }

    fn send_back_whatever(&mut self, key: EventKey) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.phase = Phase::Held;
            self.send_back(key, Retry::Stopping);
        }
    }
}
