//! A claim ledger that loses its keys, or goes away.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Setup, World, chaos::Redis, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// A world whose ledger is a Redis of its own; `settings` go to the top of its catalog and into its stream `events`.
async fn world(top: &str, stream: &str) -> anyhow::Result<(World, Redis, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let schema = json!([
        { "name": "event_id", "type": "STRING" },
        { "name": "timestamp", "type": "TIMESTAMP" },
        { "name": "n", "type": "INTEGER" },
    ]);
    std::fs::write(folder.path().join("events.json"), schema.to_string())?;
    let catalog = format!(
        "{top}\nstreams:\n  events:\n    event_id: /event_id\n    {stream}\n    tables:\n      events:\n        \
         table: events.events\n        schema: events.json\n"
    );
    let file = folder.path().join("pipas.yaml");
    std::fs::write(&file, catalog)?;
    let redis = Redis::start().await?;
    let loader_env = vec![
        ("PIPAS_REDIS_URL", redis.url()),
        ("PIPAS_SUSPECT_AFTER", "2s".to_owned()),
        ("PIPAS_HOLD", "2s".to_owned()),
        ("PIPAS_JANITOR_IDLE", "1s".to_owned()),
    ];
    let setup = Setup { catalog: Some(file), loader_env, ..Setup::default() };
    Ok((World::start(setup).await?, redis, folder))
}

async fn send(world: &World, events: std::ops::Range<usize>) -> anyhow::Result<()> {
    let lines = events.map(|n| json!({ "event_id": format!("e{n}"), "n": n }).to_string());
    let body = lines.collect::<Vec<_>>().join("\n");
    let answer = world.post("events", body, None).await?;
    anyhow::ensure!(answer.status() == 200, "{}", answer.text().await?);
    Ok(())
}

/// How many rows there are, and of how many events.
async fn rows(world: &World) -> anyhow::Result<(u64, u64)> {
    let rows = world.query("SELECT COUNT(*), COUNT(DISTINCT ingest.event_id) FROM events.events").await?;
    let number = |at: usize| rows[0][at].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
    Ok((number(0), number(1)))
}

async fn until_distinct(world: &World, events: u64) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let (rows, distinct) = rows(world).await?;
        anyhow::ensure!(distinct == events, "{rows} rows of {distinct} events");
        Ok(())
    })
    .await
}

/// Waits until no message waits for the loader.
async fn until_settled(world: &World) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let found: Value =
            reqwest::get(format!("{}/local/v1/subscriptions", world.endpoints.pubsub)).await?.json().await?;
        let waits = found.as_array().into_iter().flatten().find(|one| {
            one["name"].as_str().is_some_and(|name| name.ends_with("/events-loader")) && one["backlog"] != json!(0)
        });
        anyhow::ensure!(waits.is_none(), "{waits:?}");
        Ok(())
    })
    .await
}

async fn metric(world: &World, name: &str) -> anyhow::Result<u64> {
    let page = world.metrics(&world.endpoints.loader).await?;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.and_then(|value| value.parse().ok()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_ledger_is_filled_from_the_tables() -> anyhow::Result<()> {
    let (world, mut redis, _folder) = world("", "dedupe_window: 1h").await?;
    send(&world, 0..500).await?;
    until_distinct(&world, 500).await?;
    until_settled(&world).await?;

    redis.replace().await?;
    send(&world, 0..600).await?;
    until_distinct(&world, 600).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (600, 600));
    assert!(metric(&world, "pipas_loader_restored_total").await? >= 500);
    assert!(metric(&world, "pipas_loader_generation").await? >= 2);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_registry_an_empty_ledger_doubles() -> anyhow::Result<()> {
    let (world, mut redis, _folder) = world("registry: none", "dedupe_window: 1h").await?;
    send(&world, 0..100).await?;
    until_distinct(&world, 100).await?;
    until_settled(&world).await?;

    redis.replace().await?;
    send(&world, 0..101).await?;
    until_distinct(&world, 101).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (201, 101));

    // What the shipped view is for.
    assert_eq!(world.query_one("SELECT COUNT(*) FROM events.events_unique").await?, json!("101"));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_away_holds_events_back() -> anyhow::Result<()> {
    let (world, mut redis, _folder) = world("", "on_ledger_loss: nack").await?;
    send(&world, 0..10).await?;
    until_distinct(&world, 10).await?;

    redis.stop();
    send(&world, 10..20).await?;
    eventually(PATIENCE, async || {
        let nacks = metric(&world, r#"pipas_loader_nacks_total{reason="undecided"}"#).await?
            + metric(&world, r#"pipas_loader_nacks_total{reason="recovering"}"#).await?;
        anyhow::ensure!(nacks > 0, "nothing was nacked");
        Ok(())
    })
    .await?;
    assert_eq!(rows(&world).await?, (10, 10));

    redis.restart().await?;
    until_distinct(&world, 20).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (20, 20));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_do_without_its_ledger() -> anyhow::Result<()> {
    let (world, mut redis, _folder) = world("", "on_ledger_loss: append").await?;
    send(&world, 0..10).await?;
    until_distinct(&world, 10).await?;

    redis.stop();
    send(&world, 10..20).await?;
    until_distinct(&world, 20).await?;
    assert!(metric(&world, r#"pipas_loader_unclaimed_total{stream="events"}"#).await? >= 10);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_janitor_ends_idle_streams_and_verifies_them() -> anyhow::Result<()> {
    let (world, _redis, _folder) = world("", "dedupe_window: 1h").await?;
    let http = reqwest::Client::new();
    let janitor = async || -> anyhow::Result<Value> {
        let answer = http.post(format!("{}/janitor", world.endpoints.loader)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    };
    send(&world, 0..50).await?;
    until_distinct(&world, 50).await?;
    until_settled(&world).await?;

    eventually(PATIENCE, async || {
        let report = janitor().await?;
        anyhow::ensure!(report["fenced"] == json!(1), "{report}");
        Ok(())
    })
    .await?;
    let report = janitor().await?;
    assert_eq!((&report["verified"], &report["mismatches"]), (&json!(1), &json!([])), "{report}");

    // Its owner makes another, and loads on.
    send(&world, 50..100).await?;
    until_distinct(&world, 100).await?;
    assert_eq!(rows(&world).await?, (100, 100));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_made_again_takes_its_events_again() -> anyhow::Result<()> {
    let (mut world, _redis, _folder) = world("", "dedupe_window: 1h").await?;
    send(&world, 0..50).await?;
    until_distinct(&world, 50).await?;
    until_settled(&world).await?;

    let endpoints = &world.endpoints;
    let table =
        format!("{}/bigquery/v2/projects/{}/datasets/events/tables/events", endpoints.bigquery, endpoints.project);
    reqwest::Client::new().delete(table).send().await?.error_for_status()?;
    world.kill_loader()?;
    world.start_loader().await?;
    send(&world, 0..50).await?;
    until_distinct(&world, 50).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (50, 50));
    world.stop().await
}
