//! The promises of [`dedupe::Ledger`], one function each. Keys are new in each, so that ledgers may be shared.

use std::{sync::Arc, time::Duration};

use dedupe::{
    Claim, Claimed, EventKey, Expected, Ledger, Meter, Metered, NewState, Owner, PayloadHash, Settled, State, Swapped,
    Want,
};
use event::{Reason, Rejection};

pub(crate) const WINDOW: Duration = Duration::from_secs(3_600);
pub(crate) const PAYLOAD: PayloadHash = PayloadHash::from_bits(0x0102_0304_0506_0708);

const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) async fn all(ledger: Arc<dyn Ledger>) {
    let ledger = &*ledger;
    ledger.ping().await.expect("an answer");
    a_free_key_is_won(ledger).await;
    a_repeated_claim_is_won_again(ledger).await;
    someone_elses_claim_is_found_with_its_age(ledger).await;
    a_claim_is_taken_over_only_as_it_was_read(ledger).await;
    settled_rows_are_found(ledger).await;
    settling_tells_of_contradictions(ledger).await;
    release_removes_exactly_one_claim(ledger).await;
    swaps_compare(ledger).await;
    a_dead_letter_is_reopened_by_its_number(ledger).await;
    rejections_go_their_way(ledger).await;
    settled_keys_are_forgotten_after_their_window(ledger).await;
    undecided_keys_are_not_forgotten(ledger).await;
    one_of_many_wins(ledger).await;
    large_batches_keep_their_order(ledger).await;
    old_claims_are_listed(ledger).await;
    counts_are_shared(ledger).await;
    a_count_is_told_for_one_period_more(ledger).await;
    empty_batches_are_nothing(ledger).await;
}

pub(crate) fn key() -> EventKey {
    EventKey::from_bytes(uuid::Uuid::new_v4().into_bytes())
}

pub(crate) fn claim(stream: &str, base_offset: i64) -> Claim {
    Claim { owner: Owner::generate(), write_stream: stream.into(), base_offset }
}

fn claimed(state: Option<State>) -> Option<Claim> {
    match state {
        Some(State::Claimed { claim, .. }) => Some(claim),
        _ => None,
    }
}

async fn won(ledger: &dyn Ledger, key: EventKey, claim: &Claim) {
    assert_eq!(ledger.claim(&[key.into()], claim, 0).await.expect("an answer"), [Claimed::Won]);
}

async fn state(ledger: &dyn Ledger, key: EventKey) -> Option<State> {
    ledger.read(&[key]).await.expect("an answer").remove(0)
}

async fn a_free_key_is_won(ledger: &dyn Ledger) {
    let (key, claim) = (key(), claim("s1", 42));
    assert_eq!(state(ledger, key).await, None);
    won(ledger, key, &claim).await;
    assert_eq!(claimed(state(ledger, key).await), Some(claim));
}

async fn a_repeated_claim_is_won_again(ledger: &dyn Ledger) {
    let (key, claim) = (key(), claim("s1", 0));
    won(ledger, key, &claim).await;
    won(ledger, key, &claim).await;
    let next = Claim { base_offset: 1, ..claim.clone() };
    let found = ledger.claim(&[key.into()], &next, 0).await.expect("an answer");
    assert!(
        matches!(&found[..], [Claimed::Found(State::Claimed { claim: found, .. })] if *found == claim),
        "{found:?}"
    );
}

async fn someone_elses_claim_is_found_with_its_age(ledger: &dyn Ledger) {
    let (key, first, second) = (key(), claim("s1", 7), claim("s2", 0));
    won(ledger, key, &first).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let found = ledger.claim(&[key.into()], &second, 0).await.expect("an answer");
        let [Claimed::Found(State::Claimed { claim, age, .. })] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*claim, first);
        assert!(*age < Duration::from_secs(60), "{age:?}");
        // The age grows by the ledger's clock.
        if *age >= Duration::from_millis(3) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the age stands still at {age:?}");
        tokio::task::yield_now().await;
    }
}

async fn a_claim_is_taken_over_only_as_it_was_read(ledger: &dyn Ledger) {
    let (key, dead, heir, late) = (key(), claim("s1", 7), claim("s2", 0), claim("s3", 0));
    won(ledger, key, &dead).await;
    let other = Claim { base_offset: 8, ..dead.clone() };
    let (first, second) = (PayloadHash::of(b"first"), PayloadHash::of(b"second"));
    let wrong = Want { key, payload: first, instead_of: Some(other) };
    assert!(matches!(&ledger.claim(&[wrong], &heir, 0).await.expect("an answer")[..], [Claimed::Found(_)]));
    let want = Want { key, payload: second, instead_of: Some(dead.clone()) };
    assert_eq!(ledger.claim(std::slice::from_ref(&want), &heir, 0).await.expect("an answer"), [Claimed::Won]);
    // After a lost reply the same call wins again; another's comes too late.
    assert_eq!(ledger.claim(std::slice::from_ref(&want), &heir, 0).await.expect("an answer"), [Claimed::Won]);
    let found = ledger.claim(&[want], &late, 0).await.expect("an answer");
    let [Claimed::Found(State::Claimed { claim, payload, .. })] = &found[..] else { panic!("{found:?}") };
    assert_eq!((claim, *payload), (&heir, second), "the claim says what its event says");
    // A key that is free is won whatever was to be taken over.
    let free = Want { key: self::key(), payload: first, instead_of: Some(dead) };
    assert_eq!(ledger.claim(&[free], &heir, 0).await.expect("an answer"), [Claimed::Won]);
}

