//! What a settled event costs: memory of a real server, and its time.

use std::time::{Duration, Instant};

use dedupe::{Claimed, EventKey, Ledger, PayloadHash, RedisLedger, RedisSettings, Want, capacity::SETTLED_EVENT_BYTES};

use crate::{
    promises,
    server::{self, RedisServer},
};

/// How many events are settled; `PIPAS_TEST_SETTLED_EVENTS` says another number.
const EVENTS: u64 = 250_000;
const BATCH: usize = 500;
const WINDOW: Duration = Duration::from_secs(86_400);

/// Many events, settled in batches, and then batches claimed and settled on top of them.
#[tokio::test]
async fn a_settled_event_is_small() {
    let server = RedisServer::started().await;
    let settings = RedisSettings { response_timeout: Duration::from_secs(10), ..RedisSettings::new(server.url()) };
    let ledger = RedisLedger::new(&settings).expect("settings of a ledger");
    server::answers(&ledger).await;
    let events =
        std::env::var("PIPAS_TEST_SETTLED_EVENTS").ok().and_then(|events| events.parse().ok()).unwrap_or(EVENTS);
    let claim = promises::claim("s1", 0);
    let (before, started) = (server.info("memory", "used_memory").await, Instant::now());
    for _ in 0..events / BATCH as u64 {
        ledger.settle(&rows(), &claim, WINDOW).await.expect("an answer");
    }
    let bytes = (server.info("memory", "used_memory").await - before) as f64 / events as f64;
    println!("{bytes:.1} bytes of Redis for each of {events} settled events; {:.1?} to settle them", started.elapsed());

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
        let claimed = (batches.len() * BATCH) as f64;
        println!(
            "{name}: {:.0} a second of the server's processor, {:.0} a second seen from one caller of this build",
            claimed / busy.as_secs_f64(),
            claimed / elapsed,
        );
    }
    assert!(bytes <= SETTLED_EVENT_BYTES as f64, "{bytes:.1} bytes for each settled event");
}

fn rows() -> Vec<(EventKey, PayloadHash)> {
    (0..BATCH).map(|_| promises::key()).map(|key| (key, PayloadHash::of(key.as_bytes()))).collect()
}
