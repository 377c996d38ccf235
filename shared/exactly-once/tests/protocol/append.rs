//! How an append ends, and what follows.

use std::time::Duration;

use exactly_once::{Alarm, Answer, AppendReply, Claimed, Limits, Output, Retry};

use crate::bench::{Bench, ME, claim, key};

#[test]
fn committed_rows_are_answered_and_then_settled() {
    let mut bench = Bench::open();
    bench.offer(1);
    let sent = bench.won();
    assert_eq!((&*sent.stream, sent.offset, sent.rows), ("s1", 1, vec![key(1)]));
    bench.nothing();
    bench.reply(sent.call, AppendReply::Committed { offset: Some(1) });
    assert_eq!(bench.answer(), Answer::Written);
    assert_eq!(bench.settled(), [key(1)]);
    bench.nothing();
    assert!(bench.writer.is_empty());
}

#[test]
fn already_exists_is_committed() {
    let mut bench = Bench::open();
    bench.offer(1);
    let sent = bench.won();
    bench.reply(sent.call, AppendReply::AlreadyExists);
    assert_eq!(bench.answer(), Answer::Written);
}

#[test]
fn what_comes_meanwhile_shares_the_next_request() {
    let mut bench = Bench::open();
    bench.offer(1);
    let first = bench.won();
    for event in 2..=5 {
        bench.offer(event);
    }
    bench.nothing();
    bench.reply(first.call, AppendReply::Committed { offset: Some(1) });
    assert_eq!(bench.answer(), Answer::Written);
    bench.settled();
    let second = bench.won();
    assert_eq!((second.offset, second.rows), (2, (2..=5).map(key).collect()));
}

#[test]
fn a_request_has_a_bound_and_one_schema() {
    let mut bench = Bench::open_with(Limits { batch_rows: 3, batch_bytes: 250, ..Limits::default() });
    bench.offer(1);
    let first = bench.won();
    for event in 2..=5 {
        bench.offer_with(event, crate::bench::payload(event), u32::from(event == 5), exactly_once::Verdict::Row);
    }
    bench.reply(first.call, AppendReply::Committed { offset: Some(1) });
    bench.answer();
    bench.settled();
    // 250 bytes hold two rows of 100; the last row is of another schema.
    for rows in [vec![key(2), key(3)], vec![key(4)], vec![key(5)]] {
        let sent = bench.won();
        assert_eq!(sent.rows, rows);
        bench.reply(sent.call, AppendReply::Committed { offset: Some(sent.offset) });
        rows.iter().for_each(|_| assert_eq!(bench.answer(), Answer::Written));
        bench.settled();
    }
}

