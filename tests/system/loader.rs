//! The loader end to end: what becomes of events that are not plain new rows.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use catalog::Catalog;
use serde_json::{Value, json};
use tests::{Setup, World, changed_catalog, eventually};

const PATIENCE: Duration = Duration::from_secs(30);
const ORDER: &str = r#"{"orderId": 1, "cityCode": "ROM"}"#;
const ORDERS: &str = "datasets/courier_chat/tables/orders";

/// Pushes one message of the stream `courier-chat` to the loader, as Pub/Sub does; the status is its answer.
async fn push(world: &World, id: &str, data: &str) -> anyhow::Result<u16> {
    let body = json!({
        "message": {
            "data": STANDARD.encode(data),
            "messageId": format!("message-{id}"),
            "publishTime": "2024-02-01T10:04:46Z",
            "attributes": { "ce-id": id, "ce-pipasreceived": "2024-02-01T10:04:46Z" },
        },
        "subscription": "projects/pipas-local/subscriptions/courier-chat-loader",
    });
    let url = format!("{}/push/courier-chat", world.endpoints.loader);
    Ok(reqwest::Client::new().post(url).json(&body).send().await?.status().as_u16())
}

/// Pushes a message until it is acked.
async fn acked(world: &World, id: &str, data: &str) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let status = push(world, id, data).await?;
        anyhow::ensure!(status == 204, "{id}: {status}");
        Ok(())
    })
    .await
}

async fn count(world: &World, table: &str) -> anyhow::Result<Value> {
    world.query_one(&format!("SELECT COUNT(*) FROM {table}")).await
}

/// A call of BigQuery's REST API about a table.
async fn rest(world: &World, method: reqwest::Method, path: &str, body: Value) -> anyhow::Result<Value> {
    let url = format!("{}/bigquery/v2/projects/pipas-local/{path}", world.endpoints.bigquery);
    let answer =
        reqwest::Client::new().request(method, url).json(&body).send().await?.error_for_status()?.text().await?;
    Ok(serde_json::from_str(&answer).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_a_row_is_a_dead_letter_with_its_place() -> anyhow::Result<()> {
    let world = World::start(Setup::default()).await?;
    for (id, data) in [
        ("a", ORDER),
        ("a", ORDER),
        // The same id, another event.
        ("a", r#"{"orderId": 2, "cityCode": "ROM"}"#),
        ("b", "oops"),
        // Given twice: a field that the rules look at, and one that only the table has.
        ("c", r#"{"orderId": 3, "cityCode": "ROM", "orderId": 4}"#),
        ("d", r#"{"orderId": 5, "customerId": 6, "fromId": 7, "fromId": 8}"#),
    ] {
        assert_eq!(push(&world, id, data).await?, 204, "{id} {data}");
    }
    let letters =
        world.query("SELECT event_id, reason, pointer FROM pipas_ops.dead_letters ORDER BY event_id, reason").await?;
    let expected = [
        [json!("a"), json!("payload_conflict"), json!(null)],
        [json!("b"), json!("malformed_json"), json!(null)],
        [json!("c"), json!("malformed_json"), json!("/orderId")],
        [json!("d"), json!("malformed_json"), json!("/fromId")],
    ];
    assert_eq!(letters, expected);
    assert_eq!(count(&world, "courier_chat.orders").await?, "1");
    assert_eq!(count(&world, "courier_chat.conversations").await?, "0");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_at_least_once_has_loaded_exactly_once_knows() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (exactly, at_least) = ("delivery: exactly_once", "delivery: at_least_once");
    let file = changed_catalog(folder.path(), exactly, at_least)?;
    let mut world = World::start(Setup { catalog: Some(file), ..Setup::default() }).await?;
    let bad = r#"{"orderId": "x", "cityCode": "ROM"}"#;
    let conflict = r#"{"orderId": 2, "cityCode": "ROM"}"#;
    for (id, data) in [("a", ORDER), ("a", ORDER), ("a", conflict), ("b", bad), ("b", bad)] {
        assert_eq!(push(&world, id, data).await?, 204, "{id} {data}");
    }
    assert_eq!(count(&world, "courier_chat.orders").await?, "1");
    assert_eq!(count(&world, "pipas_ops.dead_letters").await?, "2");

    ends_well(&mut world).await?;
    changed_catalog(folder.path(), exactly, exactly)?;
    world.start_loader().await?;
    for (id, data) in [("a", ORDER), ("b", bad)] {
        assert_eq!(push(&world, id, data).await?, 204, "{id} {data}");
    }
    assert_eq!(count(&world, "courier_chat.orders").await?, "1");
    assert_eq!(count(&world, "pipas_ops.dead_letters").await?, "2");
    world.stop().await
}

async fn ends_well(world: &mut World) -> anyhow::Result<()> {
    let loader = world.take_loader().ok_or_else(|| anyhow::anyhow!("no loader runs"))?;
    let status = tokio::task::spawn_blocking(|| loader.terminate()).await??;
    anyhow::ensure!(status.success(), "the loader ended with {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_anew_is_loaded_anew() -> anyhow::Result<()> {
    let world = World::start(Setup::default()).await?;
    assert_eq!(push(&world, "a", ORDER).await?, 204);
    rest(&world, reqwest::Method::DELETE, ORDERS, Value::Null).await?;
    // The loader learns of it by an append that fails; from then on it holds what comes.
    eventually(PATIENCE, async || {
        let status = push(&world, "b", ORDER).await?;
        anyhow::ensure!(status == 503, "{status}");
        Ok(())
    })
    .await?;
    pipas::provision(&Catalog::load(&World::catalog_file())?, &world.endpoints).await?;
    acked(&world, "b", ORDER).await?;
    // The earlier table's row went with it.
    acked(&world, "a", ORDER).await?;
    let ids = world.query("SELECT ingest.event_id FROM courier_chat.orders ORDER BY 1").await?;
    assert_eq!(ids, [[json!("a")], [json!("b")]]);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_is_used_without_a_restart_and_drift_loses_nothing_before() -> anyhow::Result<()> {
    let world = World::start(Setup::default()).await?;
    let tip = r#"{"orderId": 1, "cityCode": "ROM", "tip": 3}"#;
    assert_eq!(push(&world, "first", tip).await?, 204);
    let table = rest(&world, reqwest::Method::GET, ORDERS, Value::Null).await?;
    let mut fields = table["schema"]["fields"].as_array().cloned().unwrap_or_default();
    fields.push(json!({ "name": "tip", "type": "INTEGER", "mode": "NULLABLE" }));
    rest(&world, reqwest::Method::PATCH, ORDERS, json!({ "schema": { "fields": fields } })).await?;
    // An append's answer tells of the column: the row after it has it.
    for id in ["second", "third", "fourth"] {
        assert_eq!(push(&world, id, tip).await?, 204);
    }
    let sql = "SELECT COUNT(*), COUNTIF(tip = 3), COUNTIF(JSON_VALUE(extra, '$.tip') = '3') FROM courier_chat.orders";
    let rows = world.query(sql).await?;
    let number = |at: usize| rows[0][at].as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let (all, in_column, in_extra) = (number(0), number(1), number(2));
    assert_eq!((all, in_column + in_extra), (4, 4), "{rows:?}");
    assert!(in_column >= 2 && in_extra >= 1, "{rows:?}");
    world.stop().await
}
