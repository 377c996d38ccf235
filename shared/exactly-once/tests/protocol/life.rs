//! A writer's life: deliveries that come together and go away, streams that cannot be had, the stop.

use std::time::Duration;

use exactly_once::{Answer, AppendReply, Input, Limits, Output, Retry, Swapped, Verdict};

use crate::bench::{Bench, OTHER, claim, held, key, payload, rejection};

#[test]
fn deliveries_of_one_event_share_its_fate() {
    let mut bench = Bench::open();
    bench.offer(1);
    bench.offer(1);
    let sent = bench.won();
    bench.offer(1);
    bench.nothing();
    bench.reply(sent.call, AppendReply::Committed { offset: Some(1) });
    assert_eq!(
        [bench.answer(), bench.answer(), bench.answer()],
        [Answer::Written, Answer::Duplicate, Answer::Duplicate]
    );
}

#[test]
fn a_delivery_that_gives_up_leaves_its_event_in_the_request() {
    let mut bench = Bench::open();
    bench.offer(1);
    let sent = bench.won();
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.answer(), Answer::Retry(Retry::Expired));
    assert!(bench.writer.contains(&key(1)));
    // The redelivery joins, and is answered by the first send.
    bench.offer(1);
    bench.reply(sent.call, AppendReply::Committed { offset: Some(1) });
    assert_eq!(bench.answer(), Answer::Written);
    assert_eq!(bench.settled(), [key(1)]);
}

#[test]
fn no_stream_is_asked_for_too_often() {
    let mut bench = Bench::new(Limits::default());
    bench.offer(1);
    let begun = bench.now;
    let mut tries = 0;
    loop {
        match bench.next() {
            Output::CreateStream => {
                tries += 1;
                bench.feed(Input::CreateFailed);
            }
            Output::Answer { answer, .. } => {
                assert_eq!(answer, Answer::Retry(Retry::Expired));
                break;
            }
            other => panic!("{other:?}"),
        }
        bench.wake();
    }
    assert_eq!(bench.now.since(begun), Duration::from_secs(20));
    assert!(tries <= 8, "{tries}");
    assert!(bench.writer.is_empty());
}

#[test]
fn a_stop_settles_what_was_begun_and_finalizes() {
    let mut bench = Bench::open();
    bench.offer(1);
    let sent = bench.won();
    bench.offer(2);
    bench.feed(Input::Stop);
    assert_eq!(bench.answer(), Answer::Retry(Retry::Stopping));
    bench.offer(3);
    assert_eq!(bench.answer(), Answer::Retry(Retry::Stopping));
    assert!(!bench.writer.is_finished());
    bench.reply(sent.call, AppendReply::Committed { offset: Some(1) });
    assert_eq!(bench.answer(), Answer::Written);
    let Output::Settle { call, .. } = bench.next() else { panic!("a settle") };
    assert!(bench.fenced(2));
    assert!(!bench.writer.is_finished());
    bench.feed(Input::Settled { call, results: vec![exactly_once::Settled::Done] });
    assert!(bench.writer.is_finished());
    bench.nothing();
}

#[test]
fn a_stop_with_an_unknown_outcome_asks_the_fence() {
    let mut bench = Bench::open();
    bench.offer(1);
    let sent = bench.won();
    bench.feed(Input::Stop);
    bench.reply(sent.call, AppendReply::StreamClosed);
    assert!(bench.fenced(1));
    // It is no row, and nobody will take it over here.
    assert_eq!(bench.answer(), Answer::Retry(Retry::Stopping));
    assert!(bench.writer.is_finished());
}

#[test]
fn a_stop_waits_for_no_backoff() {
    // A request that would be sent again: before the stop, and after it.
    for stops_first in [false, true] {
        for reply in [AppendReply::Unknown, AppendReply::Exhausted, AppendReply::SchemaLags] {
            let mut bench = Bench::open();
            bench.offer(1);
            let sent = bench.won();
            if stops_first {
                bench.feed(Input::Stop);
            }
            bench.reply(sent.call, reply);
            if !stops_first {
                bench.nothing();
                bench.feed(Input::Stop);
            }
            assert!(bench.fenced(2));
            assert_eq!(bench.answer(), Answer::Written);
            bench.settled();
            assert!(bench.writer.is_finished());
        }
    }
    // A claim of which nobody knows.
    let mut bench = Bench::open();
    bench.offer(1);
    let (call, ..) = bench.asked();
    bench.feed(Input::ClaimUnknown { call });
    bench.feed(Input::Stop);
    let (stream, _) = bench.fence();
    assert_eq!(bench.answer(), Answer::Retry(Retry::Stopping));
    bench.feed(Input::Fenced { stream, rows: 1 });
    assert!(bench.writer.is_finished());
}

#[test]
fn a_stop_lets_go_of_what_others_hold() {
    let mut bench = Bench::open();
    bench.offer(1);
    bench.claimed(vec![held(claim(OTHER, "x", 0), 90)]);
    bench.fence();
    bench.feed(Input::Stop);
    assert_eq!(bench.answer(), Answer::Retry(Retry::Stopping));
    assert!(bench.fenced(1));
    assert!(bench.writer.is_finished());
}

#[test]
fn a_stop_before_the_first_event_is_done_at_once() {
    let mut bench = Bench::new(Limits::default());
    bench.feed(Input::Stop);
    bench.nothing();
    assert!(bench.writer.is_finished());
}

#[test]
fn a_stream_that_comes_after_the_stop_is_finalized() {
    let mut bench = Bench::new(Limits::default());
    bench.offer(1);
    assert_eq!(bench.next(), Output::CreateStream);
    bench.feed(Input::Stop);
    assert_eq!(bench.answer(), Answer::Retry(Retry::Stopping));
    assert!(!bench.writer.is_finished());
    bench.feed(Input::StreamCreated { stream: "s1".into() });
    assert!(bench.fenced(0));
    assert!(bench.writer.is_finished());
}

#[test]
fn a_new_generation_hears_no_swap_of_the_old_one() {
    let mut bench = Bench::open();
    bench.offer_with(1, payload(1), 0, Verdict::Reject(rejection()));
    let (call, ..) = bench.swap();
    bench.feed(Input::Generation(2));
    assert_eq!(bench.fence(), ("s1".into(), true));
    // The old reply says nothing of a ledger that may have forgotten the swap.
    bench.feed(Input::Swapped { call, key: key(1), result: Swapped::Yes });
    let Output::Swap { call: again, generation: 2, .. } = bench.next() else { panic!("a swap of the new generation") };
    assert_ne!(again, call);
    bench.nothing();
    bench.feed(Input::Swapped { call: again, key: key(1), result: Swapped::Yes });
    assert_eq!(bench.dead_letter(true), key(1));
}

#[test]
fn a_new_generation_writes_no_dead_letter_of_the_old_one() {
    let mut bench = Bench::open_with(Limits { reject_rows: false, ..Limits::default() });
    bench.offer(1);
    let sent = bench.won();
    bench.offer(2);
    bench.feed(Input::Generation(2));
    assert!(bench.fenced(1));
    assert_eq!([bench.answer(), bench.answer()], [Answer::Retry(Retry::Undecided); 2]);
    bench.reply(sent.call, AppendReply::Committed { offset: Some(1) });
    bench.nothing();
    assert!(bench.writer.is_empty());
}
