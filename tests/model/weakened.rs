//! The check can fail: each thing taken away from the protocol breaks a promise, and the checker finds how.

use crate::{
    action::{ACKED_IS_SOMEWHERE, NEVER_BOTH, NEVER_STUCK, NEVER_TWO_ROWS},
    check::breaks,
    scenario::{Faults, Scenario, Weakness},
};

const CALM: Faults = Scenario::NOTHING.faults;
const ONE: Scenario = Scenario::NOTHING;
const TWO: Scenario = Scenario { messages: &[0, 1], ..Scenario::NOTHING };
const DOUBLED: &[&str] = &[NEVER_TWO_ROWS];
const LOST: &[&str] = &[ACKED_IS_SOMEWHERE];
const BOTH: &[&str] = &[NEVER_BOTH];

/// The service answers a fence with no rows, and finalizes nothing.
#[test]
fn no_fence() {
    let faults = Faults { crashes: 1, ..CALM };
    breaks("no fence", Scenario { weakness: Weakness::FenceSaysNothing, faults, ..ONE }, DOUBLED);
}

/// The service answers a fence with more rows than any claim asks for, and finalizes nothing.
#[test]
fn no_fence_and_all_assumed() {
    let faults = Faults { crashes: 1, ..CALM };
    breaks("no fence, all assumed", Scenario { weakness: Weakness::FenceSaysEverything, faults, ..ONE }, LOST);
}

/// The service answers a fence with the stream's length, and does not finalize it: an append on its way still lands.
#[test]
fn length_read_without_finalizing() {
    let faults = Faults { crashes: 1, ..CALM };
    breaks("length read, not finalized", Scenario { weakness: Weakness::FenceOnlyReads, faults, ..ONE }, DOUBLED);
}

/// The ledger writes a claim that takes over whatever stands there: of two that saw the dead one's claim, both win.
#[test]
fn take_over_without_compare_and_set() {
    let faults = Faults { crashes: 1, suspicions: 1, redeliveries: 1, lost: 1, ..CALM };
    breaks(
        "take-over without compare",
        Scenario { weakness: Weakness::TakeOverWithoutCompare, faults, ..ONE },
        DOUBLED,
    );
}

/// The driver says of an append without a reply that its first row was refused: the rest goes to the same offset.
#[test]
fn offset_reused_after_an_ambiguous_batch() {
    let faults = Faults { lost: 1, ..CALM };
    let found = &[ACKED_IS_SOMEWHERE, NEVER_BOTH];
    breaks("ambiguous batch, offset reused", Scenario { weakness: Weakness::AmbiguousReused, faults, ..TWO }, found);
}

/// The ledger says yes to the swap that takes a refused row's claim away, and leaves the claim: the rest goes to the same
/// offset, and the fence finds rows there.
#[test]
fn offset_reused_after_a_rejected_batch() {
    let faults = Faults { crashes: 1, ..CALM };
    let scenario = Scenario { weakness: Weakness::RefusedKeepsClaim, refused: &[0], faults, ..TWO };
    breaks("rejected batch, offset reused", scenario, LOST);
}

/// The swap that takes the refused row's claim away is forgotten in a failover, and the fence finds rows at the offset.
#[test]
#[ignore = "a million states, most of a minute: cargo test -p model -- --ignored"]
fn refused_offset_reused_over_a_ledger_that_forgets() {
    let faults = Faults { losses: 1, recoveries: 1, crashes: 1, ..CALM };
    let scenario = Scenario { weakness: Weakness::RefusedOffsetReused, refused: &[0], faults, ..TWO };
    breaks("refused offset reused, failover", scenario, LOST);
}

/// Pub/Sub takes a delivery for acked when it is handed out.
#[test]
fn ack_before_append() {
    breaks("ack before append", Scenario { weakness: Weakness::AckFirst, ..ONE }, LOST);
}

/// The ledger writes no claim, and says that it stands, unless the event is settled.
#[test]
fn done_only_after_append() {
    let faults = Faults { redeliveries: 1, ..CALM };
    breaks("no claim first", Scenario { weakness: Weakness::NoClaim, faults, ..ONE }, DOUBLED);
}

/// The ledger fails over, and its identity stays the same.
#[test]
fn redis_loss_undetected() {
    let faults = Faults { losses: 1, crashes: 1, ..CALM };
    breaks("loss undetected", Scenario { weakness: Weakness::LossUndetected, faults, ..ONE }, DOUBLED);
}

/// Recovery finalizes no stream.
#[test]
fn redis_loss_not_fenced() {
    let faults = Faults { losses: 1, recoveries: 1, crashes: 1, ..CALM };
    breaks("loss not fenced", Scenario { weakness: Weakness::LossUnfenced, faults, ..ONE }, DOUBLED);
}

/// Recovery tells the ledger of no row.
#[test]
fn redis_loss_not_rehydrated() {
    let faults = Faults { losses: 1, recoveries: 1, crashes: 1, ..CALM };
    breaks("loss not rehydrated", Scenario { weakness: Weakness::LossNotRestored, faults, ..ONE }, DOUBLED);
}

