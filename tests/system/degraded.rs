//! A table that the ledger cannot be made whole for holds no other up.

use std::time::Duration;

use local_cloud::{Action, Faults, Rule, When};
use serde_json::json;
use tests::{Setup, World, chaos::Redis, eventually};

const PATIENCE: Duration = Duration::from_secs(60);
const STREAMS: [(&str, &str); 3] = [("sound", "nack"), ("held", "nack"), ("loose", "append")];

async fn world(faults: Faults) -> anyhow::Result<(World, Redis, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let schema = json!([{ "name": "event_id", "type": "STRING" }, { "name": "n", "type": "INTEGER" }]);
    std::fs::write(folder.path().join("events.json"), schema.to_string())?;
    let streams = STREAMS.map(|(name, on_loss)| {
        format!(
            "  {name}:\n    event_id: /event_id\n    on_ledger_loss: {on_loss}\n    tables:\n      {name}:\n        \
             table: events.{name}\n        schema: events.json\n"
        )
    });
    let file = folder.path().join("pipas.yaml");
    std::fs::write(&file, format!("streams:\n{}", streams.concat()))?;
    let redis = Redis::start().await?;
    let loader_env = vec![
        ("PIPAS_REDIS_URL", redis.url()),
        ("PIPAS_SUSPECT_AFTER", "2s".to_owned()),
        ("PIPAS_HOLD", "2s".to_owned()),
        ("PIPAS_RECOVERY_LIMIT", "1s".to_owned()),
    ];
    let setup = Setup { catalog: Some(file), loader_env, faults, ..Setup::default() };
    Ok((World::start(setup).await?, redis, folder))
}

async fn send(world: &World, stream: &str, events: std::ops::Range<usize>) -> anyhow::Result<()> {
    let lines = events.map(|n| json!({ "event_id": format!("e{n}"), "n": n }).to_string());
    let answer = world.post(stream, lines.collect::<Vec<_>>().join("\n"), None).await?;
    anyhow::ensure!(answer.status() == 200, "{}", answer.text().await?);
    Ok(())
}

/// How many rows there are, and of how many events.
async fn rows(world: &World, stream: &str) -> anyhow::Result<(u64, u64)> {
    let sql = format!("SELECT COUNT(*), COUNT(DISTINCT ingest.event_id) FROM events.{stream}");
    let rows = world.query(&sql).await?;
    let number = |at: usize| rows[0][at].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
    Ok((number(0), number(1)))
}

async fn until_distinct(world: &World, stream: &str, events: u64) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let (rows, distinct) = rows(world, stream).await?;
        anyhow::ensure!(distinct == events, "{stream}: {rows} rows of {distinct} events");
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
async fn a_table_that_cannot_be_read_holds_no_other_up() -> anyhow::Result<()> {
    let faults = Faults::default();
    let (mut world, redis, _folder) = world(faults.clone()).await?;
    for (stream, _) in STREAMS {
        send(&world, stream, 0..20).await?;
        until_distinct(&world, stream, 20).await?;
    }
    let denied = Action::error(tonic::Code::PermissionDenied, "not now");
    let rules = ["held", "loose"]
        .map(|table| Rule::new(format!("bigquery/tables.get/events.{table}"), When::Every(1), denied.clone()))
        .map(|rule| faults.inject(rule));
    redis.ask(&["FLUSHALL"])?;

    for (stream, _) in STREAMS {
        send(&world, stream, 20..40).await?;
    }
    until_distinct(&world, "sound", 40).await?;
    // It does without claims.
    until_distinct(&world, "loose", 40).await?;
    assert_eq!(metric(&world, "pipas_loader_degraded_tables").await?, 2);
    assert!(metric(&world, r#"pipas_loader_unclaimed_total{stream="loose"}"#).await? >= 20);
    assert_eq!(rows(&world, "held").await?, (20, 20));
    assert!(metric(&world, r#"pipas_loader_nacks_total{reason="recovering"}"#).await? > 0);

    // Another loader, which can read the table, makes no claims for it before it is healed: it would take these for new.
    world.kill_loader()?;
    for rule in rules {
        assert!(faults.remove(rule));
    }
    world.start_loader().await?;
    send(&world, "held", 0..21).await?;
    until_distinct(&world, "held", 40).await?;
    eventually(PATIENCE, async || {
        let degraded = metric(&world, "pipas_loader_degraded_tables").await?;
        anyhow::ensure!(degraded == 0, "{degraded} tables are degraded");
        Ok(())
    })
    .await?;
    for stream in ["sound", "held"] {
        send(&world, stream, 0..41).await?;
        until_distinct(&world, stream, 41).await?;
        assert_eq!(rows(&world, stream).await?, (41, 41), "{stream}");
    }
    world.stop().await
}