async fn settled_rows_are_found(ledger: &dyn Ledger) {
    let (key, claim) = (key(), claim("s1", 0));
    won(ledger, key, &claim).await;
    for _ in 0..2 {
        assert_eq!(ledger.settle(&[(key, PAYLOAD)], &claim, WINDOW).await.expect("an answer"), [Settled::Done]);
        assert_eq!(state(ledger, key).await, Some(State::Done { payload: PAYLOAD }));
    }
    let found = ledger.claim(&[key.into()], &claim, 0).await.expect("an answer");
    assert_eq!(found, [Claimed::Found(State::Done { payload: PAYLOAD })]);
    // A row that was never claimed, as a repair writes it.
    let unclaimed = self::key();
    assert_eq!(ledger.settle(&[(unclaimed, PAYLOAD)], &claim, WINDOW).await.expect("an answer"), [Settled::Done]);
    assert_eq!(state(ledger, unclaimed).await, Some(State::Done { payload: PAYLOAD }));
}

async fn settling_tells_of_contradictions(ledger: &dyn Ledger) {
    let (key, mine, theirs) = (key(), claim("s1", 0), claim("s2", 0));
    won(ledger, key, &theirs).await;
    let settled = ledger.settle(&[(key, PAYLOAD)], &mine, WINDOW).await.expect("an answer");
    assert!(
        matches!(&settled[..], [Settled::Contradicted(State::Claimed { claim, .. })] if *claim == theirs),
        "{settled:?}"
    );
    assert_eq!(state(ledger, key).await, Some(State::Done { payload: PAYLOAD }));
    let rejected = self::key();
    let rejecting = NewState::Rejecting { payload: PAYLOAD, rejection: Rejection::new(Reason::NoRoute, "none") };
    ledger.swap(&rejected, &Expected::Absent, &rejecting, 0).await.expect("an answer");
    let settled = ledger.settle(&[(rejected, PAYLOAD)], &mine, WINDOW).await.expect("an answer");
    assert!(matches!(&settled[..], [Settled::Contradicted(State::Rejecting { .. })]), "{settled:?}");
}

async fn release_removes_exactly_one_claim(ledger: &dyn Ledger) {
    let (one, two, mine, theirs) = (key(), key(), claim("s1", 0), claim("s2", 0));
    won(ledger, one, &mine).await;
    won(ledger, two, &theirs).await;
    for _ in 0..2 {
        ledger.release(&[one, two], &mine).await.expect("an answer");
        assert_eq!(state(ledger, one).await, None);
        assert_eq!(claimed(state(ledger, two).await), Some(theirs.clone()));
    }
}

async fn swaps_compare(ledger: &dyn Ledger) {
    let (key, dead) = (key(), claim("s1", 5));
    let done = NewState::Done { payload: PAYLOAD, window: WINDOW };
    let expected = Expected::Claimed(dead.clone());
    assert_eq!(ledger.swap(&key, &expected, &done, 0).await.expect("an answer"), Swapped::No(None));
    won(ledger, key, &dead).await;
    let other = Expected::Claimed(Claim { owner: Owner::generate(), ..dead.clone() });
    let found = ledger.swap(&key, &other, &done, 0).await.expect("an answer");
    assert!(matches!(found, Swapped::No(Some(State::Claimed { .. }))), "{found:?}");
    assert!(matches!(ledger.swap(&key, &Expected::Absent, &done, 0).await.expect("an answer"), Swapped::No(Some(_))));
    assert_eq!(ledger.swap(&key, &expected, &done, 0).await.expect("an answer"), Swapped::Yes);
    let found = ledger.swap(&key, &expected, &done, 0).await.expect("an answer");
    assert_eq!(found, Swapped::No(Some(State::Done { payload: PAYLOAD })));
}

