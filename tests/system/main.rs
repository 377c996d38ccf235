//! Whole-system tests: the real binaries, over the real wire.

mod audit;
mod chaos;
mod conversations;
mod edges;
mod emulator;
mod exactly_once;
mod foreign_clients;
mod foreign_server;
mod probe;
mod refusals;
mod up;
mod upsert;
