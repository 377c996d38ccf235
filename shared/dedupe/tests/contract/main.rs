//! What every ledger promises, asked of each: Redis, the process, and the process with a journal.

mod agreement;
mod capacity;
mod connection;
mod failover;
mod generations;
#[cfg(feature = "journal")]
mod journal;
mod pages;
mod promises;
mod server;
mod tls;

use std::{sync::Arc, time::Duration};

use dedupe::{
    Claim, Claimed, EventKey, Expected, InProcessLedger, Ledger, LedgerError, Meter, NewState, Owner, PayloadHash,
    RedisLedger, RedisSettings, Settled, State, Want,
};
use event::{Reason, Rejection};
use server::RedisServer;

async fn in_redis(buckets: u8) -> (RedisServer, Arc<dyn Ledger>) {
    let server = RedisServer::named_or_started().await;
    let settings = RedisSettings { buckets, ..RedisSettings::new(server.url()) };
    let ledger = RedisLedger::new(&settings).expect("settings of a ledger");
    server::answers(&ledger).await;
    (server, Arc::new(ledger))
}

#[tokio::test]
async fn redis_keeps_the_promises() {
    let (_server, ledger) = in_redis(1).await;
    promises::all(ledger).await;
}

#[tokio::test]
async fn redis_keeps_the_promises_over_several_slots() {
    let (_server, ledger) = in_redis(7).await;
    promises::all(ledger).await;
}

#[tokio::test]
async fn generations_hold_in_redis() {
    for buckets in [1, 5] {
        let server = RedisServer::started().await;
        let settings = RedisSettings { buckets, ..RedisSettings::new(server.url()) };
        let ledger = RedisLedger::new(&settings).expect("settings of a ledger");
        server::answers(&ledger).await;
        generations::all(&ledger).await;
    }
}

#[tokio::test]
async fn generations_hold_in_the_process() {
    generations::all(&InProcessLedger::new()).await;
}

#[tokio::test]
async fn the_process_keeps_the_promises() {
    promises::all(Arc::new(InProcessLedger::new())).await;
}

#[cfg(feature = "journal")]
#[tokio::test]
async fn the_process_with_a_journal_keeps_the_promises() {
    let folder = tempfile::tempdir().expect("a folder");
    promises::all(Arc::new(InProcessLedger::open(folder.path()).expect("a ledger"))).await;
}

#[cfg(feature = "journal")]
#[tokio::test]
async fn generations_hold_in_the_process_with_a_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    generations::all(&InProcessLedger::open(folder.path()).expect("a ledger")).await;
}

/// Counts do not fill the server: each is forgotten soon after its period.
#[tokio::test]
async fn counts_expire() {
    let server = RedisServer::started().await;
    let ledger = ledger(&server).await;
    let period = Duration::from_secs(60);
    ledger.meter(&[Meter { what: "a", by: 7, period }, Meter { what: "b", by: 0, period }]).await.expect("counts");
    let names: Vec<String> = server.command(&["KEYS", "count:{0}:*"]).await;
    assert_eq!(names.len(), 2, "{names:?}");
    for name in names {
        let left: i64 = server.command(&["PTTL", &name]).await;
        assert!((120_000..=180_000).contains(&left), "{name} is kept for {left} ms");
    }
}

/// A server that is away is an error in bounded time, and is used again once it is back.
#[tokio::test]
async fn redis_comes_back() {
    let mut server = RedisServer::started().await;
    let settings = RedisSettings { response_timeout: Duration::from_millis(200), ..RedisSettings::new(server.url()) };
    let ledger = RedisLedger::new(&settings).expect("settings of a ledger");
    server::answers(&ledger).await;
    server.kill().await;
    let error = ledger.ping().await.expect_err("no server");
    assert!(matches!(error, dedupe::LedgerError::Unreachable(_)), "{error:?}");
    server.start().await;
    server::answers(&ledger).await;
    promises::all(Arc::new(ledger)).await;
}