async fn rejections_go_their_way(ledger: &dyn Ledger) {
    let (key, claim) = (key(), claim("s1", 5));
    let rejection = Rejection::at(Reason::TypeMismatch, "/orderId", "expected INT64, found \"é\"");
    let rejecting = NewState::Rejecting { payload: PAYLOAD, rejection: rejection.clone() };
    let rejected = NewState::Rejected { payload: PAYLOAD, window: WINDOW };
    won(ledger, key, &claim).await;
    let swapped = ledger.swap(&key, &Expected::Claimed(claim.clone()), &rejecting, 0).await.expect("an answer");
    assert_eq!(swapped, Swapped::Yes);
    let found = ledger.claim(&[key.into()], &claim, 0).await.expect("an answer");
    assert_eq!(found, [Claimed::Found(State::Rejecting { payload: PAYLOAD, rejection })]);
    let other = Expected::Rejecting(PayloadHash::from_bits(1));
    assert!(matches!(ledger.swap(&key, &other, &rejected, 0).await.expect("an answer"), Swapped::No(Some(_))));
    let expected = Expected::Rejecting(PAYLOAD);
    assert_eq!(ledger.swap(&key, &expected, &rejected, 0).await.expect("an answer"), Swapped::Yes);
    assert_eq!(state(ledger, key).await, Some(State::Rejected { payload: PAYLOAD }));
}

async fn a_dead_letter_is_reopened_by_its_number(ledger: &dyn Ledger) {
    let (key, claim) = (key(), claim("s1", 0));
    let (first, second) = (PAYLOAD.redriven(0), PAYLOAD.redriven(1));
    let kept = Claim::reopening(Owner::generate(), 1);
    let reopened = NewState::Claimed(kept.clone());
    let rejected = |payload| NewState::Rejected { payload, window: WINDOW };
    let swap =
        async |expected: Expected, new: NewState| ledger.swap(&key, &expected, &new, 0).await.expect("an answer");
    assert_eq!(swap(Expected::Absent, rejected(first)).await, Swapped::Yes);
    let found = swap(Expected::Rejected(second), reopened.clone()).await;
    assert_eq!(found, Swapped::No(Some(State::Rejected { payload: first })));
    assert_eq!(swap(Expected::Rejected(first), reopened.clone()).await, Swapped::Yes);
    let found = state(ledger, key).await;
    assert!(matches!(&found, Some(State::Claimed { claim, .. }) if *claim == kept), "{found:?}");
    // Only who knows of it takes it over.
    let late = ledger.claim(&[key.into()], &claim, 0).await.expect("an answer");
    assert!(matches!(late[..], [Claimed::Found(State::Claimed { .. })]), "{late:?}");
    let want = Want { instead_of: Some(kept), ..key.into() };
    assert_eq!(ledger.claim(&[want], &claim, 0).await.expect("an answer"), [Claimed::Won]);
    let rejecting = NewState::Rejecting { payload: second, rejection: Rejection::new(Reason::TypeMismatch, "again") };
    assert_eq!(swap(Expected::Claimed(claim.clone()), rejecting).await, Swapped::Yes);
    assert_eq!(swap(Expected::Rejecting(second), rejected(second)).await, Swapped::Yes);
    let found = swap(Expected::Rejected(first), reopened).await;
    assert_eq!(found, Swapped::No(Some(State::Rejected { payload: second })));
}

