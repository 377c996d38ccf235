//! Settled keys in Redis come and go by the page.

use std::time::{Duration, Instant};

use dedupe::{Claimed, EventKey, Expected, Ledger, NewState, PayloadHash, Settled, State, Swapped, Want};

use crate::{
    ledger,
    promises::{PAYLOAD, WINDOW, claim, key},
    server::RedisServer,
};

/// More events than the first pages take, of streams with different windows: each is found, whichever page it is in.
#[tokio::test]
async fn events_are_found_in_every_page() {
    let server = RedisServer::started().await;
    let (ledger, mine) = (ledger(&server).await, claim("s1", 0));
    let windows = [WINDOW, WINDOW * 24, WINDOW / 2];
    let batches: Vec<Vec<(EventKey, PayloadHash)>> = (0..45)
        .map(|_| (0..1_000).map(|_| key()).map(|key| (key, PayloadHash::of(key.as_bytes()))).collect())
        .collect();
    for (rows, window) in batches.iter().zip(windows.into_iter().cycle()) {
        let settled = ledger.settle(rows, &mine, window).await.expect("an answer");
        assert!(settled.iter().all(|settled| *settled == Settled::Done));
    }
    let index: String = server.command(&["GET", "pages:{0}"]).await;
    assert!(index.lines().count() > 2 * windows.len(), "too few pages to prove anything: {index}");
    for rows in &batches {
        let wants: Vec<Want> = rows.iter().map(|(key, _)| Want::from(*key)).collect();
        let found = ledger.claim(&wants, &mine, 0).await.expect("an answer");
        for ((_, payload), found) in rows.iter().zip(found) {
            assert_eq!(found, Claimed::Found(State::Done { payload: *payload }));
        }
    }
    let fresh: Vec<Want> = (0..5_000).map(|_| Want::from(key())).collect();
    let claimed = ledger.claim(&fresh, &mine, 0).await.expect("an answer");
    assert!(claimed.iter().all(|claimed| *claimed == Claimed::Won));
    // All of it is in listpacks.
    let listpacks = "local keys = redis.call('KEYS', 'p:*') for _, key in ipairs(keys) do
        if redis.call('OBJECT', 'ENCODING', key) ~= 'listpack' then return -1 end end return #keys";
    let count: i64 = server.command(&["EVAL", listpacks, "0"]).await;
    assert!(count > 500, "{count}");
}

/// A dead letter that turns out to be a row changes its page, and stands once.
#[tokio::test]
async fn a_packed_key_can_be_settled_anew() {
    let server = RedisServer::started().await;
    let (ledger, mine, key) = (ledger(&server).await, claim("s1", 0), key());
    let other = PayloadHash::from_bits(9);
    let rejected = NewState::Rejected { payload: other, window: WINDOW };
    assert_eq!(ledger.swap(&key, &Expected::Absent, &rejected, 0).await.expect("an answer"), Swapped::Yes);
    let settled = ledger.settle(&[(key, PAYLOAD)], &mine, WINDOW * 2).await.expect("an answer");
    assert_eq!(settled, [Settled::Contradicted(State::Rejected { payload: other })]);
    let swapped = ledger.swap(&key, &Expected::Absent, &rejected, 0).await.expect("an answer");
    assert_eq!(swapped, Swapped::No(Some(State::Done { payload: PAYLOAD })));
    let hashes: Vec<Vec<u8>> = server.command(&["KEYS", "p:*"]).await;
    assert_eq!(hashes.len(), 1, "the rejection's entry is gone");
}

/// Each event is kept for its window at least, through page after page, and nothing is left in the end.
#[tokio::test]
async fn pages_outlive_their_windows_and_go() {
    let server = RedisServer::started().await;
    let (ledger, mine) = (ledger(&server).await, claim("s1", 0));
    let window = Duration::from_millis(800);
    let mut settled: Vec<(Instant, EventKey)> = Vec::new();
    let end = Instant::now() + window * 2;
    while Instant::now() < end {
        let rows: Vec<_> = (0..20).map(|_| (key(), PAYLOAD)).collect();
        let asked = Instant::now();
        ledger.settle(&rows, &mine, window).await.expect("an answer");
        settled.extend(rows.into_iter().map(|(key, _)| (asked, key)));
        let sample: Vec<_> = settled.iter().step_by(1 + settled.len() / 100).copied().collect();
        let keys: Vec<_> = sample.iter().map(|(_, key)| *key).collect();
        let states = ledger.read(&keys).await.expect("an answer");
        let answered = Instant::now();
        for ((asked, key), state) in sample.iter().zip(states) {
            let age = answered.duration_since(*asked);
            assert!(state.is_some() || age >= window, "{key} was forgotten after {age:?}");
        }
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left: Vec<Vec<u8>> = server.command(&["KEYS", "*"]).await;
        if left.iter().all(|key| key == b"pages:{0}") {
            break;
        }
        assert!(Instant::now() < deadline, "{} keys are left", left.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all: Vec<_> = settled.iter().map(|(_, key)| *key).collect();
    assert!(ledger.read(&all).await.expect("an answer").iter().all(Option::is_none));
    // The index forgets its pages with the next one, and never uses a number twice.
    ledger.settle(&[(key(), PAYLOAD)], &mine, window).await.expect("an answer");
    let index: String = server.command(&["GET", "pages:{0}"]).await;
    assert_eq!(index.lines().count(), 2, "{index}");
    assert!(index.lines().next().is_some_and(|next| next.parse::<u64>().is_ok_and(|next| next > 5)), "{index}");
}
