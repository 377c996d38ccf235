//! Tables that keep the newest event of each key, and the view that hides what was written twice.

use std::{fs, path::Path, time::Duration};

use futures::StreamExt;
use local_cloud::{Action, Rule, When};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};
use tests::{Setup, World, eventually};

const CATALOG: &str = "
streams:
  shop:
    tables:
      orders:
        when: { has: [/order, /version] }
        table: shop.orders
        schema: orders.json
        delivery: upsert
        key: [order]
        sequence: /version
      visits:
        when: { has: [/visit] }
        table: shop.visits
        schema: visits.json
        delivery: at_least_once
";
const ORDERS: &str = r#"[
    {"name": "order", "type": "INT64", "mode": "REQUIRED"},
    {"name": "version", "type": "INT64", "mode": "REQUIRED"},
    {"name": "state", "type": "STRING"}
]"#;
const VISITS: &str = r#"[{"name": "visit", "type": "INT64", "mode": "REQUIRED"}]"#;

fn catalog(folder: &Path) -> anyhow::Result<Setup> {
    fs::write(folder.join("pipas.yaml"), CATALOG)?;
    fs::write(folder.join("orders.json"), ORDERS)?;
    fs::write(folder.join("visits.json"), VISITS)?;
    Ok(Setup { catalog: Some(folder.join("pipas.yaml")), ..Setup::default() })
}

/// Posts the events, as lines of many requests at a time.
async fn post(world: &World, events: &[Value]) -> anyhow::Result<()> {
    let bodies = events.chunks(50).map(|events| events.iter().map(|event| format!("{event}\n")).collect::<String>());
    let posts = futures::stream::iter(bodies).map(|body| world.post("shop", body, None));
    let answers: Vec<_> = posts.buffer_unordered(16).collect().await;
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status(), 200, "{}", answer.text().await?);
    }
    Ok(())
}

/// How many deliveries ended so.
async fn outcomes(world: &World, outcome: &str) -> anyhow::Result<u64> {
    let metrics = world.metrics(&world.endpoints.loader).await?;
    let samples = metrics.lines().filter(|line| line.starts_with("pipas_loader_deliveries_total{"));
    let samples = samples.filter(|line| line.contains(&format!("outcome=\"{outcome}\"")));
    Ok(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_shows_its_newest_event_whatever_the_order() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::start(catalog(folder.path())?).await?;
    // 500 orders, each made and updated 3 times; every event is sent twice, in any order.
    let mut events = Vec::new();
    for order in 0..500 {
        for version in 1..=4 {
            let event = json!({ "order": order, "version": version, "state": format!("s{version}") });
            events.extend([event.clone(), event]);
        }
    }
    events.shuffle(&mut StdRng::seed_from_u64(7));
    post(&world, &events).await?;
    eventually(Duration::from_secs(60), async || {
        let written = outcomes(&world, "written").await?;
        anyhow::ensure!(written >= events.len() as u64, "{written} of {}", events.len());
        Ok(())
    })
    .await?;
    let newest: Vec<Vec<Value>> =
        (0..500).map(|order| vec![json!(order.to_string()), json!("4"), json!("s4")]).collect();
    let rows = world.query("SELECT `order`, version, state FROM shop.orders ORDER BY `order`").await?;
    assert_eq!(rows, newest);

    // An event without its place in the order is a dead letter, and changes nothing.
    post(&world, &[json!({ "order": 1, "version": -1, "state": "bad" })]).await?;
    eventually(Duration::from_secs(30), async || {
        let letters = world.query("SELECT reason, pointer FROM pipas_ops.dead_letters").await?;
        anyhow::ensure!(letters == [[json!("type_mismatch"), json!("/version")]], "{letters:?}");
        Ok(())
    })
    .await?;
    let rows = world.query("SELECT `order`, version, state FROM shop.orders ORDER BY `order`").await?;
    assert_eq!(rows, newest);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_view_of_unique_rows_hides_what_was_written_twice() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = catalog(folder.path())?;
    let faults = setup.faults.clone();
    let world = World::start(setup).await?;
    let visits = |range: std::ops::Range<u64>| -> Vec<Value> { range.map(|visit| json!({ "visit": visit })).collect() };
    post(&world, &visits(0..1)).await?;
    let count = "SELECT COUNT(DISTINCT visit) FROM shop.visits";
    let seen = async |visits: u64| {
        eventually(Duration::from_secs(60), async || {
            let found = world.query_one(count).await?;
            anyhow::ensure!(found == json!(visits.to_string()), "{found} of {visits}");
            Ok(())
        })
        .await
    };
    seen(1).await?;
    // Rows whose answers are lost are sent again.
    faults.inject(Rule::new("BigQueryWrite/AppendRows", When::Next(3), Action::ApplyThenFail));
    post(&world, &visits(1..200)).await?;
    seen(200).await?;
    let rows = world.query_one("SELECT COUNT(*) > 200 FROM shop.visits").await?;
    assert_eq!(rows, json!("true"), "rows were written twice");
    let unique = "SELECT COUNT(*), COUNT(DISTINCT visit), COUNT(DISTINCT ingest.event_id) FROM shop.visits_unique";
    assert_eq!(world.query(unique).await?, [[json!("200"), json!("200"), json!("200")]]);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_need_no_ledger() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    // Nothing listens there.
    let loader_env = vec![("PIPAS_REDIS_URL", "redis://127.0.0.1:1".to_owned())];
    let setup = Setup { loader_env, ..catalog(folder.path())? };
    setup.faults.inject(Rule::new("BigQueryWrite/AppendRows", When::Next(2), Action::ApplyThenFail));
    let world = World::start(setup).await?;
    let order = |order: u64, version: u64| json!({ "order": order, "version": version, "state": "s" });
    let events: Vec<_> = (1..=3).rev().flat_map(|version| (0..20).map(move |id| order(id, version))).collect();
    post(&world, &events).await?;
    eventually(Duration::from_secs(60), async || {
        let written = outcomes(&world, "written").await?;
        anyhow::ensure!(written >= events.len() as u64, "{written} of {}", events.len());
        Ok(())
    })
    .await?;
    let sql = "SELECT COUNT(*), COUNT(DISTINCT `order`), MIN(version), MAX(version) FROM shop.orders";
    assert_eq!(world.query(sql).await?, [[json!("20"), json!("20"), json!("3"), json!("3")]]);
    world.stop().await
}
