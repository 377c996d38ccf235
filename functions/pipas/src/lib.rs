//! The command line of Pipas: `up` runs every function in one process against the local cloud; the other commands find
//! the running instance through its data directory.

mod account;
pub mod audit;
mod cell;
mod check;
mod cli;
mod conversations;
mod counters;
mod dead_letters;
mod demo;
mod drill;
mod feed;
mod instance;
mod mask_key;
mod post;
mod probe;
mod provision;
mod query;
mod replay;
mod samples;
mod schema;
mod send;
mod span;
mod status;
mod up;
mod warehouse;

pub use cli::{Cli, run};
pub use conversations::{Conversations, Line};
pub use instance::Endpoints;
pub use provision::provision;
