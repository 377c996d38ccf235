//! Every event_id once in the table, and once or more in the archive, while the loader is killed and started again.

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::json;
use tests::{Setup, World, eventually, python};

const EVENTS: usize = 10_000;
const SEED: u64 = 20_240_201;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_events_survive_a_killed_loader() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    // What a dead loader had claimed is fenced after 2 s, not after 90.
    let loader_env = vec![("PIPAS_SUSPECT_AFTER", "2s".to_owned())];
    let setup = Setup { data_dir: Some(data.path().to_owned()), loader_env, ..Setup::default() };
    let mut world = World::start(setup).await?;

    let mut random = StdRng::seed_from_u64(SEED);
    let envelope = |index: usize| {
        json!({
            "event_id": format!("event-{index}"),
            "timestamp": "2024-02-01T10:00:00Z",
            "data": { "index": index },
            "metadata": { "source": "test", "version": "1" },
        })
    };
    let mut lines: Vec<String> = (0..EVENTS).map(|index| envelope(index).to_string()).collect();
    let twice = lines.clone().into_iter().filter(|_| random.random_bool(0.1));
    lines.extend(twice.collect::<Vec<_>>());
    lines.shuffle(&mut random);

    // The first half; then the loader dies in the middle of its deliveries; then the rest.
    let (first, second) = lines.split_at(lines.len() / 2);
    send(&world, first).await?;
    eventually(Duration::from_secs(60), async || {
        let written = count(&world).await?;
        anyhow::ensure!(written > 500, "{written} rows");
        Ok(())
    })
    .await?;
    world.kill_loader()?;
    send(&world, second).await?;
    world.start_loader().await?;

    eventually(Duration::from_secs(240), async || {
        let rows = count(&world).await?;
        anyhow::ensure!(rows >= EVENTS as u64, "{rows} of {EVENTS} rows");
        Ok(())
    })
    .await?;
    // Every delivery has ended: the subscription holds nothing that could become a second row.
    eventually(Duration::from_secs(120), async || {
        let backlog = world.subscription("events-loader").await?["backlog"].clone();
        anyhow::ensure!(backlog == 0, "{backlog} messages wait");
        Ok(())
    })
    .await?;

    let doubled = world
        .query("SELECT event_id, COUNT(*) FROM events.events GROUP BY event_id HAVING COUNT(*) > 1 LIMIT 5")
        .await?;
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    assert_eq!(world.query_one("SELECT COUNT(DISTINCT event_id) FROM events.events").await?, json!(EVENTS.to_string()));
    assert_eq!(count(&world).await?, EVENTS as u64);
    assert_eq!(world.query_one("SELECT COUNT(*) FROM pipas_ops.dead_letters").await?, json!("0"));

    // The archive holds each event once or more.
    let mut left = lines.len() as u64;
    while left > 0 {
        let archived = world.compact().await?["events"]["messages"].as_u64().unwrap_or(0);
        assert!(archived > 0, "{left} messages never reached the archive");
        left = left.saturating_sub(archived);
    }
    let folder = data.path().join("storage/pipas-archive/events");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for line in python("read_avro.py", &[&folder.display().to_string()])?.lines() {
        let record: serde_json::Value = serde_json::from_str(line)?;
        *seen.entry(record["attributes"]["ce-id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let missing = (0..EVENTS).filter(|index| !seen.contains_key(&format!("event-{index}"))).count();
    assert_eq!((seen.len(), missing), (EVENTS, 0), "event ids in the archive");
    world.stop().await
}

async fn count(world: &World) -> anyhow::Result<u64> {
    let count = world.query_one("SELECT COUNT(*) FROM events.events").await?;
    Ok(count.as_str().unwrap_or_default().parse()?)
}

async fn send(world: &World, lines: &[String]) -> anyhow::Result<()> {
    let batches = lines.chunks(100).map(|batch| world.post("events", batch.join("\n"), None));
    let answers: Vec<_> = futures::stream::iter(batches).buffer_unordered(4).collect().await;
    for answer in answers {
        let answer = answer?;
        anyhow::ensure!(answer.status() == 200, "{}", answer.text().await?);
    }
    Ok(())
}
