//! What every ledger promises, asked of each: Redis, the process, and the process with a journal.

mod capacity;
#[cfg(feature = "journal")]
mod journal;
mod promises;
mod server;

use std::{sync::Arc, time::Duration};

use dedupe::{InProcessLedger, Ledger, RedisLedger, RedisSettings};
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
async fn the_process_keeps_the_promises() {
    promises::all(Arc::new(InProcessLedger::new())).await;
}

#[cfg(feature = "journal")]
#[tokio::test]
async fn the_process_with_a_journal_keeps_the_promises() {
    let folder = tempfile::tempdir().expect("a folder");
    promises::all(Arc::new(InProcessLedger::open(folder.path()).expect("a ledger"))).await;
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

/// A full server refuses a claim aloud; it does not forget another.
#[tokio::test]
async fn a_full_redis_refuses() {
    let server = RedisServer::started().await;
    let ledger = RedisLedger::new(&RedisSettings::new(server.url())).expect("settings of a ledger");
    server::answers(&ledger).await;
    assert_eq!(ledger.eviction_policy().await.expect("a policy").as_deref(), Some("noeviction"));
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let claim = promises::claim("s1", 0);
    let error = ledger.claim(&[promises::key().into()], &claim, 0).await.expect_err("a full server");
    assert!(matches!(error, dedupe::LedgerError::Refused(_)), "{error:?}");
}
