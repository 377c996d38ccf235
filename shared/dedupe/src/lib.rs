//! The claim ledger: who writes an event, whether it is a row, whether it was refused. One in Redis for any number of
//! loaders, one in the process for a single one; both keep [`exactly_once::rules`].

pub mod capacity;
mod in_process;
#[cfg(feature = "journal")]
mod journal;
mod ledger;
mod meter;
mod redis;
mod survey;
mod value;

pub use self::redis::{RedisLedger, RedisSettings};
pub use exactly_once::{
    Claim, Claimed, EventKey, Expected, NewState, Owner, PayloadHash, Restored, Settled, State, Swapped, Want,
};
pub use in_process::InProcessLedger;
#[cfg(feature = "journal")]
pub use journal::JournalError;
pub use ledger::{Ledger, LedgerError};
pub use meter::{Meter, Metered};
pub use survey::{Adopted, Survey};
