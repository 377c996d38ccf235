//! What a claim finds, and what follows.

use std::time::Duration;

use exactly_once::{Answer, Claimed, Expected, Input, NewState, Output, Retry, State, Swapped};

use crate::bench::{Bench, ME, OTHER, claim, held, held_with, key, payload};

#[test]
fn losers_leave_before_anything_is_sent() {
    let mut bench = Bench::open();
    bench.offer(1);
    let first = bench.won();
    bench.offer_all(2..=4);
    bench.reply(first.call, exactly_once::AppendReply::Committed { offset: Some(1) });
    bench.answer();
    bench.settled();
    let done = Claimed::Found(State::Done { payload: payload(2) });
    bench.claimed(vec![done, Claimed::Won, held(claim(OTHER, "x", 0), 1)]);
    let sent = bench.sent();
    assert_eq!((sent.offset, sent.rows), (2, vec![key(3)]));
    assert_eq!(bench.answer(), Answer::Duplicate);
    bench.nothing();
}

#[test]
fn where_all_lose_the_offset_is_free() {
    let mut bench = Bench::open();
    bench.offer(1);
    bench.claimed(vec![Claimed::Found(State::Done { payload: payload(1) })]);
    assert_eq!(bench.answer(), Answer::Duplicate);
    bench.offer(2);
    assert_eq!(bench.won().offset, 1);
}

#[test]
fn an_unknown_claim_is_asked_for_again_until_it_is_known() {
    let mut bench = Bench::open();
    bench.offer(1);
    let asked = bench.asked();
    bench.feed(Input::ClaimUnknown { call: asked.0 });
    bench.offer(2);
    for _ in 0..5 {
        bench.nothing();
        bench.wake();
        let again = bench.asked();
        assert_eq!((&again.1, &again.2), (&asked.1, &asked.2));
        bench.feed(Input::ClaimUnknown { call: again.0 });
    }
    // A reply to a call that was given up changes nothing.
    bench.feed(Input::Claimed { call: asked.0, results: vec![Claimed::Won] });
    bench.nothing();
    bench.wake();
    assert_eq!(bench.won().rows, [key(1)]);
}

#[test]
fn our_own_claim_below_our_end_is_a_row() {
    let mut bench = Bench::open();
    bench.offer(1);
    bench.claimed(vec![held(claim(ME, "s1", 0), 1)]);
    assert_eq!(bench.answer(), Answer::Duplicate);
    assert_eq!(bench.settled(), [key(1)]);
}

#[test]
fn a_live_owner_is_waited_for() {
    let mut bench = Bench::open();
    bench.offer(1);
    for _ in 0..3 {
        bench.claimed(vec![held(claim(OTHER, "x", 0), 1)]);
        bench.nothing();
        bench.wake();
    }
    bench.claimed(vec![Claimed::Found(State::Done { payload: payload(1) })]);
    assert_eq!(bench.answer(), Answer::Duplicate);
}