/// A full server refuses a claim aloud; it does not forget another, and what is settled there makes room.
#[tokio::test]
async fn a_full_redis_refuses() {
    let server = RedisServer::started().await;
    let ledger = ledger(&server).await;
    let (mine, window) = (promises::claim("s1", 0), Duration::from_secs(3_600));
    let (held, done, payload) = (promises::key(), promises::key(), PayloadHash::of(b"{}"));
    ledger.claim(&[held.into(), done.into()], &mine, 0).await.expect("an answer");
    ledger.settle(&[(done, payload)], &mine, window).await.expect("an answer");
    assert_eq!(ledger.eviction_policy().await.expect("a policy").as_deref(), Some("noeviction"));
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let rejecting = NewState::Rejecting { payload, rejection: Rejection::new(Reason::NoRoute, "none") };
    let errors = [
        ledger.claim(&[promises::key().into()], &mine, 0).await.expect_err("a full server"),
        ledger.settle(&[(promises::key(), payload)], &mine, window).await.expect_err("a full server"),
        ledger.swap(&held, &Expected::Claimed(mine.clone()), &rejecting, 0).await.expect_err("a full server"),
    ];
    for error in errors {
        assert!(matches!(error, LedgerError::Refused(_)), "{error:?}");
    }
    let states = ledger.read(&[held, done]).await.expect("an answer");
    assert!(matches!(&states[..], [Some(State::Claimed { claim, .. }), Some(State::Done { .. })] if *claim == mine));
    assert_eq!(ledger.settle(&[(held, payload)], &mine, window).await.expect("room is made"), [Settled::Done]);
    let rows = [held, done].map(|_| Some(State::Done { payload }));
    assert_eq!(ledger.read(&[held, done]).await.expect("an answer"), rows);
}

/// What the server does when it is full is asked with each survey: another may have taken its place.
#[tokio::test]
async fn a_server_that_evicts_is_told() {
    let server = RedisServer::started().await;
    let ledger = ledger(&server).await;
    assert_eq!(ledger.survey().await.expect("a survey").policy.as_deref(), Some("noeviction"));
    let _: () = server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]).await;
    assert_eq!(ledger.survey().await.expect("a survey").policy.as_deref(), Some("volatile-lru"));
}

/// A claim of an older version, which does not tell what its event says, is found, taken over and marked as any other.
#[tokio::test]
async fn claims_of_older_versions_stand() {
    let server = RedisServer::started().await;
    let ledger = ledger(&server).await;
    let key = EventKey::from_bytes(*b"sixteen bytes id");
    let old = Claim { owner: Owner::from_bytes([b'o'; 16]), write_stream: "s1".into(), base_offset: 5 };
    let value = format!("C{}{}\0\0\0\0\0\0\0\u{5}s1", 1_700_000_000_123_u64, "o".repeat(16));
    let put = async || -> () { server.command(&["SET", "e:{0}:sixteen bytes id", &value]).await };
    put().await;
    let states = ledger.read(&[key]).await.expect("an answer");
    let [Some(State::Claimed { claim, payload, .. })] = &states[..] else { panic!("{states:?}") };
    assert_eq!((claim, *payload), (&old, PayloadHash::UNKNOWN));
    assert_eq!(ledger.claim(&[key.into()], &old, 0).await.expect("an answer"), [Claimed::Won]);

    let payload = PayloadHash::of(b"{}");
    let heir = promises::claim("s2", 0);
    let want = Want { key, payload, instead_of: Some(old.clone()) };
    assert_eq!(ledger.claim(&[want], &heir, 0).await.expect("an answer"), [Claimed::Won]);
    put().await;
    let done = NewState::Done { payload, window: Duration::from_secs(3_600) };
    let swapped = ledger.swap(&key, &Expected::Claimed(old.clone()), &done, 0).await.expect("an answer");
    assert_eq!(swapped, dedupe::Swapped::Yes);
    put().await;
    ledger.release(&[key], &old).await.expect("an answer");
    assert!(!matches!(ledger.read(&[key]).await.expect("an answer")[..], [Some(State::Claimed { .. })]));
}

/// A ledger at the server, which answers.
async fn ledger(server: &RedisServer) -> RedisLedger {
    let ledger = RedisLedger::new(&RedisSettings::new(server.url())).expect("settings of a ledger");
    server::answers(&ledger).await;
    ledger
}
