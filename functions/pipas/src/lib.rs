//! The command line of Pipas: `up` runs every function in one process against the local cloud; the other commands find
//! the running instance through its data directory.

mod account;
mod cell;
mod cli;
mod conversations;
mod counters;
mod demo;
mod instance;
mod post;
mod provision;
mod query;
mod send;
mod status;
mod up;
mod warehouse;

pub use cli::{Cli, run};
pub use conversations::{Conversations, Line};
pub use instance::Endpoints;
pub use provision::provision;
