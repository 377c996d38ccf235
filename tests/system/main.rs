//! Whole-system tests: the real binaries, over the real wire.

mod compactor;
mod conversations;
mod edges;
mod emulator;
mod exactly_once;
mod fence;
mod foreign_clients;
mod loader;
mod refusals;
mod shutdown;
mod up;
