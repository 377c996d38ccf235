use std::{sync::Arc, time::Duration};

use event::Rejection;

use crate::{Claim, Claimed, EventKey, Expected, NewState, PayloadHash, Settled, Swapped, Want};

/// A delivery that waits for its answer. The driver chooses the numbers, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(pub u64);

/// A call that waits for its reply. The machine chooses the numbers, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// The frozen bytes of one request: every send under one id carries the very same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Whether the event can be a row, as far as is known before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It was encoded.
    Row,
    /// The table will never take it.
    Reject(Rejection),
}

/// One delivery of one event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Offer {
    /// Who waits for the answer.
    pub delivery: DeliveryId,
    /// The event.
    pub key: EventKey,
    /// What it says.
    pub payload: PayloadHash,
    /// The size of its row in bytes.
    pub size: usize,
    /// The version of the schema that its row was encoded by. A request holds rows of one version.
    pub schema: u32,
    /// Whether it can be a row.
    pub verdict: Verdict,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The event is a row now.
    Written,
    /// The event was a row, or a dead letter, already.
    Duplicate,
    /// The event is a dead letter now.
    DeadLettered,
    /// The event's id belongs to another event, which said something else. The driver writes this one's dead letter.
    Conflict,
    /// Nothing is decided; the delivery must come again.
    Retry(Retry),
}

/// Why a delivery must come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Its time is over.
    Expired,
    /// Another event with its id is on its way to a dead letter, or its refusal is of an older generation of the ledger.
    Undecided,
    /// BigQuery's quota is exhausted.
    Exhausted,
    /// The writer is stopping.
    Stopping,
    /// Its dead letter could not be written.
    DeadLetterFailed,
    /// The table refused the row, and refusals are not dead-lettered here.
    Refused,
}

/// How an append ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AppendReply {
    /// The rows stand, from `offset` on where the reply said so.
    Committed {
        /// The offset of the first row.
        offset: Option<i64>,
    },
    /// Rows stand at the offset already (ALREADY_EXISTS).
    AlreadyExists,
    /// Nobody knows: ABORTED, UNAVAILABLE, CANCELLED, INTERNAL, DEADLINE_EXCEEDED, UNKNOWN, a closed connection, no reply in time.
    Unknown,
    /// Nothing was written: the quota is exhausted (RESOURCE_EXHAUSTED in the response).
    Exhausted,
    /// Nothing was written: these rows can never be.
    BadRows(Vec<BadRow>),
    /// Nothing was written: the request as a whole can never be, and no row was named.
    Refused(String),
    /// Nothing was written: the rows know columns that the table has not (SCHEMA_MISMATCH_EXTRA_FIELDS).
    SchemaLags,
    /// The stream takes no rows any more: finalized, expired, dropped. Says nothing about the rows.
    StreamClosed,
    /// The offset lies beyond the stream's end, which cannot be.
    OutOfRange,
}

