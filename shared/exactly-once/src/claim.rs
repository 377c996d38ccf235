use std::{fmt, sync::Arc, time::Duration};

use event::Rejection;

use crate::{EventKey, PayloadHash};

/// The unguessable name of one incarnation of a loader: no other process, and no later start of the same one, has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner([u8; 16]);

impl Owner {
    /// A new owner.
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().into_bytes())
    }

    /// The owner with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The owner's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({self})")
    }
}

/// Who writes an event, and where: the request at `base_offset` of `write_stream`. It names the request and not the row,
/// so that events can leave a request before it is sent and nothing shifts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The incarnation that alone appends to the write stream.
    pub owner: Owner,
    /// The write stream's short id: the last part of its name.
    pub write_stream: Arc<str>,
    /// The offset of the request's first row.
    pub base_offset: i64,
}

/// What the write streams of claims begin with under which nothing is ever sent.
const REOPENED: &str = "reopened-";

impl Claim {
    /// A claim for no request: it keeps a key that said that its event is a dead letter until the event is claimed anew. The key
    /// must not become free for that: an old claim call that nobody waits for any more could take it then, for a request
    /// that went without the event. `number` must be another for each by the same owner.
    pub fn reopening(owner: Owner, number: u64) -> Self {
        Self { owner, write_stream: format!("{REOPENED}{owner}-{number}").into(), base_offset: 0 }
    }
}

/// Whether `write_stream` is of a claim for no request: it has no rows, and never will.
pub fn is_reopening(write_stream: &str) -> bool {
    write_stream.starts_with(REOPENED)
}

/// What a ledger knows of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    /// Someone is writing it. Never expires: only the fence of its stream decides it.
    Claimed {
        /// Who, and where.
        claim: Claim,
        /// What the event says in the claim's request; [`PayloadHash::UNKNOWN`] where the claim does not tell.
        payload: PayloadHash,
        /// How long ago, by the ledger's clock.
        age: Duration,
    },
    /// It is a row.
    Done {
        /// What the row said.
        payload: PayloadHash,
    },
    /// It will never be a row; its dead letter may not stand yet.
    Rejecting {
        /// What the event said.
        payload: PayloadHash,
        /// Why it is refused.
        rejection: Rejection,
    },
    /// It is a dead letter.
    Rejected {
        /// What the event said.
        payload: PayloadHash,
    },
}

/// One key of a claim call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Want {
    /// The event.
    pub key: EventKey,
    /// What it says. Kept beside the claim, of which it is no part: whoever finds the row by a fence knows what it says.
    pub payload: PayloadHash,
    /// The claim to take over, of a stream that was fenced before it held the claim's request; `None`: the key must be free.
    pub instead_of: Option<Claim>,
}

impl From<EventKey> for Want {
    fn from(key: EventKey) -> Self {
        Self { key, payload: PayloadHash::UNKNOWN, instead_of: None }
    }
}

/// What a claim call found at one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Claimed {
    /// The claim stands. Also where it stood already, so that a call after a lost reply is harmless.
    Won,
    /// Something else stands, and was left as it is.
    Found(State),
}

/// What a settle call found at one key. The key says done in any case: a committed row is a fact.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Settled {
    /// The claim stood, nothing stood, or the key said done already.
    Done,
    /// A state stood that cannot be beside a committed row: a bug, or a broken promise of BigQuery's.
    Contradicted(State),
}

/// What must stand for a swap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Nothing.
    Absent,
    /// Exactly this claim.
    Claimed(Claim),
    /// A rejection of this payload, not finished.
    Rejecting(PayloadHash),
    /// A dead letter of this payload.
    Rejected(PayloadHash),
}

/// What a swap puts in its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NewState {
    /// The event, which was a dead letter, is tried again: a claim for no request at all ([`Claim::reopening`]).
    Claimed(Claim),
    /// The event is a row, and is forgotten after `window`.
    Done {
        /// What the row says.
        payload: PayloadHash,
        /// How long the key is kept.
        window: Duration,
    },
    /// The event will never be a row.
    Rejecting {
        /// What the event says.
        payload: PayloadHash,
        /// Why it is refused.
        rejection: Rejection,
    },
    /// The event is a dead letter, and is forgotten after `window`.
    Rejected {
        /// What the event says.
        payload: PayloadHash,
        /// How long the key is kept.
        window: Duration,
    },
}

/// What the tables say of an event, to a ledger that lost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Restored {
    /// It is a row.
    Done {
        /// What the row says; [`PayloadHash::UNKNOWN`] where the row does not tell.
        payload: PayloadHash,
    },
    /// It is a dead letter.
    Rejected {
        /// What the event said; [`PayloadHash::UNKNOWN`] where the dead letter does not tell.
        payload: PayloadHash,
    },
}

/// What became of a swap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Swapped {
    /// The new state stands.
    Yes,
    /// Something else stood than was expected, and was left as it is.
    No(Option<State>),
}
