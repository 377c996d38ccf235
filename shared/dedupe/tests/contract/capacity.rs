//! What a settled event costs: memory of a real server, and its time.

use std::time::{Duration, Instant};

use dedupe::{Claimed, EventKey, Ledger, PayloadHash, RedisLedger, RedisSettings, Want};

use crate::{
    promises,
    server::{self, RedisServer},
};

const EVENTS: u64 = 1_000_000;
const BATCH: usize = 500;
const WINDOW: Duration = Duration::from_secs(86_400);

/// A million events, settled in batches, and then batches claimed and settled on top of them.
#[tokio::test]
async fn a_settled_event_is_small() {
    let server = RedisServer::started().await;
    let settings = RedisSettings { response_timeout: Duration::from_secs(10), ..RedisSettings::new(server.url()) };
    let ledger = RedisLedger::new(&settings).expect("settings of a ledger");
    server::answers(&ledger).await;
    let claim = promises::claim("s1", 0);
    let (before, started) = (server.info("memory", "used_memory").await, Instant::now());
    for _ in 0..EVENTS / BATCH as u64 {
        ledger.settle(&rows(), &claim, WINDOW).await.expect("an answer");
    }
    let bytes = (server.info("memory", "used_memory").await - before) as f64 / EVENTS as f64;
    println!("{bytes:.1} bytes of Redis for each of {EVENTS} settled events; {:.1?} to settle them", started.elapsed());

    let batches: Vec<Vec<(EventKey, PayloadHash)>> = (0..100).map(|_| rows()).collect();
    for (name, settles) in [("claims", false), ("settles", true)] {
        let (busy, started) = (server.processor_time().await, Instant::now());
        for rows in &batches {
            if settles {
                ledger.settle(rows, &claim, WINDOW).await.expect("an answer");
            } else {
                let wants: Vec<Want> = rows.iter().map(|(key, _)| Want::from(*key)).collect();
                let claimed = ledger.claim(&wants, &claim, 0).await.expect("an answer");
                assert!(claimed.iter().all(|claimed| *claimed == Claimed::Won));
            }
        }
        let elapsed = started.elapsed().as_secs_f64();
        let busy = server.processor_time().await - busy;
        let events = (batches.len() * BATCH) as f64;
        println!(
            "{name}: {:.0} a second of the server's processor, {:.0} a second seen from one caller of this build",
            events / busy.as_secs_f64(),
            events / elapsed,
        );
    }
    assert!(bytes <= 48.0, "{bytes:.1} bytes for each settled event");
}

fn rows() -> Vec<(EventKey, PayloadHash)> {
    (0..BATCH).map(|_| promises::key()).map(|key| (key, PayloadHash::of(key.as_bytes()))).collect()
}
