//! Dead letters that are tried again.

use exactly_once::{Answer, Claimed, Expected, NewState, PayloadHash, Retry, State, Swapped, Verdict};

use crate::bench::{Bench, key, payload, rejection};

/// Offers try number `redrives` of the event.
fn offer(bench: &mut Bench, event: u8, redrives: u8) {
    bench.offer_with(event, payload(event).redriven(redrives), 0, Verdict::Row);
}

fn rejected(event: u8, redrives: u8) -> State {
    State::Rejected { payload: payload(event).redriven(redrives) }
}

fn rejecting(event: u8, redrives: u8) -> State {
    State::Rejecting { payload: payload(event).redriven(redrives), rejection: rejection() }
}

#[test]
fn a_redriven_event_takes_the_place_of_its_dead_letter() {
    let mut bench = Bench::open();
    offer(&mut bench, 1, 1);
    bench.claimed(vec![Claimed::Found(rejected(1, 0))]);
    let (expected, new) = bench.swapped(Swapped::Yes);
    assert_eq!(expected, Expected::Rejected(payload(1)));
    let NewState::Claimed(kept) = new else { panic!("{new:?}") };
    let (call, wants, _) = bench.asked();
    assert_eq!(wants[0].instead_of, Some(kept), "the key is never free");
    bench.feed(exactly_once::Input::Claimed { call, results: vec![Claimed::Won] });
    let sent = bench.sent();
    bench.reply(sent.call, exactly_once::AppendReply::Committed { offset: Some(sent.offset) });
    assert_eq!(bench.answer(), Answer::Written);
}

#[test]
fn a_redriven_event_that_fails_again_is_a_dead_letter_of_its_own_number() {
    let mut bench = Bench::open();
    bench.offer_with(1, payload(1).redriven(1), 0, Verdict::Reject(rejection()));
    bench.swapped(Swapped::No(Some(rejected(1, 0))));
    let (expected, kept) = bench.swapped(Swapped::Yes);
    assert_eq!(expected, Expected::Rejected(payload(1)));
    let NewState::Claimed(kept) = kept else { panic!("{kept:?}") };
    let (expected, new) = bench.swapped(Swapped::Yes);
    assert_eq!(expected, Expected::Claimed(kept));
    assert!(matches!(new, NewState::Rejecting { payload: found, .. } if found == payload(1).redriven(1)), "{new:?}");
    assert_eq!(bench.dead_letter(true), key(1));
    let (expected, _) = bench.swapped(Swapped::Yes);
    assert_eq!(expected, Expected::Rejecting(payload(1).redriven(1)));
    assert_eq!(bench.answer(), Answer::DeadLettered);
}

#[test]
fn a_late_delivery_does_not_undo_what_its_try_ended_as() {
    for (redrives, stands) in [(1, rejected(1, 1)), (0, rejected(1, 1)), (0, rejecting(1, 1)), (0, rejected(1, 0))] {
        let mut bench = Bench::open();
        offer(&mut bench, 1, redrives);
        bench.claimed(vec![Claimed::Found(stands)]);
        assert_eq!(bench.answer(), Answer::Duplicate);
        bench.nothing();
    }
}

#[test]
fn an_unfinished_rejection_of_an_earlier_try_is_history() {
    let mut bench = Bench::open();
    offer(&mut bench, 1, 2);
    bench.claimed(vec![Claimed::Found(rejecting(1, 1))]);
    let (expected, new) = bench.swapped(Swapped::Yes);
    assert_eq!(expected, Expected::Rejecting(payload(1).redriven(1)));
    assert!(matches!(new, NewState::Claimed(_)), "{new:?}");
    bench.won();
}

#[test]
fn whoever_took_the_key_is_looked_at_again() {
    let mut bench = Bench::open();
    offer(&mut bench, 1, 1);
    bench.claimed(vec![Claimed::Found(rejected(1, 0))]);
    // Another has reopened it, and it is a row.
    bench.swapped(Swapped::No(Some(State::Done { payload: payload(1) })));
    assert_eq!(bench.answer(), Answer::Duplicate);

    let mut bench = Bench::open();
    offer(&mut bench, 1, 1);
    bench.claimed(vec![Claimed::Found(rejected(1, 0))]);
    bench.swapped(Swapped::Yes);
    // An old copy was faster, and was refused again.
    bench.claimed(vec![Claimed::Found(rejected(1, 0))]);
    let (expected, _) = bench.swapped(Swapped::Yes);
    assert_eq!(expected, Expected::Rejected(payload(1)));
    bench.won();
}

#[test]
fn a_reopening_whose_answer_is_lost_is_asked_again() {
    let mut bench = Bench::open();
    offer(&mut bench, 1, 1);
    bench.claimed(vec![Claimed::Found(rejected(1, 0))]);
    let (call, key, _, new) = bench.swap();
    bench.feed(exactly_once::Input::SwapUnknown { call, key });
    bench.nothing();
    bench.wake();
    // It had taken place: nothing was sent under that claim, so it needs no fence.
    let NewState::Claimed(kept) = new else { panic!("{new:?}") };
    let found = State::Claimed { claim: kept.clone(), payload: PayloadHash::UNKNOWN, age: std::time::Duration::ZERO };
    let (_, new) = bench.swapped(Swapped::No(Some(found)));
    assert_ne!(new, NewState::Claimed(kept.clone()), "each call has a claim of its own");
    let (_, wants, _) = bench.asked();
    assert_eq!(wants[0].instead_of, Some(kept));
}

#[test]
fn a_redriven_delivery_that_joined_an_old_copy_comes_again_where_that_is_refused() {
    let mut bench = Bench::open();
    bench.offer_with(1, payload(1), 0, Verdict::Reject(rejection()));
    offer(&mut bench, 1, 1);
    bench.swapped(Swapped::Yes);
    bench.dead_letter(true);
    bench.swapped(Swapped::Yes);
    assert_eq!(bench.answer(), Answer::DeadLettered);
    assert_eq!(bench.answer(), Answer::Retry(Retry::Undecided));
}

#[test]
fn another_event_with_the_id_is_a_conflict_however_often_it_was_redriven() {
    let mut bench = Bench::open();
    bench.offer_with(1, payload(2).redriven(3), 0, Verdict::Row);
    bench.claimed(vec![Claimed::Found(rejected(1, 0))]);
    assert_eq!(bench.answer(), Answer::Conflict);
}
