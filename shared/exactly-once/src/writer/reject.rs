//! Rejections: first the key says that there will be no row, then the dead letter is written, then the key says that it stands.

use event::Rejection;

use super::{
    Writer,
    entry::{Landed, Phase, Step},
};
use crate::{CallId, Claim, EventKey, Expected, NewState, Output, Retry, Swapped, Time, Verdict};

/// How often the last step is tried before it is left undone: the dead letter stands, and that was promised.
const CLOSING_TRIES: u32 = 5;

impl Writer {
    /// The event will never be a row: tells its key so, where it holds `claim`, or nothing.
    pub(super) fn mark_rejecting(&mut self, key: EventKey, claim: Option<Claim>, rejection: Rejection) {
        let expected = claim.map_or(Expected::Absent, Expected::Claimed);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.phase = Phase::Rejecting(Step::Marking { call: None, expected, rejection, failures: 0 });
            self.send_rejecting(key);
        }
    }

    pub(super) fn send_rejecting(&mut self, key: EventKey) {
        let id = self.call();
        let window = self.limits.window;
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let payload = entry.payload;
        let (expected, new) = match &mut entry.phase {
            Phase::Rejecting(Step::Marking { call, expected, rejection, .. }) => {
                *call = Some(id);
                (expected.clone(), NewState::Rejecting { payload, rejection: rejection.clone() })
            }
            Phase::Rejecting(Step::Closing { call, .. }) => {
                *call = Some(id);
                (Expected::Rejecting(payload), NewState::Rejected { payload, window })
            }
            _ => return,
        };
        self.out.push(Output::Swap { call: id, key, expected, new, generation: self.generation });
    }

    /// The event was a dead letter, and this is a later try of it: has its key kept by a claim for no request in place of what
    /// `stands`, and begins anew.
    pub(super) fn reopen(&mut self, key: EventKey, stands: Expected) {
        let claim = Claim::reopening(self.owner, self.calls);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.phase = Phase::Reopening { call: None, stands, claim, failures: 0 };
            self.send_reopening(key);
        }
    }

    /// Each call with a claim of its own: one that comes late sets none that was claimed over since.
    pub(super) fn send_reopening(&mut self, key: EventKey) {
        let id = self.call();
        let fresh = Claim::reopening(self.owner, id.0);
        let Some(Phase::Reopening { call, stands, claim, .. }) =
            self.entries.get_mut(&key).map(|entry| &mut entry.phase)
        else {
            return;
        };
        (*call, *claim) = (Some(id), fresh.clone());
        let expected = stands.clone();
        let new = NewState::Claimed(fresh);
        self.out.push(Output::Swap { call: id, key, expected, new, generation: self.generation });
    }

    /// Swaps that are on their way are of an older generation: their replies are not waited for.
    pub(super) fn swap_again(&mut self) {
        let keys: Vec<EventKey> = self.entries.keys().copied().collect();
        for key in keys {
            match self.entries.get(&key).map(|entry| &entry.phase) {
                Some(Phase::Marking { .. }) => self.send_mark(key),
                Some(Phase::Reopening { .. }) => self.send_reopening(key),
                Some(Phase::Rejecting(_)) => self.send_rejecting(key),
                _ => continue,
            }
            self.set_timer(key, None);
        }
    }

    pub(super) fn swapped(&mut self, now: Time, by: CallId, key: EventKey, result: Swapped) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.swaps_by(by)) else { return };
        match (&entry.phase, result) {
            (Phase::Marking { payload, .. }, Swapped::Yes) => {
                let payload = *payload;
                self.finish(key, Landed::Found, payload);
            }
            (Phase::Marking { .. } | Phase::Reopening { .. }, Swapped::No(state)) => self.found(now, key, state),
            (Phase::Reopening { claim, .. }, Swapped::Yes) => {
                let claim = claim.clone();
                self.begin(key, Some(claim));
            }
            (Phase::Rejecting(Step::Marking { rejection, .. }), Swapped::Yes) => {
                let rejection = rejection.clone();
                entry.verdict = Verdict::Reject(rejection.clone());
                entry.phase = Phase::Rejecting(Step::Writing);
                self.out.push(Output::WriteDeadLetter { key, rejection });
                self.removed(now, key);
            }
            (Phase::Rejecting(Step::Marking { .. }), Swapped::No(state)) => {
                self.found(now, key, state);
                self.removed(now, key);
            }
            (Phase::Rejecting(Step::Closing { .. }), _) => self.closed(key),
            _ => {}
        }
    }

    pub(super) fn swap_unknown(&mut self, now: Time, by: CallId, key: EventKey) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.swaps_by(by)) else { return };
        let closing = matches!(entry.phase, Phase::Rejecting(Step::Closing { .. }));
        let (Phase::Marking { call, failures, .. }
        | Phase::Reopening { call, failures, .. }
        | Phase::Rejecting(Step::Marking { call, failures, .. } | Step::Closing { call, failures })) = &mut entry.phase
        else {
            return;
        };
        *call = None;
        let at = now + self.limits.retry.delay(*failures);
        *failures = failures.saturating_add(1);
        if closing && *failures >= CLOSING_TRIES {
            self.closed(key);
        } else {
            self.set_timer(key, Some(at));
        }
    }

    pub(super) fn dead_lettered(&mut self, key: EventKey, written: bool) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if !matches!(entry.phase, Phase::Rejecting(Step::Writing)) {
            return;
        }
        if written {
            entry.phase = Phase::Rejecting(Step::Closing { call: None, failures: 0 });
            self.send_rejecting(key);
        } else {
            // The key keeps saying that a rejection was begun: the next delivery finishes it.
            entry.phase = Phase::Held;
            self.send_back(key, Retry::DeadLetterFailed);
        }
    }

    fn closed(&mut self, key: EventKey) {
        if let Some(entry) = self.entries.get(&key) {
            self.finish(key, Landed::DeadLettered, entry.payload);
        }
    }
}
