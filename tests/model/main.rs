//! The protocol explored by exhaustion: the real writer and the real rules of the ledger, and around them every order in which
//! calls, replies, deliveries and faults can come. `docs/model.md` says what is modelled and what is not.
//!
//! `PIPAS_MODEL=full` takes larger bounds (minutes to hours; run it with `--release`).

mod action;
mod check;
mod healing;
mod holds;
mod ledger;
mod loader;
mod recovery;
mod scenario;
mod services;
mod state;
mod weakened;
