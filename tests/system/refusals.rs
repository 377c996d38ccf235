//! What a producer, or a forger, is told when the input is wrong.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Setup, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_named() -> anyhow::Result<()> {
    let world = World::start(Setup::default()).await?;

    let broken = world.post("courier-chat", "{\"orderId\": 1,\n \"cityCode\": }", None).await?;
    assert_eq!(broken.status(), 400);
    assert_eq!(broken.headers()["content-type"], "application/problem+json");
    let problem: Value = broken.json().await?;
    let error = &problem["errors"][0];
    assert_eq!((error["line"].as_u64(), error["column"].as_u64()), (Some(2), Some(14)), "{problem}");

    let unknown = world.post("courier-chats", "{}", None).await?;
    assert_eq!(unknown.status(), 404);
    let problem = unknown.text().await?;
    assert!(problem.contains("courier-chat") && problem.contains("events"), "{problem}");

    let large = format!("{{\"orderId\": 1, \"cityCode\": \"{}\"}}", "x".repeat(10_500_000));
    assert_eq!(world.post("courier-chat", large, None).await?.status(), 413);

    // Nothing of a batch with a bad line is published.
    let batch = world.post("courier-chat", "{\"orderId\": 1, \"cityCode\": \"ROM\"}\n[1]\n{}", None).await?;
    assert_eq!(batch.status(), 400);
    let problem: Value = batch.json().await?;
    assert_eq!(problem["errors"][0]["line"], json!(2), "{problem}");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_fault_is_one_dead_letter_and_its_neighbours_land() -> anyhow::Result<()> {
    let world = World::start(Setup::default()).await?;
    let lines = [
        json!({ "orderId": 1, "cityCode": "ROM" }),
        json!({ "orderId": "not a number", "cityCode": "ROM" }),
        json!({ "nothing": "takes this" }),
        json!({ "orderId": 2, "cityCode": "MIL" }),
    ];
    let body = lines.map(|line| line.to_string()).join("\n");
    assert_eq!(world.post("courier-chat", body, Some("batch")).await?.status(), 200);
    let dead =
        "SELECT reason, pointer, SAFE_CONVERT_BYTES_TO_STRING(payload) FROM pipas_ops.dead_letters ORDER BY reason";
    let rows = eventually(Duration::from_secs(30), async || {
        let rows = world.query(dead).await?;
        anyhow::ensure!(rows.len() == 2, "{rows:?}");
        Ok(rows)
    })
    .await?;
    assert_eq!(rows[0][0], json!("no_route"));
    assert_eq!(rows[0][2], json!(r#"{"nothing":"takes this"}"#));
    assert_eq!(rows[1][0], json!("type_mismatch"));
    assert_eq!(rows[1][1], json!("/orderId"));
    eventually(Duration::from_secs(30), async || {
        let orders = world.query("SELECT orderId FROM courier_chat.orders ORDER BY orderId").await?;
        anyhow::ensure!(orders == [[json!("1")], [json!("2")]], "{orders:?}");
        Ok(())
    })
    .await?;
    // Sent again, it is the same dead letter.
    let again = json!({ "orderId": "not a number", "cityCode": "ROM" }).to_string();
    for _ in 0..2 {
        assert_eq!(world.post("courier-chat", again.clone(), Some("bad-one")).await?.status(), 200);
    }
    eventually(Duration::from_secs(30), async || {
        let metrics = world.metrics(&world.endpoints.loader).await?;
        let ended = metrics.lines().filter(|line| line.starts_with("pipas_loader_deliveries_total{"));
        let ended: u64 = ended.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        anyhow::ensure!(ended >= 6, "{ended} deliveries");
        Ok(())
    })
    .await?;
    assert_eq!(world.query_one("SELECT COUNT(*) FROM pipas_ops.dead_letters").await?, json!("3"));
    world.stop().await
}