#[test]
fn an_unknown_outcome_is_sent_again_as_it_was_until_the_fence_decides() {
    let mut bench = Bench::open();
    bench.offer(1);
    let first = bench.won();
    let begun = bench.now;
    bench.reply(first.call, AppendReply::Unknown);
    bench.offer(2);
    bench.nothing();
    loop {
        if bench.is_quiet() {
            bench.wake();
        }
        match bench.next() {
            Output::Append { call, request, offset, rows, .. } => {
                assert_eq!((request, offset, rows), (first.request, first.offset, first.rows.clone()));
                bench.reply(call, AppendReply::Unknown);
            }
            // Both deliveries have waited for 20 s by then.
            Output::Answer { answer, .. } => assert_eq!(answer, Answer::Retry(Retry::Expired)),
            Output::Fence { stream, own } => {
                assert_eq!((&*stream, own), ("s1", true));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let tried = bench.now.since(begun);
    assert!(tried > Duration::from_secs(39) && tried <= Duration::from_secs(45), "{tried:?}");
}

#[test]
fn an_exhausted_quota_stops_admission() {
    let mut bench = Bench::open();
    bench.offer(1);
    let first = bench.won();
    bench.reply(first.call, AppendReply::Exhausted);
    bench.offer(2);
    assert_eq!(bench.answer(), Answer::Retry(Retry::Exhausted));
    bench.pass(Duration::from_millis(999));
    bench.nothing();
    bench.pass(Duration::from_millis(1));
    let again = bench.sent();
    assert_eq!(again.request, first.request);
    bench.reply(again.call, AppendReply::Committed { offset: Some(1) });
    assert_eq!(bench.answer(), Answer::Written);
    bench.settled();
    bench.offer(2);
    bench.won();
}

#[test]
fn a_lagging_schema_holds_the_rows() {
    let mut bench = Bench::open_lasting();
    bench.offer(1);
    let first = bench.won();
    bench.reply(first.call, AppendReply::SchemaLags);
    bench.nothing();
    bench.wake();
    let again = bench.sent();
    assert_eq!(again.request, first.request);
    // Nothing was on its way: a bad row can still be told apart.
    bench.bad(again.call, &[0]);
    bench.swap();
}

#[test]
fn a_closed_stream_says_nothing_and_its_fence_says_all() {
    for (rows, landed) in [(2, true), (1, false)] {
        let mut bench = Bench::open();
        bench.offer(1);
        let sent = bench.won();
        bench.reply(sent.call, AppendReply::StreamClosed);
        assert!(bench.fenced(rows));
        if landed {
            assert_eq!(bench.answer(), Answer::Written);
            assert_eq!(bench.settled(), [key(1)]);
            bench.nothing();
        } else {
            bench.created("s2");
            let (_, wants, new) = bench.asked();
            assert_eq!(wants[0].instead_of, Some(claim(ME, "s1", 1)));
            assert_eq!(new, claim(ME, "s2", 0));
        }
    }
}

#[test]
fn offsets_that_cannot_be_raise_an_alarm() {
    for reply in [AppendReply::OutOfRange, AppendReply::Committed { offset: Some(7) }] {
        let mut bench = Bench::open();
        bench.offer(1);
        let sent = bench.won();
        bench.reply(sent.call, reply);
        let alarm = bench.next();
        assert!(
            matches!(alarm, Output::Alarm(Alarm::OffsetOutOfRange { .. } | Alarm::OffsetMismatch { .. })),
            "{alarm:?}"
        );
        assert!(bench.fence().1);
    }
}

#[test]
fn bad_rows_leave_and_the_rest_goes_to_the_same_offset_where_nothing_is_forgotten() {
    let mut bench = Bench::open_lasting();
    bench.offer(1);
    let first = bench.won();
    bench.offer_all(2..=4);
    bench.reply(first.call, AppendReply::Committed { offset: Some(1) });
    bench.answer();
    bench.settled();
    let refused = bench.won();
    bench.bad(refused.call, &[1]);
    // Nothing is sent before the bad row's key has left the request.
    let (call, bad, expected, _) = bench.swap();
    assert_eq!((bad, expected), (key(3), exactly_once::Expected::Claimed(claim(ME, "s1", 2))));
    bench.nothing();
    bench.feed(exactly_once::Input::SwapUnknown { call, key: bad });
    bench.nothing();
    bench.wake();
    bench.swapped(exactly_once::Swapped::Yes);
    assert_eq!(bench.dead_letter(true), key(3));
    let rest = bench.sent();
    assert_eq!((rest.offset, rest.rows), (refused.offset, vec![key(2), key(4)]));
    assert_ne!(rest.request, refused.request);
    bench.swapped(exactly_once::Swapped::Yes);
    assert_eq!(bench.answer(), Answer::DeadLettered);
    bench.reply(rest.call, AppendReply::Committed { offset: Some(2) });
    assert_eq!([bench.answer(), bench.answer()], [Answer::Written; 2]);
    bench.settled();
    bench.offer(5);
    assert_eq!(bench.won().offset, 4);
}

#[test]
fn bad_rows_of_a_request_wait_for_the_fence_and_the_rest_goes_to_another_stream() {
    let mut bench = Bench::open();
    bench.offer_all(1..=2);
    let refused = bench.won();
    bench.bad(refused.call, &[0]);
    assert!(bench.fenced(1));
    bench.created("s2");
    let (expected, _) = bench.swapped(exactly_once::Swapped::Yes);
    assert_eq!(expected, exactly_once::Expected::Claimed(claim(ME, "s1", 1)));
    bench.claimed(vec![Claimed::Won]);
    assert_eq!(bench.dead_letter(true), key(1));
    let rest = bench.sent();
    assert_eq!((rest.offset, rest.rows), (0, vec![key(2)]));
    bench.swapped(exactly_once::Swapped::Yes);
    assert_eq!(bench.answer(), Answer::DeadLettered);
}

#[test]
fn bad_rows_of_a_request_that_may_be_on_its_way_wait_for_the_fence() {
    for (rows, landed) in [(2, true), (1, false)] {
        let mut bench = Bench::open();
        bench.offer(1);
        let first = bench.won();
        bench.reply(first.call, AppendReply::Unknown);
        bench.wake();
        let again = bench.sent();
        bench.bad(again.call, &[0]);
        assert!(bench.fenced(rows));
        if landed {
            assert_eq!(bench.answer(), Answer::Written);
        } else {
            let (expected, _) = bench.swapped(exactly_once::Swapped::Yes);
            assert_eq!(expected, exactly_once::Expected::Claimed(claim(ME, "s1", 1)));
            bench.dead_letter(true);
            bench.swapped(exactly_once::Swapped::Yes);
            assert_eq!(bench.answer(), Answer::DeadLettered);
        }
    }
}

#[test]
fn a_request_that_is_refused_as_a_whole_is_halved() {
    let mut bench = Bench::open_lasting();
    bench.offer(1);
    let first = bench.won();
    bench.offer_all(2..=5);
    bench.reply(first.call, AppendReply::Committed { offset: Some(1) });
    bench.answer();
    bench.settled();
    let whole = bench.won();
    assert_eq!(whole.rows.len(), 4);
    bench.reply(whole.call, AppendReply::Refused("?".into()));
    bench.fenced(2);
    bench.created("s2");
    let half = bench.won();
    assert_eq!(half.rows.len(), 2);
    bench.reply(half.call, AppendReply::Refused("?".into()));
    bench.fenced(0);
    bench.wake();
    bench.created("s3");
    let other = bench.won();
    assert_eq!(other.rows, whole.rows[2..]);
    bench.reply(other.call, AppendReply::Committed { offset: Some(0) });
    (0..2).for_each(|_| assert_eq!(bench.answer(), Answer::Written));
    bench.settled();
    let one = bench.won();
    assert_eq!(one.rows, half.rows[..1]);
    bench.reply(one.call, AppendReply::Refused("?".into()));
    bench.swapped(exactly_once::Swapped::Yes);
    assert_eq!(bench.dead_letter(true), one.rows[0]);
}

#[test]
fn where_refused_rows_have_nowhere_to_go_they_come_again() {
    let mut bench = Bench::open_with(Limits { reject_rows: false, ..Limits::default() });
    bench.offer(1);
    let sent = bench.won();
    bench.bad(sent.call, &[0]);
    assert!(bench.fence().1);
    assert_eq!(bench.answer(), Answer::Retry(Retry::Refused));
    assert!(bench.writer.is_empty());
}

#[test]
fn a_row_at_fault_is_found_while_others_come() {
    let mut bench = Bench::open();
    bench.offer(1);
    let first = bench.won();
    bench.offer_all(2..=5);
    bench.reply(first.call, AppendReply::Committed { offset: Some(1) });
    bench.answer();
    bench.settled();
    let whole = bench.won();
    bench.offer_all(6..=9);
    bench.reply(whole.call, AppendReply::Refused("?".into()));
    bench.fenced(2);
    bench.created("s2");
    // Those that came meanwhile go as many as they are, and make no way for the others.
    let others = bench.won();
    assert_eq!(others.rows.len(), 4);
    bench.reply(others.call, AppendReply::Committed { offset: Some(0) });
    (0..4).for_each(|_| assert_eq!(bench.answer(), Answer::Written));
    bench.settled();
    let half = bench.won();
    assert_eq!(half.rows, whole.rows[..2]);
}

#[test]
fn a_quota_is_not_exhausted_for_a_request_that_dissolved() {
    let mut bench = Bench::open_lasting();
    bench.offer(1);
    let sent = bench.won();
    bench.reply(sent.call, AppendReply::Exhausted);
    bench.pass(Duration::from_secs(1));
    let again = bench.sent();
    bench.bad(again.call, &[0]);
    bench.swapped(exactly_once::Swapped::Yes);
    bench.dead_letter(true);
    bench.swapped(exactly_once::Swapped::Yes);
    assert_eq!(bench.answer(), Answer::DeadLettered);
    bench.offer(2);
    bench.won();
}
