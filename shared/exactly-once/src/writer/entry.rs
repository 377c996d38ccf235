use event::Rejection;

use crate::{CallId, Claim, DeliveryId, Expected, PayloadHash, Time, Verdict};

/// One event that the writer has in hand, and the deliveries that wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) payload: PayloadHash,
    pub(super) size: usize,
    pub(super) schema: u32,
    /// The most rows that its request may have: half of one that was refused as a whole, to find the row at fault.
    pub(super) most: usize,
    pub(super) verdict: Verdict,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) phase: Phase,
    /// When the phase wants to go on by itself.
    pub(super) timer: Option<Time>,
    /// How often the claim of someone else was looked at.
    pub(super) polls: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Delivery {
    pub(super) id: DeliveryId,
    pub(super) payload: PayloadHash,
    pub(super) until: Time,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Waits for the next request; `instead_of` is a claim whose fence said that it holds nothing.
    Queued { instead_of: Option<Claim> },
    /// In the request at hand.
    Batched,
    /// Someone else's; looked at again when the timer fires.
    Held,
    /// Waits for the fence of the claim's stream. `payload` is what the claim says; `own`: it is known to stand for a request of
    /// ours.
    Fencing { claim: Claim, payload: PayloadHash, own: bool },
    /// Its row stands, as a fence said; the key is being told so, and that the row says `payload`.
    Marking { call: Option<CallId>, claim: Claim, payload: PayloadHash, failures: u32 },
    /// It was a dead letter and was redriven since; the key is being told to say `claim` in place of what `stands`.
    Reopening { call: Option<CallId>, stands: Expected, claim: Claim, failures: u32 },
    /// On its way to a dead letter.
    Rejecting(Step),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The key is being told that there will be no row.
    Marking { call: Option<CallId>, expected: Expected, rejection: Rejection, failures: u32 },
    /// The dead letter is being written.
    Writing,
    /// The key is being told that the dead letter stands.
    Closing { call: Option<CallId>, failures: u32 },
}

/// How an event came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landed {
    /// As a row of ours.
    Written,
    /// As a row that stood already.
    Found,
    /// As a dead letter that stood already.
    FoundDeadLetter,
    /// As a dead letter of ours.
    DeadLettered,
}

impl Entry {
    pub(super) fn awaits(&self, stream: &str) -> bool {
        matches!(&self.phase, Phase::Fencing { claim, .. } if *claim.write_stream == *stream)
    }

    pub(super) fn swaps_by(&self, by: CallId) -> bool {
        match &self.phase {
            Phase::Marking { call, .. }
            | Phase::Reopening { call, .. }
            | Phase::Rejecting(Step::Marking { call, .. } | Step::Closing { call, .. }) => *call == Some(by),
            Phase::Rejecting(Step::Writing)
            | Phase::Queued { .. }
            | Phase::Batched
            | Phase::Held
            | Phase::Fencing { .. } => false,
        }
    }
}
