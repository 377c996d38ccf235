//! The protocol as it is: no promise is broken in any state. Each test has one choice of faults, in every order.

use crate::{
    check::{full, holds},
    scenario::{Faults, Scenario, Slow},
};

const CALM: Faults = Scenario::NOTHING.faults;

/// The bounds of a run, and those of a long one.
fn bounds<T>(short: T, long: T) -> T {
    if full() { long } else { short }
}

#[test]
fn a_crash_a_lost_call_and_a_suspicion() {
    let faults = Faults { crashes: 1, lost: 1, redeliveries: 1, suspicions: 1, ..CALM };
    holds(
        "crash, lost call, suspicion",
        Scenario { messages: bounds(&[0], &[0, 1]), faults, heal_one_in: 64, ..Scenario::NOTHING },
    );
}

#[test]
fn a_publishers_duplicate_and_a_redelivery() {
    let faults = Faults { crashes: 1, redeliveries: 1, suspicions: 1, lost: bounds(0, 1), ..CALM };
    holds(
        "publisher's duplicate, redelivery",
        Scenario { messages: bounds(&[0, 0], &[0, 0, 1]), faults, heal_one_in: 64, ..Scenario::NOTHING },
    );
}

#[test]
fn two_lost_calls() {
    let faults = Faults { lost: 2, redeliveries: bounds(0, 1), suspicions: bounds(0, 1), ..CALM };
    holds("two lost calls", Scenario { messages: &[0, 1], faults, heal_one_in: 64, ..Scenario::NOTHING });
}

#[test]
fn two_crashes() {
    let faults = Faults { crashes: 2, lost: bounds(0, 1), ..CALM };
    holds("two crashes", Scenario { messages: &[0, 1], faults, heal_one_in: 64, ..Scenario::NOTHING });
}

#[test]
fn three_events() {
    let faults = Faults { crashes: 1, suspicions: bounds(0, 1), ..CALM };
    holds("three events", Scenario { messages: &[0, 1, 2], faults, heal_one_in: 64, ..Scenario::NOTHING });
}

#[test]
fn a_refused_row() {
    let faults = Faults { crashes: 1, lost: 1, redeliveries: bounds(0, 1), suspicions: bounds(0, 1), ..CALM };
    holds("refused row", Scenario { messages: &[0, 1], refused: &[0], faults, heal_one_in: 64, ..Scenario::NOTHING });
}

#[test]
fn a_row_that_is_refused_for_a_while() {
    let faults = Faults { crashes: 1, lost: bounds(0, 1), redeliveries: 1, suspicions: 1, lifts: 1, ..CALM };
    holds(
        "refused for a while",
        Scenario { messages: bounds(&[0], &[0, 1]), refused: &[0], faults, heal_one_in: 64, ..Scenario::NOTHING },
    );
}

#[test]
fn a_stream_that_is_dropped() {
    let faults = Faults {
        crashes: 1,
        lost: 1,
        dropped_streams: 1,
        redeliveries: bounds(0, 1),
        suspicions: bounds(0, 1),
        ..CALM
    };
    holds("dropped stream", Scenario { messages: &[0, 1], faults, heal_one_in: 64, ..Scenario::NOTHING });
}

#[test]
fn a_sigterm() {
    let faults = Faults { stops: 1, lost: 1, suspicions: 1, crashes: bounds(0, 1), expiries: bounds(0, 1), ..CALM };
    holds("SIGTERM", Scenario { messages: &[0, 1], faults, heal_one_in: 64, ..Scenario::NOTHING });
}

#[test]
fn deliveries_that_wait_too_long() {
    let faults = Faults { expiries: 1, suspicions: 1, redeliveries: 1, lost: bounds(0, 1), ..CALM };
    holds(
        "deliveries that wait too long",
        Scenario { messages: &[0, 1], faults, heal_one_in: 64, ..Scenario::NOTHING },
    );
}

#[test]
fn a_ledger_that_fails_over() {
    let faults =
        Faults { losses: 1, recoveries: bounds(1, 2), crashes: 1, redeliveries: 1, suspicions: bounds(0, 1), ..CALM };
    holds("failover", Scenario { messages: bounds(&[0], &[0, 1]), faults, heal_one_in: 64, ..Scenario::NOTHING });
}

#[test]
fn a_ledger_that_fails_over_twice() {
    let faults = Faults { losses: 2, recoveries: bounds(2, 3), crashes: 1, redeliveries: bounds(0, 1), ..CALM };
    holds("two failovers", Scenario { messages: bounds(&[0], &[0, 1]), faults, heal_one_in: 64, ..Scenario::NOTHING });
}

#[test]
fn a_failover_with_a_refused_row() {
    let faults = Faults { losses: 1, recoveries: 1, lifts: 1, crashes: 1, redeliveries: bounds(0, 1), ..CALM };
    holds(
        "failover, refused row",
        Scenario { messages: bounds(&[0], &[0, 1]), refused: &[0], faults, heal_one_in: 64, ..Scenario::NOTHING },
    );
}

#[test]
fn a_failover_beside_a_refused_row() {
    let faults = Faults { losses: 1, recoveries: 1, crashes: bounds(0, 1), ..CALM };
    holds(
        "failover beside a refused row",
        Scenario { messages: &[0, 1], refused: &[0], faults, heal_one_in: 64, ..Scenario::NOTHING },
    );
}

#[test]
fn slow_replies() {
    let faults = Faults { crashes: 1, redeliveries: 1, suspicions: 1, lost: bounds(0, 1), ..CALM };
    holds(
        "slow replies",
        Scenario { messages: bounds(&[0], &[0, 1]), faults, slow: Slow::All, heal_one_in: 64, ..Scenario::NOTHING },
    );
}

#[test]
fn a_failover_with_a_refused_row_and_slow_replies() {
    let faults = Faults { losses: 1, recoveries: 1, lifts: 1, redeliveries: bounds(0, 1), ..CALM };
    holds(
        "failover, refused row, slow replies",
        Scenario {
            messages: bounds(&[0], &[0, 1]),
            refused: &[0],
            faults,
            slow: Slow::All,
            heal_one_in: 64,
            ..Scenario::NOTHING
        },
    );
}

/// A reply to a swap that comes when the ledger has lost the swap: once it made a row and a dead letter of one event.
#[test]
fn a_rejection_that_is_heard_of_after_a_failover() {
    let faults = Faults { losses: 1, recoveries: 1, redeliveries: 1, ..CALM };
    holds(
        "rejection heard of late",
        Scenario {
            messages: bounds(&[0], &[0, 1]),
            refused: &[0],
            refused_by: Some(0),
            faults,
            slow: Slow::Swaps,
            heal_one_in: 256,
            ..Scenario::NOTHING
        },
    );
}

#[test]
fn an_old_primary_that_still_answers() {
    let faults = Faults { losses: 1, stale_answers: bounds(1, 2), recoveries: bounds(1, 2), redeliveries: 1, ..CALM };
    holds("stale primary", Scenario { messages: bounds(&[0], &[0, 1]), faults, heal_one_in: 64, ..Scenario::NOTHING });
}
