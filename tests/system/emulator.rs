//! The whole flow through Google's own Pub/Sub emulator, where this machine has it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde_json::json;
use tests::{Setup, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn events_flow_through_googles_emulator() -> anyhow::Result<()> {
    let Ok(emulator) = std::env::var("PIPAS_TEST_PUBSUB_EMULATOR") else {
        println!("skipped: Google's Pub/Sub emulator is absent (PIPAS_TEST_PUBSUB_EMULATOR is not set)");
        return Ok(());
    };
    let world = World::start(Setup { pubsub: Some(emulator), ..Setup::default() }).await?;
    for round in 0..2 {
        for index in 0..20 {
            let line = json!({ "orderId": index, "cityCode": "ROM" }).to_string();
            let answer = world.post("courier-chat", line, Some(&format!("order-{index}"))).await?;
            assert_eq!(answer.status(), 200, "round {round}: {}", answer.text().await?);
        }
    }
    eventually(Duration::from_secs(60), async || {
        let rows = world.query("SELECT COUNT(*), COUNT(DISTINCT orderId) FROM courier_chat.orders").await?;
        anyhow::ensure!(rows == [[json!("20"), json!("20")]], "{rows:?}");
        Ok(())
    })
    .await?;
    let archived = AtomicU64::new(0);
    eventually(Duration::from_secs(60), async || {
        let report = world.compact().await?;
        let more = report["courier-chat"]["messages"].as_u64().unwrap_or(0);
        let archived = archived.fetch_add(more, Ordering::Relaxed) + more;
        anyhow::ensure!(archived >= 40, "{archived} of 40 messages are archived");
        Ok(())
    })
    .await?;
    world.stop().await
}