#[test]
fn waiting_has_an_end() {
    let mut bench = Bench::open();
    bench.offer(1);
    let begun = bench.now;
    bench.claimed(vec![held(claim(OTHER, "x", 0), 1)]);
    loop {
        bench.wake();
        match bench.next() {
            Output::Claim { call, .. } => {
                bench.feed(Input::Claimed { call, results: vec![held(claim(OTHER, "x", 0), 1)] });
            }
            Output::Answer { answer, .. } => {
                assert_eq!(answer, Answer::Retry(Retry::Expired));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.now.since(begun), Duration::from_secs(20));
    assert!(bench.writer.is_empty());
}

#[test]
fn a_suspected_owner_is_fenced_and_its_rows_decide() {
    // The fence holds the claim's request: the event is a row, and its key is told so by compare-and-set.
    let mut bench = Bench::open();
    bench.offer(1);
    bench.claimed(vec![held(claim(OTHER, "x", 4), 90)]);
    assert!(!bench.fenced(5));
    let (expected, new) = bench.swapped(Swapped::Yes);
    assert_eq!(expected, Expected::Claimed(claim(OTHER, "x", 4)));
    assert!(matches!(new, NewState::Done { .. }));
    assert_eq!(bench.answer(), Answer::Duplicate);

    // It does not: the claim is taken over with our next request.
    bench.offer(2);
    bench.claimed(vec![held(claim(OTHER, "x", 5), 1)]);
    // What a fence said is remembered: no second one is needed, however young the claim.
    let (call, wants, _) = bench.asked();
    assert_eq!(wants[0].instead_of, Some(claim(OTHER, "x", 5)));
    bench.feed(Input::Claimed { call, results: vec![Claimed::Won] });
    assert_eq!(bench.sent().rows, [key(2)]);
}

#[test]
fn a_fenced_row_says_what_its_claim_said() {
    // The dead owner's row is of another event with this id: ours is a conflict, and the key says what the row says.
    let mut bench = Bench::open();
    bench.offer(1);
    bench.claimed(vec![held_with(claim(OTHER, "x", 4), payload(7), 90)]);
    bench.fenced(5);
    let (_, new) = bench.swapped(Swapped::Yes);
    assert!(matches!(new, NewState::Done { payload: says, .. } if says == payload(7)), "{new:?}");
    assert_eq!(bench.answer(), Answer::Conflict);

    // Of a claim that does not tell nobody knows: the key does not pretend to.
    bench.offer(2);
    bench.claimed(vec![held(claim(OTHER, "x", 4), 90)]);
    let (_, new) = bench.swapped(Swapped::Yes);
    assert!(matches!(new, NewState::Done { payload, .. } if payload.is_unknown()), "{new:?}");
    assert_eq!(bench.answer(), Answer::Duplicate);

    // Our own, which nobody settled.
    bench.offer(3);
    bench.claimed(vec![held_with(claim(ME, "s1", 0), payload(7), 1)]);
    assert_eq!(bench.answer(), Answer::Conflict);
    assert_eq!(bench.settled(), [key(3)]);
}

#[test]
fn a_claim_says_what_its_event_says() {
    let mut bench = Bench::open();
    bench.offer(1);
    assert_eq!(bench.asked().1[0].payload, payload(1));
}

#[test]
fn a_take_over_that_comes_too_late_starts_again() {
    let mut bench = Bench::open();
    bench.offer(1);
    bench.claimed(vec![held(claim(OTHER, "x", 4), 90)]);
    bench.fenced(5);
    // The owner refused the row meanwhile: the fence's word is no proof any more.
    bench.swapped(Swapped::No(Some(State::Done { payload: payload(1) })));
    assert_eq!(bench.answer(), Answer::Duplicate);

    bench.offer(2);
    bench.claimed(vec![held(claim(OTHER, "x", 9), 90)]);
    bench.claimed(vec![held(claim(OTHER, "y", 0), 0)]);
    bench.nothing();
    bench.wake();
    bench.claimed(vec![Claimed::Won]);
    bench.sent();
}

#[test]
fn fences_of_others_keep_a_distance() {
    let mut bench = Bench::open();
    bench.offer(1);
    bench.claimed(vec![held(claim(OTHER, "x", 0), 90)]);
    assert_eq!(&*bench.fence().0, "x");
    bench.offer(2);
    bench.claimed(vec![held(claim(OTHER, "y", 0), 90)]);
    bench.nothing();
    bench.offer(3);
    bench.claimed(vec![held(claim(OTHER, "x", 0), 90)]);
    // The fence of x is on its way: it is not asked for twice.
    bench.nothing();
    bench.pass(Duration::from_secs(1));
    bench.claimed(vec![held(claim(OTHER, "y", 0), 91)]);
    assert_eq!(&*bench.fence().0, "y");
}

#[test]
fn a_failed_fence_is_tried_again_while_someone_waits() {
    let mut bench = Bench::open();
    bench.offer(1);
    bench.claimed(vec![held(claim(OTHER, "x", 0), 90)]);
    let (stream, _) = bench.fence();
    bench.feed(Input::FenceFailed { stream: stream.clone() });
    bench.nothing();
    bench.wake();
    bench.fence();
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.answer(), Answer::Retry(Retry::Expired));
    bench.feed(Input::FenceFailed { stream });
    assert_eq!(bench.writer.wake_at(), None);
}

#[test]
fn a_settle_is_repeated_until_it_is_known() {
    let mut bench = Bench::open();
    bench.offer(1);
    let sent = bench.won();
    bench.reply(sent.call, exactly_once::AppendReply::Committed { offset: Some(1) });
    assert_eq!(bench.answer(), Answer::Written);
    let Output::Settle { call, .. } = bench.next() else { panic!("a settle") };
    bench.feed(Input::SettleFailed { call });
    bench.wake();
    assert_eq!(bench.settled(), [key(1)]);
    assert_eq!(bench.writer.wake_at(), None);
}

#[test]
fn a_ledger_of_another_generation_suspends() {
    let mut bench = Bench::open();
    bench.offer(1);
    let (call, ..) = bench.asked();
    bench.feed(Input::EpochRefused { call });
    assert!(bench.fenced(1));
    bench.nothing();
    bench.feed(Input::Generation(7));
    bench.created("s2");
    match bench.next() {
        Output::Claim { claim, generation, .. } => assert_eq!((&*claim.write_stream, generation), ("s2", 7)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_late_refusal_of_an_older_generation_suspends_nothing() {
    let mut bench = Bench::open();
    bench.offer(1);
    let (late, ..) = bench.asked();
    bench.feed(Input::Generation(7));
    assert!(bench.fenced(1));
    bench.feed(Input::EpochRefused { call: late });
    bench.created("s2");
    match bench.next() {
        Output::Claim { claim, generation, .. } => assert_eq!((&*claim.write_stream, generation), ("s2", 7)),
        other => panic!("{other:?}"),
    }
}