/// Recovery finalizes the streams that the new primary's claims name; the old primary still gives claims.
#[test]
fn stale_primary_without_registry() {
    let faults = Faults { losses: 1, recoveries: 1, redeliveries: 1, stale_answers: 2, ..CALM };
    let scenario = Scenario { weakness: Weakness::NoRegistry, faults, ..ONE };
    breaks("stale primary, no registry", scenario, DOUBLED);
}

/// Recovery tells the ledger of the rows without asking which primary listens: the old one may, and the new one is adopted.
#[test]
fn restored_to_the_stale_primary() {
    let faults = Faults { losses: 1, recoveries: 1, redeliveries: 1, stale_answers: 1, ..CALM };
    breaks("restored elsewhere", Scenario { weakness: Weakness::RestoreUnguarded, faults, ..ONE }, DOUBLED);
}

/// A stream is registered, and used without reading the generation again: recovery may have listed the streams before.
#[test]
fn generation_not_read_again() {
    let faults = Faults { losses: 1, recoveries: 1, redeliveries: 1, stale_answers: 2, ..CALM };
    let scenario = Scenario { weakness: Weakness::RegisteredUnread, faults, ..ONE };
    breaks("generation not read again", scenario, DOUBLED);
}

/// BigQuery takes an append after it finalized the stream.
#[test]
fn finalize_overtaken_by_an_append() {
    let faults = Faults { crashes: 1, ..CALM };
    breaks("finalize overtaken", Scenario { weakness: Weakness::FinalizeOvertaken, faults, ..ONE }, DOUBLED);
}

/// BigQuery appends whatever comes at the stream's end.
#[test]
fn append_without_offset() {
    let faults = Faults { lost: 1, ..CALM };
    breaks("no offset", Scenario { weakness: Weakness::NoOffset, faults, ..ONE }, DOUBLED);
}

/// Each message has a key of its own: a publisher's duplicate is another event.
#[test]
fn keys_by_message_id() {
    breaks("keys by message id", Scenario { weakness: Weakness::KeysByMessageId, messages: &[0, 0], ..ONE }, DOUBLED);
}

/// The ledger keeps with each claim the row's own offset, as it would be if nobody left the request.
#[test]
fn offsets_predicted_when_claimed() {
    let faults = Faults { crashes: 1, redeliveries: 1, ..CALM };
    breaks("offsets predicted", Scenario { weakness: Weakness::OffsetsOfRows, faults, ..TWO }, DOUBLED);
}

/// The driver sends an append without a reply once more by itself, and the machine does not hear of it.
#[test]
fn refused_batch_changed_while_a_copy_flies() {
    let faults = Faults { lost: 1, lifts: 1, ..CALM };
    let scenario = Scenario { weakness: Weakness::RefusedWhileCopyFlies, refused: &[0], faults, ..TWO };
    breaks("refused while a copy flies", scenario, &[ACKED_IS_SOMEWHERE, NEVER_BOTH]);
}

/// Of a stream that BigQuery dropped the service says that it has no rows.
#[test]
fn dropped_stream_taken_for_empty() {
    let faults = Faults { crashes: 1, dropped_streams: 1, ..CALM };
    breaks("dropped, taken for empty", Scenario { weakness: Weakness::DroppedMeansNothing, faults, ..ONE }, DOUBLED);
}

/// Of a stream that BigQuery dropped the service says that it has more rows than any claim asks for.
#[test]
fn dropped_stream_taken_for_full() {
    let faults = Faults { crashes: 1, dropped_streams: 1, ..CALM };
    breaks("dropped, taken for full", Scenario { weakness: Weakness::DroppedMeansEverything, faults, ..ONE }, LOST);
}

/// The driver writes the dead letter when the machine asks for the swap that comes before it.
#[test]
fn dead_letter_before_the_compare_and_set() {
    let faults = Faults { suspicions: 1, lifts: 1, redeliveries: 1, ..CALM };
    let scenario = Scenario { weakness: Weakness::DeadLetterFirst, refused: &[0], faults, ..ONE };
    breaks("dead letter first", scenario, BOTH);
}

/// Recovery leaves the streams of dead letters open.
#[test]
fn dead_letters_not_fenced() {
    let faults = Faults { losses: 1, recoveries: 1, lifts: 1, crashes: 1, ..CALM };
    let scenario = Scenario { weakness: Weakness::DeadLettersUnfenced, refused: &[0], faults, ..ONE };
    breaks("dead letters not fenced", scenario, BOTH);
}

/// The driver says of the keys that it does not know of that others have them.
#[test]
fn unknown_claim_left_out() {
    let faults = Faults { lost: 1, ..CALM };
    breaks("unknown claim left out", Scenario { weakness: Weakness::UnknownClaimLeftOut, faults, ..TWO }, LOST);
}

/// The ledger calls every claim young: what a dead owner claimed is never decided. The check of liveness must see it.
#[test]
fn the_dead_are_never_suspected() {
    let faults = Faults { crashes: 1, ..CALM };
    let scenario = Scenario { weakness: Weakness::NeverSuspects, heal_one_in: 1, faults, ..ONE };
    breaks("the dead are never suspected", scenario, &[NEVER_STUCK]);
}