/// A row that the table refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BadRow {
    /// Its place in the request.
    pub index: usize,
    /// Why.
    pub rejection: Rejection,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// A delivery came.
    Offer(Offer),
    /// Time passed.
    Tick,
    /// The write stream that was asked for exists.
    StreamCreated {
        /// Its short id.
        stream: Arc<str>,
    },
    /// No write stream could be created.
    CreateFailed,
    /// A claim call was answered: one result for each of its wants, in their order.
    Claimed {
        /// The call.
        call: CallId,
        /// What it found.
        results: Vec<Claimed>,
    },
    /// A claim call's outcome is unknown.
    ClaimUnknown {
        /// The call.
        call: CallId,
    },
    /// The ledger refused a claim or a swap because its data is of another generation. It touched nothing.
    EpochRefused {
        /// The call.
        call: CallId,
    },
    /// The ledger is whole again, and of this generation.
    Generation(u64),
    /// An append ended.
    Appended {
        /// The call.
        call: CallId,
        /// How.
        reply: AppendReply,
    },
    /// A settle call was answered: one result for each of its rows.
    Settled {
        /// The call.
        call: CallId,
        /// What it found.
        results: Vec<Settled>,
    },
    /// A settle call's outcome is unknown.
    SettleFailed {
        /// The call.
        call: CallId,
    },
    /// A swap was answered.
    Swapped {
        /// The call.
        call: CallId,
        /// Its key.
        key: EventKey,
        /// How.
        result: Swapped,
    },
    /// A swap's outcome is unknown.
    SwapUnknown {
        /// The call.
        call: CallId,
        /// Its key.
        key: EventKey,
    },
    /// The stream takes no rows any more.
    Fenced {
        /// Its short id.
        stream: Arc<str>,
        /// How many rows it holds, for ever.
        rows: i64,
    },
    /// Whether the stream takes rows is unknown.
    FenceFailed {
        /// Its short id.
        stream: Arc<str>,
    },
    /// The dead letter that was asked for stands (`true`), or may not stand (`false`).
    DeadLettered {
        /// The event.
        key: EventKey,
        /// Whether it stands.
        written: bool,
    },
    /// Take no more deliveries, bring what was begun to its end, and finalize the stream.
    Stop,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Output {
    /// Create a COMMITTED write stream. Ends in [`Input::StreamCreated`] or [`Input::CreateFailed`].
    CreateStream,
    /// Claim events. Ends in [`Input::Claimed`], [`Input::ClaimUnknown`] or [`Input::EpochRefused`].
    Claim {
        /// The call.
        call: CallId,
        /// The events.
        wants: Vec<Want>,
        /// The request that they are claimed for.
        claim: Claim,
        /// The generation that the ledger must be of.
        generation: u64,
    },
    /// Append rows at an offset. Ends in [`Input::Appended`] within 20 seconds.
    Append {
        /// The call.
        call: CallId,
        /// The request: encoded when it is first seen, then frozen.
        request: RequestId,
        /// The write stream's short id.
        stream: Arc<str>,
        /// The offset of the first row.
        offset: i64,
        /// The version of the schema that the rows were encoded by.
        schema: u32,
        /// The rows' events, in order.
        rows: Vec<EventKey>,
    },
    /// Mark committed rows. Ends in [`Input::Settled`] or [`Input::SettleFailed`].
    Settle {
        /// The call.
        call: CallId,
        /// The request that the rows were in.
        claim: Claim,
        /// The rows.
        rows: Vec<(EventKey, PayloadHash)>,
        /// How long the keys are kept.
        window: Duration,
    },
    /// Compare and set one key. Ends in [`Input::Swapped`], [`Input::SwapUnknown`] or [`Input::EpochRefused`].
    Swap {
        /// The call.
        call: CallId,
        /// The event.
        key: EventKey,
        /// What must stand.
        expected: Expected,
        /// What shall stand.
        new: NewState,
        /// The generation that the ledger must be of.
        generation: u64,
    },
    /// Finalize a stream and count its rows. Ends in [`Input::Fenced`] or [`Input::FenceFailed`].
    Fence {
        /// Its short id.
        stream: Arc<str>,
        /// Whether it is this writer's own.
        own: bool,
    },
    /// Write the event's dead letter, once however often it is asked for. Ends in [`Input::DeadLettered`].
    WriteDeadLetter {
        /// The event.
        key: EventKey,
        /// Why it is refused.
        rejection: Rejection,
    },
    /// Answer a delivery.
    Answer {
        /// The delivery.
        delivery: DeliveryId,
        /// What became of it.
        answer: Answer,
    },
    /// The event's row is not needed any more.
    Forget {
        /// The event.
        key: EventKey,
    },
    /// Tell people.
    Alarm(Alarm),
}

/// Something that cannot happen while the protocol's assumptions hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Alarm {
    /// An append was acknowledged at another offset than it named.
    OffsetMismatch {
        /// The stream.
        stream: Arc<str>,
        /// The offset that was named.
        named: i64,
        /// The offset that was acknowledged.
        acknowledged: i64,
    },
    /// BigQuery says that the offset lies beyond the stream's end.
    OffsetOutOfRange {
        /// The stream.
        stream: Arc<str>,
        /// The offset.
        offset: i64,
    },
    /// A committed row's key said something that contradicts it.
    Contradicted {
        /// The event.
        key: EventKey,
        /// What the key said.
        found: crate::State,
    },
    /// A key names a request of ours that we never made.
    UnknownOwnClaim {
        /// The event.
        key: EventKey,
        /// The claim.
        claim: Claim,
    },
}
