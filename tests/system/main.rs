//! Whole-system tests: the real binaries, over the real wire.

mod conversations;
mod edges;
mod emulator;
mod exactly_once;
mod foreign_clients;
mod refusals;
mod up;
mod upsert;
