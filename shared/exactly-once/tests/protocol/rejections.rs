//! Rows that the table will never take, and ids that were used twice.

use exactly_once::{Answer, Claimed, Expected, NewState, PayloadHash, Retry, State, Swapped, Verdict};

use crate::bench::{Bench, OTHER, claim, key, payload, rejection};

fn reject(bench: &mut Bench, event: u8) {
    bench.offer_with(event, payload(event), 0, Verdict::Reject(rejection()));
}

#[test]
fn the_key_says_so_before_the_dead_letter_and_after_it() {
    let mut bench = Bench::open();
    reject(&mut bench, 1);
    let (expected, new) = bench.swapped(Swapped::Yes);
    assert_eq!(expected, Expected::Absent);
    assert!(matches!(new, NewState::Rejecting { .. }));
    assert_eq!(bench.dead_letter(true), key(1));
    let (expected, new) = bench.swapped(Swapped::Yes);
    assert_eq!(expected, Expected::Rejecting(payload(1)));
    assert!(matches!(new, NewState::Rejected { .. }));
    assert_eq!(bench.answer(), Answer::DeadLettered);
    bench.nothing();
}

#[test]
fn a_rejected_event_that_is_a_row_stays_one() {
    let mut bench = Bench::open();
    reject(&mut bench, 1);
    bench.swapped(Swapped::No(Some(State::Done { payload: payload(1) })));
    assert_eq!(bench.answer(), Answer::Duplicate);
}

#[test]
fn a_rejected_event_in_someones_hands_is_waited_for_and_then_decided() {
    let mut bench = Bench::open();
    reject(&mut bench, 1);
    let young =
        State::Claimed { claim: claim(OTHER, "x", 3), payload: payload(1), age: std::time::Duration::from_secs(1) };
    bench.swapped(Swapped::No(Some(young)));
    bench.nothing();
    bench.wake();
    let old =
        State::Claimed { claim: claim(OTHER, "x", 3), payload: payload(1), age: std::time::Duration::from_secs(90) };
    bench.swapped(Swapped::No(Some(old)));
    assert!(!bench.fenced(3));
    let (expected, _) = bench.swapped(Swapped::Yes);
    assert_eq!(expected, Expected::Claimed(claim(OTHER, "x", 3)));
    bench.dead_letter(true);
}

#[test]
fn whoever_meets_an_unfinished_rejection_finishes_it() {
    let mut bench = Bench::open();
    bench.offer(1);
    bench.claimed(vec![Claimed::Found(State::Rejecting { payload: payload(1), rejection: rejection() })]);
    assert_eq!(bench.dead_letter(true), key(1));
    bench.swapped(Swapped::Yes);
    assert_eq!(bench.answer(), Answer::DeadLettered);
}

#[test]
fn a_dead_letter_that_is_not_written_is_not_promised() {
    let mut bench = Bench::open();
    reject(&mut bench, 1);
    bench.swapped(Swapped::Yes);
    bench.dead_letter(false);
    assert_eq!(bench.answer(), Answer::Retry(Retry::DeadLetterFailed));
    assert!(bench.writer.is_empty());
}

#[test]
fn a_dead_letter_that_stands_is_answered_though_its_key_was_not_told() {
    let mut bench = Bench::open();
    reject(&mut bench, 1);
    bench.swapped(Swapped::Yes);
    bench.dead_letter(true);
    for _ in 0..4 {
        let (call, key, ..) = bench.swap();
        bench.feed(exactly_once::Input::SwapUnknown { call, key });
        bench.nothing();
        bench.wake();
    }
    let (call, key, ..) = bench.swap();
    bench.feed(exactly_once::Input::SwapUnknown { call, key });
    assert_eq!(bench.answer(), Answer::DeadLettered);
}

#[test]
fn an_id_used_for_something_else_is_a_conflict() {
    let other = PayloadHash::from_bits(1_000);
    for found in [State::Done { payload: other }, State::Rejected { payload: other }] {
        let mut bench = Bench::open();
        bench.offer(1);
        bench.claimed(vec![Claimed::Found(found)]);
        assert_eq!(bench.answer(), Answer::Conflict);
    }
    // Of two that wait together, each gets its own answer.
    let mut bench = Bench::open();
    bench.offer(1);
    bench.offer_with(1, other, 0, Verdict::Row);
    bench.offer(1);
    let sent = bench.won();
    bench.reply(sent.call, exactly_once::AppendReply::AlreadyExists);
    assert_eq!(
        [bench.answer(), bench.answer(), bench.answer()],
        [Answer::Written, Answer::Conflict, Answer::Duplicate]
    );
}

#[test]
fn another_events_unfinished_rejection_is_left_to_its_own_delivery() {
    let other = PayloadHash::from_bits(1_000);
    let mut bench = Bench::open();
    bench.offer(1);
    bench.offer_with(1, other, 0, Verdict::Row);
    bench.claimed(vec![Claimed::Found(State::Rejecting { payload: other, rejection: rejection() })]);
    assert_eq!([bench.answer(), bench.answer()], [Answer::Conflict, Answer::Retry(Retry::Undecided)]);
}

#[test]
fn a_bad_row_whose_key_was_taken_over_leaves_its_request_too() {
    let mut bench = Bench::open_lasting();
    bench.offer(1);
    let sent = bench.won();
    bench.bad(sent.call, &[0]);
    let taken = State::Claimed { claim: claim(OTHER, "y", 0), payload: payload(1), age: std::time::Duration::ZERO };
    bench.swapped(Swapped::No(Some(taken)));
    bench.nothing();
    // The request dissolved, and its offset is free.
    bench.offer(2);
    assert_eq!(bench.won().offset, 1);
}
