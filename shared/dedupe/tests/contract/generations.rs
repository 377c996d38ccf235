//! What every ledger promises of its generations. Asked of a ledger that nobody else uses.

use std::time::Duration;

use dedupe::{
    Claimed, Expected, Ledger, LedgerError, NewState, PayloadHash, RedisLedger, Restored, State, Survey, Swapped,
};
use event::{Reason, Rejection};

use crate::promises::{PAYLOAD, WINDOW, claim, key};

pub(crate) async fn all(ledger: &dyn Ledger) {
    what_was_not_adopted_refuses(ledger).await;
    only_the_surveyed_server_is_adopted(ledger).await;
    an_older_generation_is_refused(ledger).await;
    beats_are_surveyed(ledger).await;
    restored_states_stand(ledger).await;
}

/// Adopts the ledger as it is now for `generation`.
pub(crate) async fn adopted(ledger: &RedisLedger, generation: u64) -> Survey {
    let survey = ledger.survey().await.expect("a survey");
    assert!(ledger.adopt(&survey.identity, generation).await.expect("an answer"));
    ledger.survey().await.expect("a survey")
}

/// A guarded claim and a guarded swap are refused, and do nothing.
pub(crate) async fn refuses(ledger: &dyn Ledger, generation: u64) {
    let (key, mine) = (key(), claim("s1", 0));
    let error = ledger.claim(&[key.into()], &mine, generation).await.expect_err("another generation");
    assert!(matches!(error, LedgerError::Epoch), "{error:?}");
    let done = NewState::Done { payload: PAYLOAD, window: WINDOW };
    let error = ledger.swap(&key, &Expected::Absent, &done, generation).await.expect_err("another generation");
    assert!(matches!(error, LedgerError::Epoch), "{error:?}");
    assert_eq!(ledger.read(&[key]).await.expect("an answer"), [None]);
}

/// A guarded claim and a guarded swap are taken.
pub(crate) async fn takes(ledger: &dyn Ledger, generation: u64) {
    let (key, mine) = (key(), claim("s1", 0));
    assert_eq!(ledger.claim(&[key.into()], &mine, generation).await.expect("an answer"), [Claimed::Won]);
    let done = NewState::Done { payload: PAYLOAD, window: WINDOW };
    let swapped = ledger.swap(&key, &Expected::Claimed(mine), &done, generation).await.expect("an answer");
    assert_eq!(swapped, Swapped::Yes);
}

async fn what_was_not_adopted_refuses(ledger: &dyn Ledger) {
    let survey = ledger.survey().await.expect("a survey");
    assert!(survey.adopted.is_none() && survey.beat.is_none() && !survey.identity.is_empty(), "{survey:?}");
    refuses(ledger, 1).await;
    takes(ledger, 0).await;
    assert!(matches!(ledger.beat().await, Err(LedgerError::Epoch)));
}

async fn only_the_surveyed_server_is_adopted(ledger: &dyn Ledger) {
    assert!(!ledger.adopt("another", 4).await.expect("an answer"));
    refuses(ledger, 4).await;
    let identity = ledger.survey().await.expect("a survey").identity;
    for _ in 0..2 {
        assert!(ledger.adopt(&identity, 4).await.expect("an answer"));
        assert!(ledger.survey().await.expect("a survey").holds(4));
    }
    takes(ledger, 4).await;
}

async fn an_older_generation_is_refused(ledger: &dyn Ledger) {
    let identity = ledger.survey().await.expect("a survey").identity;
    assert!(!ledger.adopt(&identity, 3).await.expect("an answer"));
    assert!(ledger.adopt(&identity, 5).await.expect("an answer"));
    takes(ledger, 5).await;
    for other in [1, 4, 6, 50] {
        refuses(ledger, other).await;
    }
}

async fn beats_are_surveyed(ledger: &dyn Ledger) {
    ledger.beat().await.expect("an answer");
    let survey = ledger.survey().await.expect("a survey");
    let beat = survey.beat.expect("a beat");
    assert!(beat <= survey.now && survey.now.since(beat) < WINDOW, "{survey:?}");
}

async fn restored_states_stand(ledger: &dyn Ledger) {
    let mine = claim("s1", 0);
    let (absent, held, rejecting, done, refused, known) = (key(), key(), key(), key(), key(), key());
    let (stale, claimed) = (key(), key());
    ledger.claim(&[held.into(), stale.into()], &mine, 0).await.expect("an answer");
    let new = NewState::Rejecting { payload: PAYLOAD, rejection: Rejection::new(Reason::NoRoute, "none") };
    ledger.swap(&rejecting, &Expected::Absent, &new, 0).await.expect("an answer");
    ledger.settle(&[(done, PAYLOAD), (known, PAYLOAD)], &mine, WINDOW).await.expect("an answer");
    let row = Restored::Done { payload: PayloadHash::UNKNOWN };
    let dead_letter = Restored::Rejected { payload: PAYLOAD };
    let entries = [
        (absent, row),
        (held, row),
        (rejecting, dead_letter),
        (done, dead_letter),
        (refused, dead_letter),
        (known, row),
        (stale, dead_letter),
        (claimed, dead_letter),
    ];
    let survey = ledger.survey().await.expect("a survey");
    tokio::time::sleep(Duration::from_millis(2)).await;
    ledger.claim(&[claimed.into()], &mine, 0).await.expect("an answer");
    for _ in 0..2 {
        ledger.restore(&survey, &entries, WINDOW).await.expect("an answer");
        let keys = [absent, held, rejecting, done, refused, known];
        let states: Vec<Option<State>> = ledger.read(&keys).await.expect("an answer");
        let (unknown, rejected) = (State::Done { payload: PayloadHash::UNKNOWN }, State::Rejected { payload: PAYLOAD });
        let row = State::Done { payload: PAYLOAD };
        let expected = [&unknown, &unknown, &rejected, &row, &rejected, &row].map(Clone::clone);
        assert_eq!(states, expected.map(Some));
        let states = ledger.read(&[stale, claimed]).await.expect("an answer");
        assert_eq!(states[0], Some(rejected), "a claim that was rolled back");
        assert!(matches!(&states[1], Some(State::Claimed { claim, .. }) if *claim == mine), "{states:?}");
    }
    let found = ledger.claim(&[absent.into()], &mine, 5).await.expect("an answer");
    assert_eq!(found, [Claimed::Found(State::Done { payload: PayloadHash::UNKNOWN })]);
}