async fn settled_keys_are_forgotten_after_their_window(ledger: &dyn Ledger) {
    let (row, dead_letter, claim) = (key(), key(), claim("s1", 0));
    let window = Duration::from_millis(50);
    ledger.settle(&[(row, PAYLOAD)], &claim, window).await.expect("an answer");
    let rejected = NewState::Rejected { payload: PAYLOAD, window };
    ledger.swap(&dead_letter, &Expected::Absent, &rejected, 0).await.expect("an answer");
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while ledger.read(&[row, dead_letter]).await.expect("an answer") != [None, None] {
        assert!(std::time::Instant::now() < deadline, "keys outlive their window");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    won(ledger, row, &claim).await;
}

async fn undecided_keys_are_not_forgotten(ledger: &dyn Ledger) {
    let (key, first, second) = (key(), claim("s1", 0), claim("s2", 0));
    ledger.settle(&[(key, PAYLOAD)], &first, Duration::from_millis(1)).await.expect("an answer");
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while state(ledger, key).await.is_some() {
        assert!(std::time::Instant::now() < deadline, "the key outlives its window");
        tokio::task::yield_now().await;
    }
    // The new claim does not inherit the old one's end.
    won(ledger, key, &second).await;
    let later = std::time::Instant::now() + Duration::from_millis(20);
    while std::time::Instant::now() < later {
        assert_eq!(claimed(state(ledger, key).await), Some(second.clone()));
    }
}

async fn one_of_many_wins(ledger: &dyn Ledger) {
    let keys = [key(), key(), key()];
    let wants: Vec<Want> = keys.into_iter().map(Want::from).collect();
    let claims: Vec<Claim> = (0..16).map(|at| claim(&format!("s{at}"), 0)).collect();
    let all = futures::future::join_all(claims.iter().map(|claim| ledger.claim(&wants, claim, 0))).await;
    let all: Vec<Vec<Claimed>> = all.into_iter().map(|claimed| claimed.expect("an answer")).collect();
    for at in 0..keys.len() {
        assert_eq!(all.iter().filter(|claimed| claimed[at] == Claimed::Won).count(), 1);
    }
}

async fn large_batches_keep_their_order(ledger: &dyn Ledger) {
    let (mine, theirs) = (claim("s1", 0), claim("s2", 9));
    let keys: Vec<EventKey> = (0..2_500).map(|_| key()).collect();
    let taken: Vec<Want> = keys.iter().step_by(3).copied().map(Want::from).collect();
    ledger.claim(&taken, &theirs, 0).await.expect("an answer");
    let wants: Vec<Want> = keys.iter().copied().map(Want::from).collect();
    let claimed = ledger.claim(&wants, &mine, 0).await.expect("an answer");
    assert_eq!(claimed.len(), keys.len());
    for (at, claimed) in claimed.iter().enumerate() {
        assert_eq!(*claimed == Claimed::Won, at % 3 != 0, "{at}: {claimed:?}");
    }
    let rows: Vec<(EventKey, PayloadHash)> =
        keys.iter().enumerate().map(|(at, key)| (*key, PayloadHash::from_bits(at as u64))).collect();
    let settled = ledger.settle(&rows, &mine, WINDOW).await.expect("an answer");
    assert_eq!(settled.iter().filter(|settled| **settled == Settled::Done).count(), keys.len() - taken.len());
    for (at, state) in ledger.read(&keys).await.expect("an answer").into_iter().enumerate() {
        assert_eq!(state, Some(State::Done { payload: PayloadHash::from_bits(at as u64) }));
    }
}

async fn old_claims_are_listed(ledger: &dyn Ledger) {
    let (old, settled, claim) = (key(), key(), claim("listed", 7));
    won(ledger, old, &claim).await;
    won(ledger, settled, &claim).await;
    ledger.settle(&[(settled, PayloadHash::of(b"x"))], &claim, HOUR).await.expect("settled");
    let listed = ledger.undecided(Duration::ZERO).await.expect("a list");
    assert!(listed.contains(&(old, claim.clone(), PayloadHash::UNKNOWN)));
    assert!(!listed.iter().any(|(key, ..)| *key == settled));
    assert!(!ledger.undecided(HOUR).await.expect("a list").iter().any(|(key, ..)| *key == old));
    ledger.release(&[old], &claim).await.expect("released");
}

async fn counts_are_shared(ledger: &dyn Ledger) {
    let (one, other) = (key().to_string(), key().to_string());
    let long = Duration::from_secs(1_000_000_000);
    let count = async |by: [u64; 2]| {
        let meters = [Meter { what: &one, by: by[0], period: long }, Meter { what: &other, by: by[1], period: long }];
        let counted = ledger.meter(&meters).await.expect("counts");
        assert!(counted.iter().all(|counted| counted.previous == 0), "{counted:?}");
        counted.iter().map(|counted| counted.current).collect::<Vec<_>>()
    };
    assert_eq!(count([1, 0]).await, [1, 0]);
    assert_eq!(count([1, 3_000_000_000]).await, [2, 3_000_000_000]);
    assert_eq!(count([0, 1]).await, [2, 3_000_000_001]);
}

/// However late each call comes: what it is told follows from the period that it says it came in.
async fn a_count_is_told_for_one_period_more(ledger: &dyn Ledger) {
    let (what, period) = (key().to_string(), Duration::from_millis(200));
    let (mut last, mut followed) = (Metered { turn: 0, previous: 0, current: 0 }, 0);
    while followed < 2 {
        let counted = ledger.meter(&[Meter { what: &what, by: 2, period }]).await.expect("a count")[0];
        let (previous, current) = match counted.turn - last.turn {
            0 => (last.previous, last.current + 2),
            1 => (last.current, 2),
            _ => (0, 2),
        };
        assert_eq!((counted.previous, counted.current), (previous, current), "after {last:?}");
        followed += u32::from(counted.turn - last.turn == 1);
        last = counted;
        tokio::time::sleep(period / 10).await;
    }
}

async fn empty_batches_are_nothing(ledger: &dyn Ledger) {
    let claim = claim("s1", 0);
    assert_eq!(ledger.claim(&[], &claim, 0).await.expect("an answer"), []);
    assert_eq!(ledger.settle(&[], &claim, WINDOW).await.expect("an answer"), []);
    assert_eq!(ledger.read(&[]).await.expect("an answer"), []);
    ledger.release(&[], &claim).await.expect("an answer");
    assert_eq!(ledger.meter(&[]).await.expect("an answer"), []);
}
