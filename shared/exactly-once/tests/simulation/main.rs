//! Two loaders, a ledger, BigQuery's write streams and Pub/Sub in one deterministic world of lost replies, late requests,
//! crashes, suspicion, redelivery, publisher duplicates, refused rows and dead letters that are published again: every acked
//! event is one row or one open dead letter.
//!
//! `PIPAS_SIMULATION_SEEDS` says how many worlds are run, `PIPAS_SIMULATION_SEED` runs one again.

mod services;
mod world;

use world::{Weakness, World};

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn every_acked_event_is_one_row_or_one_dead_letter() {
    let seeds = match variable("PIPAS_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("PIPAS_SIMULATION_SEEDS").unwrap_or(5_000),
    };
    let mut seen = world::Seen::default();
    for seed in seeds {
        match World::new(seed, Weakness::None).run() {
            Ok(run) => seen.add(&run),
            Err(fault) => panic!("seed {seed}: {fault}"),
        }
    }
    // A run in which nothing went wrong proves nothing.
    if variable("PIPAS_SIMULATION_SEED").is_none() {
        assert!(seen.has_everything(), "{seen:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    let runs = [0; 2].map(|_| World::new(7, Weakness::None).run());
    assert_eq!(runs[0], runs[1]);
}

/// The check can fail: each weakening of what the protocol rests on is found.
#[test]
fn weakened_worlds_are_caught() {
    for weakness in [
        Weakness::FenceLeaks,
        Weakness::FenceSaysNoRows,
        Weakness::FenceSaysAllRows,
        Weakness::SwapsDoNotCompare,
        Weakness::LedgerForgets,
        Weakness::SuspectsWithoutFence,
        Weakness::NumbersForgotten,
        Weakness::PayloadsForgotten,
    ] {
        let caught = (0..3_000).find_map(|seed| World::new(seed, weakness).run().err());
        assert!(caught.is_some(), "{weakness:?} was not caught");
    }
}
