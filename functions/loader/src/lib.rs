//! The loader: a push delivery becomes one row or one dead letter.
//!
//! Nothing is acked before the row, or the dead letter, is known to stand. What happens between a claim and its commit is
//! decided by [`exactly_once::Writer`]; here it is driven: one task for each table owns the machine, the write stream and
//! the rows, and a push that hangs up takes nothing back.

mod at_least_once;
mod calls;
mod config;
mod dead_letters;
mod error;
mod fence;
mod generation;
mod janitor;
mod ledger_health;
mod loader;
pub mod metrics;
mod push;
mod quota;
mod recovery;
mod row;
mod stream;
mod table;
mod upsert;
mod version;
mod writer;

pub use config::{Config, LedgerConfig};
pub use error::{LoaderError, StartError, TableFault};
pub use loader::{Loader, router};
