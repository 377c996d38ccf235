//! Whole-system tests: the real binaries, over the real wire.

mod audit;
mod chaos;
mod compactor;
mod conversations;
mod edges;
mod emulator;
mod exactly_once;
mod fence;
mod foreign_clients;
mod foreign_server;
mod ledger;
mod loader;
mod probe;
mod refusals;
mod shutdown;
mod terraform;
mod up;
mod upsert;
