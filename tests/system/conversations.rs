//! The input that proves it: the messages of one conversation, in any order, some of them twice.

use std::time::Duration;

use futures::StreamExt;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use tests::{Setup, World, eventually, python};

const LINES: [&str; 6] = [
    r#"{"senderAppType": "Courier Android", "courierId": 45035010, "fromId": 45035010, "toId": 57270753, "chatStartedByMessage": true, "orderId": 77656162, "orderStage": "AWAITING_PICKUP", "customerId": 57270753, "messageSentTime": "2024-02-01T10:04:46Z"}"#,
    r#"{"orderId": 77656162, "cityCode": "ROM"}"#,
    r#"{"senderAppType": "Customer iOS", "customerId": 57270753, "fromId": 57270753, "toId": 45035010, "chatStartedByMessage": false, "orderId": 77656162, "orderStage": "DELAYED", "courierId": 45035010, "messageSentTime": "2024-02-01T10:05:28Z"}"#,
    r#"{"senderAppType": "Courier Android", "courierId": 45035010, "fromId": 45035010, "toId": 57270753, "chatStartedByMessage": false, "orderId": 77656162, "orderStage": "ACCEPTED", "customerId": 57270753, "messageSentTime": "2024-02-01T10:05:31Z"}"#,
    r#"{"senderAppType": "Customer iOS", "customerId": 57270753, "fromId": 57270753, "toId": 45035010, "chatStartedByMessage": false, "orderId": 77656162, "orderStage": "DELAYED", "courierId": 45035010, "messageSentTime": "2024-02-01T10:06:16Z"}"#,
    r#"{"senderAppType": "Courier Android", "courierId": 45035010, "fromId": 45035010, "toId": 57270753, "chatStartedByMessage": false, "orderId": 77656162, "orderStage": "FAILED", "customerId": 57270753, "messageSentTime": "2024-02-01T10:06:35Z"}"#,
];

/// Microseconds of 2024-02-01T`hour`:`minute`:`second`Z, as BigQuery's JSON gives them.
fn at(minute: i64, second: i64) -> Value {
    let midnight = 1_706_745_600;
    json!(((midnight + 10 * 3600 + minute * 60 + second) * 1_000_000).to_string())
}

/// The row that the view must show for the conversation.
fn expected(order_id: i64) -> Vec<Value> {
    vec![
        json!(order_id.to_string()),
        json!("ROM"),
        at(4, 46),
        at(5, 28),
        json!("3"),
        json!("2"),
        json!("Courier"),
        at(4, 46),
        json!("42"),
        at(6, 35),
        json!("FAILED"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_is_right_in_any_order_and_with_duplicates() -> anyhow::Result<()> {
    let world = World::start(Setup::default()).await?;
    // Each order is the same conversation under another id, sent in another order, some lines twice.
    let orders: Vec<i64> = (77_656_162..77_656_192).collect();
    let mut sends = Vec::new();
    for (seed, order) in orders.iter().enumerate() {
        let mut lines: Vec<(String, String)> = LINES
            .iter()
            .enumerate()
            .map(|(index, line)| (line.replace("77656162", &order.to_string()), format!("{order}-{index}")))
            .collect();
        let mut random = StdRng::seed_from_u64(seed as u64);
        lines.extend(lines.clone().into_iter().filter(|_| rand::Rng::random_bool(&mut random, 0.3)));
        lines.shuffle(&mut random);
        sends.extend(lines);
    }
    let total = sends.len();
    let posts = futures::stream::iter(&sends).map(|(line, key)| world.post("courier-chat", line.clone(), Some(key)));
    let answers: Vec<_> = posts.buffer_unordered(16).collect().await;
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status(), 200, "{}", answer.text().await?);
    }

    let view = "SELECT * FROM `pipas-local.courier_chat.customer_courier_conversations` ORDER BY order_id";
    let everything: Vec<Vec<Value>> = orders.iter().map(|&order| expected(order)).collect();
    eventually(Duration::from_secs(60), async || {
        let rows = world.query(view).await?;
        anyhow::ensure!(rows == everything, "{} rows, the first {:?}", rows.len(), rows.first());
        Ok(())
    })
    .await?;

    // Every line is one row, whatever was sent twice.
    for (table, lines) in [("conversations", 5), ("orders", 1)] {
        let count = world.query_one(&format!("SELECT COUNT(*) FROM courier_chat.{table}")).await?;
        assert_eq!(count, json!((orders.len() * lines).to_string()), "{table}");
    }
    // The account closes.
    eventually(Duration::from_secs(30), async || {
        let metrics = world.metrics(&world.endpoints.loader).await?;
        let outcome = |outcome: &str| -> u64 {
            let samples = metrics.lines().filter(|line| line.starts_with("pipas_loader_deliveries_total{"));
            let samples = samples.filter(|line| line.contains(&format!("outcome=\"{outcome}\"")));
            samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        let (written, duplicate, dead) = (outcome("written"), outcome("duplicate"), outcome("dead_lettered"));
        anyhow::ensure!(written + duplicate + dead == total as u64, "{total} ≠ {written} + {duplicate} + {dead}");
        anyhow::ensure!(written == sends_without_duplicates(&orders) && dead == 0, "written {written}, dead {dead}");
        Ok(())
    })
    .await?;
    world.stop().await
}

fn sends_without_duplicates(orders: &[i64]) -> u64 {
    (orders.len() * LINES.len()) as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_reader_reads_the_archive() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let world = World::start(Setup { data_dir: Some(data.path().to_owned()), ..Setup::default() }).await?;
    for (index, line) in LINES.iter().enumerate() {
        let answer = world.post("courier-chat", *line, Some(&format!("line-{index}"))).await?;
        assert_eq!(answer.status(), 200);
    }
    let mut archived = 0;
    let report = eventually(Duration::from_secs(30), async || {
        let report = world.compact().await?;
        anyhow::Ok(report)
    })
    .await?;
    archived += report["courier-chat"]["messages"].as_u64().unwrap_or(0);
    assert_eq!(archived, 6, "{report}");

    let bucket = data.path().join("storage").join("pipas-archive");
    let printed = python("read_avro.py", &[&bucket.join("courier-chat").display().to_string()])?;
    let records: Vec<Value> = printed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut payloads: Vec<String> =
        records.iter().filter_map(|record| record["data"].as_str().map(str::to_owned)).collect();
    payloads.sort();
    let mut sent = LINES.map(str::to_owned);
    sent.sort();
    assert_eq!(payloads, sent, "byte for byte");
    let mut ids: Vec<&str> = records.iter().filter_map(|record| record["attributes"]["ce-id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["line-0", "line-1", "line-2", "line-3", "line-4", "line-5"]);
    assert!(records.iter().all(|record| record["publish_time_type"] == "datetime"), "{printed}");

    // Nothing is left to archive.
    let again = world.compact().await?;
    assert_eq!(again["courier-chat"]["messages"], json!(0), "{again}");
    world.stop().await
}
