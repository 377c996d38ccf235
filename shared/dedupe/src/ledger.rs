use std::time::Duration;

use exactly_once::{Claim, Claimed, EventKey, Expected, NewState, PayloadHash, Settled, State, Swapped, Want};

/// Where claims are kept. Each key changes atomically; a batch does not, and need not.
///
/// An error means that nobody knows whether the call took place, or will: every call may be repeated, and repeating one that
/// took place changes nothing.
///
/// A key that is claimed or being rejected is kept until it is decided. A key that is done or rejected is kept for the
/// window it was given, then forgotten: its event, coming once more, is a new one.
#[async_trait::async_trait]
pub trait Ledger: Send + Sync {
    /// Claims each key that is free, that holds this very claim already, or that holds the claim which the want says
    /// to take over. Any other key is left as it is. One result for each want, in their order.
    async fn claim(&self, wants: &[Want], claim: &Claim) -> Result<Vec<Claimed>, LedgerError>;

    /// Marks rows as done for `window`, whatever their keys say: a committed row is a fact. Rows that were done already keep
    /// their time. `claim` is the request that the rows were in; a key that contradicts it is reported, and done too.
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
    async fn swap(&self, key: &EventKey, expected: &Expected, new: &NewState) -> Result<Swapped, LedgerError>;

    /// What stands at each key.
    async fn read(&self, keys: &[EventKey]) -> Result<Vec<Option<State>>, LedgerError>;

    /// Whether the ledger answers.
    async fn ping(&self) -> Result<(), LedgerError>;
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
