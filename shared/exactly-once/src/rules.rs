//! What a ledger does with one key, as functions of what stands there. Each is one atomic step of a real ledger.

use std::time::Duration;

use event::Rejection;

use crate::{Claim, Claimed, Expected, NewState, PayloadHash, Restored, Settled, State, Swapped, Time, Want};

/// A key's value at rest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stored {
    /// Claimed at `at`, by the ledger's clock.
    Claimed {
        /// Who, and where.
        claim: Claim,
        /// What it says; not compared where claims are.
        payload: PayloadHash,
        /// Since when.
        at: Time,
    },
    /// A row, until `until`.
    Done {
        /// What it said.
        payload: PayloadHash,
        /// When the key is forgotten.
        until: Time,
    },
    /// Refused; the dead letter may not stand yet.
    Rejecting {
        /// What it said.
        payload: PayloadHash,
        /// Why.
        rejection: Rejection,
    },
    /// A dead letter, until `until`.
    Rejected {
        /// What it said.
        payload: PayloadHash,
        /// When the key is forgotten.
        until: Time,
    },
}

impl Stored {
    /// When the key is forgotten; `None`: not while it is undecided.
    pub fn until(&self) -> Option<Time> {
        match self {
            Self::Done { until, .. } | Self::Rejected { until, .. } => Some(*until),
            Self::Claimed { .. } | Self::Rejecting { .. } => None,
        }
    }

    /// The value as callers see it at `now`.
    pub fn state(&self, now: Time) -> State {
        match self {
            Self::Claimed { claim, payload, at } => {
                State::Claimed { claim: claim.clone(), payload: *payload, age: now.since(*at) }
            }
            Self::Done { payload, .. } => State::Done { payload: *payload },
            Self::Rejecting { payload, rejection } => {
                State::Rejecting { payload: *payload, rejection: rejection.clone() }
            }
            Self::Rejected { payload, .. } => State::Rejected { payload: *payload },
        }
    }
}

/// Forgets a value whose time is over.
pub fn current(slot: &mut Option<Stored>, now: Time) -> Option<&Stored> {
    if slot.as_ref().and_then(Stored::until).is_some_and(|until| until <= now) {
        *slot = None;
    }
    slot.as_ref()
}

/// Claims a key that is free, that holds this claim already, or that holds exactly the claim that is to be taken over.
pub fn claim(slot: &mut Option<Stored>, now: Time, claim: &Claim, want: &Want) -> Claimed {
    match current(slot, now) {
        Some(Stored::Claimed { claim: found, .. }) if found == claim => return Claimed::Won,
        Some(Stored::Claimed { claim: found, .. }) if Some(found) == want.instead_of.as_ref() => {}
        Some(other) => return Claimed::Found(other.state(now)),
        None => {}
    }
    *slot = Some(Stored::Claimed { claim: claim.clone(), payload: want.payload, at: now });
    Claimed::Won
}

/// Marks a committed row. What stood is overwritten whatever it was, but a row's own mark, which keeps its time.
pub fn settle(slot: &mut Option<Stored>, now: Time, claim: &Claim, payload: PayloadHash, window: Duration) -> Settled {
    let settled = match current(slot, now) {
        Some(Stored::Done { .. }) => return Settled::Done,
        None => Settled::Done,
        Some(Stored::Claimed { claim: found, .. }) if found == claim => Settled::Done,
        Some(other) => Settled::Contradicted(other.state(now)),
    };
    *slot = Some(Stored::Done { payload, until: now + window });
    settled
}

/// Removes exactly this claim; says whether it stood.
pub fn release(slot: &mut Option<Stored>, claim: &Claim) -> bool {
    let stood = matches!(slot, Some(Stored::Claimed { claim: found, .. }) if found == claim);
    if stood {
        *slot = None;
    }
    stood
}

/// Compare-and-set.
pub fn swap(slot: &mut Option<Stored>, now: Time, expected: &Expected, new: &NewState) -> Swapped {
    let current = current(slot, now);
    let holds = match (current, expected) {
        (None, Expected::Absent) => true,
        (Some(Stored::Claimed { claim, .. }), Expected::Claimed(expected)) => claim == expected,
        (Some(Stored::Rejecting { payload, .. }), Expected::Rejecting(expected)) => payload == expected,
        (Some(Stored::Rejected { payload, .. }), Expected::Rejected(expected)) => payload == expected,
        (None | Some(_), Expected::Absent | Expected::Claimed(_) | Expected::Rejecting(_) | Expected::Rejected(_)) => {
            false
        }
    };
    if !holds {
        return Swapped::No(current.map(|stored| stored.state(now)));
    }
    *slot = match new {
        NewState::Claimed(claim) => {
            Some(Stored::Claimed { claim: claim.clone(), payload: PayloadHash::UNKNOWN, at: now })
        }
        NewState::Done { payload, window } => Some(Stored::Done { payload: *payload, until: now + *window }),
        NewState::Rejecting { payload, rejection } => {
            Some(Stored::Rejecting { payload: *payload, rejection: rejection.clone() })
        }
        NewState::Rejected { payload, window } => Some(Stored::Rejected { payload: *payload, until: now + *window }),
    };
    Swapped::Yes
}

/// Writes what the tables say, as of `asked`: a claim or a refusal beside it is one that was rolled back. What says the same
/// already keeps its time, and its payload where it knows more. A row is final, and no dead letter takes its place; nor that of
/// a claim since `asked`, which was made by one who knew of it.
pub fn restore(slot: &mut Option<Stored>, now: Time, restored: Restored, window: Duration, asked: Time) {
    let same = |stands: PayloadHash, new: PayloadHash| {
        stands == new || (new.is_unknown() && stands.redrives() >= new.redrives())
    };
    let new = match (current(slot, now), restored) {
        (Some(Stored::Done { payload: stands, .. }), Restored::Done { payload }) if same(*stands, payload) => return,
        (Some(Stored::Rejected { payload: stands, .. }), Restored::Rejected { payload }) if same(*stands, payload) => {
            return;
        }
        (Some(Stored::Done { .. }), Restored::Rejected { .. }) => return,
        (Some(Stored::Claimed { at, .. }), Restored::Rejected { .. }) if *at > asked => return,
        (_, Restored::Done { payload }) => Stored::Done { payload, until: now + window },
        (_, Restored::Rejected { payload }) => Stored::Rejected { payload, until: now + window },
    };
    *slot = Some(new);
}
