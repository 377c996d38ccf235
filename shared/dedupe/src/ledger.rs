use std::time::Duration;

use exactly_once::{
    Claim, Claimed, EventKey, Expected, NewState, PayloadHash, Restored, Settled, State, Swapped, Want,
};

use crate::{Meter, Metered, Survey};

/// Where claims are kept. Each key changes atomically; a batch does not, and need not.
///
/// An error means that nobody knows whether the call took place, or will: every call may be repeated, and repeating one that
/// took place changes nothing. An [`LedgerError::Epoch`] too says nothing of the keys that were not the first.
///
/// A key that is claimed or being rejected is kept until it is decided. A key that is done or rejected is kept for the
/// window it was given, and for a quarter of it at most on top; then it is forgotten: its event, coming once more, is a new one.
///
/// A server may come back without the last of its writes, or without any. Where that must not go unnoticed, claims and swaps
/// carry the `generation` that the ledger was adopted for, and are refused by a server that was not ([`LedgerError::Epoch`]);
/// 0 asks for no such guard. [`Ledger::survey`], [`Ledger::restore`] and [`Ledger::adopt`] make it whole again.
#[async_trait::async_trait]
pub trait Ledger: Send + Sync {
    /// Claims each key that is free, that holds this very claim already, or that holds the claim which the want says
    /// to take over. Any other key is left as it is. One result for each want, in their order.
    async fn claim(&self, wants: &[Want], claim: &Claim, generation: u64) -> Result<Vec<Claimed>, LedgerError>;

    /// Marks rows as done for `window`, whatever their keys say: a committed row is a fact, in every generation. Rows that
    /// were done already keep their time. `claim` is the request that the rows were in; a key that contradicts it is reported,
    /// and done too.
    async fn settle(
        &self,
        rows: &[(EventKey, PayloadHash)],
        claim: &Claim,
        window: Duration,
    ) -> Result<Vec<Settled>, LedgerError>;

    /// Removes exactly this claim from each key that holds it. Allowed only where nothing was ever sent for the claim's
    /// request, or its stream was fenced before it held the request.
    async fn release(&self, keys: &[EventKey], claim: &Claim) -> Result<(), LedgerError>;

    /// Puts `new` where `expected` stands; else leaves the key as it is, and says what stands there.
    async fn swap(
        &self,
        key: &EventKey,
        expected: &Expected,
        new: &NewState,
        generation: u64,
    ) -> Result<Swapped, LedgerError>;

    /// What stands at each key.
    async fn read(&self, keys: &[EventKey]) -> Result<Vec<Option<State>>, LedgerError>;

    /// Whether the ledger answers.
    async fn ping(&self) -> Result<(), LedgerError>;

    /// Which server it is, what it was adopted for, and until when its data reaches.
    async fn survey(&self) -> Result<Survey, LedgerError>;

    /// Declares the ledger's data complete for `generation`, if it is still the server of this `identity`. False where it is
    /// not, where a higher generation was adopted, or where this generation was adopted of another server, whose claims
    /// may be missing here. May be repeated.
    async fn adopt(&self, identity: &str, generation: u64) -> Result<bool, LedgerError>;

    /// Writes what the tables said of events after the `survey`, for `window`, in place of what older claims and refusals say.
    /// What says the same already keeps its time; a row stays a row, and a claim since the survey stays. Each key at most once.
    /// Refused ([`LedgerError::Epoch`]) by another server than the surveyed: what one was told is not known to the other.
    async fn restore(
        &self,
        survey: &Survey,
        entries: &[(EventKey, Restored)],
        window: Duration,
    ) -> Result<(), LedgerError>;

    /// The events that were claimed at least so long ago and are not decided: their owner may be dead, and their deliveries
    /// may have stopped to come. Each with its claim, and with what it says there.
    async fn undecided(&self, age: Duration) -> Result<Vec<(EventKey, Claim, PayloadHash)>, LedgerError>;

    /// Adds to what all who share the ledger count, and says how much that makes. One answer for each meter, in their order.
    /// Unlike the other calls this one counts again when it is repeated. Periods are those of the caller's clock, and a count
    /// is forgotten when the period after its own is over.
    async fn meter(&self, meters: &[Meter<'_>]) -> Result<Vec<Metered>, LedgerError>;

    /// Notes that the ledger was written to now, so that a later [`Ledger::survey`] tells how far its data reaches. Refused
    /// ([`LedgerError::Epoch`]) by a server that was not adopted: there the last note says where the data was cut.
    async fn beat(&self) -> Result<(), LedgerError>;
}

/// Why a ledger gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The server cannot be reached, or did not answer in time.
    #[error("the claim ledger does not answer")]
    Unreachable(#[source] redis::RedisError),
    /// The server answered with an error: it is full, read-only, or refuses us.
    #[error("the claim ledger refused a call")]
    Refused(#[source] redis::RedisError),
    /// The server's URL or its authority is none that a connection can be made with.
    #[error("the claim ledger cannot be connected to: {detail}")]
    Unusable {
        /// What is wrong.
        detail: String,
    },
    /// The server was not adopted for the generation of the call: it may have lost claims, or the generation is over.
    #[error("the claim ledger is not the one that was adopted for this generation: it may have lost claims")]
    Epoch,
    /// The server does not say which it is, so that nobody could tell when it has lost claims.
    #[error(
        "the claim ledger's server shows neither master_replid nor run_id in INFO: a loss of claims would go unnoticed"
    )]
    Unidentified,
    /// A key's value is none that a ledger writes.
    #[error("the claim ledger holds {detail}")]
    Corrupt {
        /// What was found.
        detail: String,
    },
    /// The journal could not be written.
    #[cfg(feature = "journal")]
    #[error(transparent)]
    Journal(#[from] crate::JournalError),
}
