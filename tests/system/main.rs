//! Whole-system tests: the real binaries, over the real wire.

mod archive;
mod audit;
mod chaos;
mod compactor;
mod conversations;
mod dead_letters;
mod edges;
mod emulator;
mod exactly_once;
mod feeds;
mod fence;
mod foreign_clients;
mod foreign_server;
mod ledger;
mod loader;
mod metrics;
mod probe;
mod refusals;
mod replay;
mod rootfs;
mod rules;
mod shutdown;
mod smoke;
mod telemetry;
mod up;
mod upsert;
