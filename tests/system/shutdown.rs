//! SIGTERM under load: every part ends within Cloud Run's 10 s, and nothing that was answered is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use pipas::Endpoints;
use serde_json::{Value, json};
use tests::{Process, Producer, Setup, Up, World, eventually, pipas, python};

/// Requests that the producer has in flight.
const IN_FLIGHT: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn each_function_stops_under_load_and_nothing_is_lost() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let loader_env = vec![("PIPAS_SUSPECT_AFTER", "2s".to_owned())];
    let mut world =
        World::start(Setup { data_dir: Some(data.path().to_owned()), loader_env, ..Setup::default() }).await?;
    let producer = Producer::start(&world.endpoints.receiver, IN_FLIGHT);

    for _ in 0..2 {
        flows(&world).await?;
        ends_well(world.take_loader()).await?;
        world.start_loader().await?;
    }

    flows(&world).await?;
    ends_well(world.take_receiver()).await?;
    world.start_receiver()?;
    producer.moved(&world.endpoints.receiver);

    // A run of the compactor lasts while events come; it is told to stop in the midst of one, long after the backlog that it
    // found.
    let found = world.subscription("events-archive").await?["backlog"].as_u64().unwrap_or_default();
    let compacting = tokio::spawn(reqwest::Client::new().post(format!("{}/compact", world.endpoints.compactor)).send());
    eventually(PATIENCE, async || {
        let archive = world.subscription("events-archive").await?;
        anyhow::ensure!(archive["delivered"].as_u64() > Some(found + 300), "{archive}");
        Ok(())
    })
    .await?;
    ends_well(world.take_compactor()).await?;
    let report: Value = compacting.await??.json().await?;
    assert_eq!(report["events"]["state"], "stopped", "{report}");
    assert!(report["events"]["messages"].as_u64() > Some(0), "{report}");
    world.start_compactor()?;

    flows(&world).await?;
    let answered = producer.stop().await?;
    eventually(PATIENCE, async || {
        let backlog = world.subscription("events-loader").await?["backlog"].clone();
        anyhow::ensure!(backlog == 0, "{backlog} messages wait");
        Ok(())
    })
    .await?;
    let rows = world.query("SELECT event_id, COUNT(*) FROM events.events GROUP BY event_id").await?;
    let rows = rows.iter().map(|row| (text(&row[0]), text(&row[1]))).collect();
    every_event_is_one_row(&answered, rows);
    assert_eq!(world.query_one("SELECT COUNT(*) FROM pipas_ops.dead_letters").await?, json!("0"));

    // What the stopped compactor held comes again when its lease ends.
    eventually(Duration::from_secs(150), async || {
        world.compact().await?;
        let backlog = world.subscription("events-archive").await?["backlog"].clone();
        anyhow::ensure!(backlog == 0, "{backlog} messages wait");
        Ok(())
    })
    .await?;
    every_event_is_archived(&answered, data.path())?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn up_stops_under_load_and_nothing_is_lost() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--compact-every", "1"]).await?;
    let producer = Producer::start(&Endpoints::find(data.path())?.receiver, IN_FLIGHT);
    grows(data.path(), 300).await?;
    up.terminate().await?;

    let up = Up::start(data.path(), &["--compact-every", "1"]).await?;
    producer.moved(&Endpoints::find(data.path())?.receiver);
    grows(data.path(), 300).await?;
    let answered = producer.stop().await?;
    eventually(PATIENCE, async || {
        let status: Value = command(data.path(), &["status", "--json"])?;
        let stream = status.as_array().into_iter().flatten().find(|found| found["stream"] == "events").cloned();
        let stream = stream.unwrap_or_default();
        anyhow::ensure!(stream["backlog"] == 0 && stream["archive_backlog"] == 0, "{stream}");
        Ok(())
    })
    .await?;
    let sql = "SELECT event_id, COUNT(*) AS n FROM events.events GROUP BY event_id";
    let rows = command(data.path(), &["query", sql, "--json"])?;
    let rows = rows.as_array().into_iter().flatten().map(|row| (text(&row["event_id"]), row["n"].to_string()));
    every_event_is_one_row(&answered, rows.collect());
    every_event_is_archived(&answered, data.path())?;
    up.terminate().await
}

/// Waits until some hundred more rows have come.
async fn flows(world: &World) -> anyhow::Result<()> {
    let count = async || -> anyhow::Result<u64> {
        Ok(text(&world.query_one("SELECT COUNT(*) FROM events.events").await?).parse()?)
    };
    let before = count().await?;
    eventually(PATIENCE, async || {
        let now = count().await?;
        anyhow::ensure!(now > before + 300, "{now} rows, {before} before");
        Ok(())
    })
    .await
}

/// Waits until so many more rows are in the table of the instance in `data_dir`.
async fn grows(data_dir: &Path, rows: u64) -> anyhow::Result<()> {
    let count = || -> anyhow::Result<u64> {
        let counted = command(data_dir, &["query", "SELECT COUNT(*) AS n FROM events.events", "--json"])?;
        Ok(counted[0]["n"].as_u64().unwrap_or_default())
    };
    let before = count()?;
    eventually(PATIENCE, async || {
        let now = count()?;
        anyhow::ensure!(now > before + rows, "{now} rows, {before} before");
        Ok(())
    })
    .await
}

async fn ends_well(process: Option<Process>) -> anyhow::Result<()> {
    let process = process.ok_or_else(|| anyhow::anyhow!("nothing runs"))?;
    let status = tokio::task::spawn_blocking(|| process.terminate()).await??;
    anyhow::ensure!(status.success(), "it ended with {status}");
    Ok(())
}

fn every_event_is_one_row(answered: &[String], rows: BTreeMap<String, String>) {
    let doubled: Vec<_> = rows.iter().filter(|(_, count)| *count != "1").take(5).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    let missing: Vec<_> = answered.iter().filter(|id| !rows.contains_key(*id)).take(5).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_eq!(rows.len(), answered.len(), "rows that nobody sent");
}

fn every_event_is_archived(answered: &[String], data_dir: &Path) -> anyhow::Result<()> {
    let folder = data_dir.join("storage/pipas-archive/events");
    let archived: BTreeSet<String> = python("read_avro.py", &[&folder.display().to_string()])?
        .lines()
        .map(|line| Ok(text(&serde_json::from_str::<Value>(line)?["attributes"]["ce-id"])))
        .collect::<anyhow::Result<_>>()?;
    let missing: Vec<_> = answered.iter().filter(|id| !archived.contains(*id)).take(5).collect();
    assert!(missing.is_empty(), "{} of {} are in the archive; missing: {missing:?}", archived.len(), answered.len());
    Ok(())
}

fn command(data_dir: &Path, args: &[&str]) -> anyhow::Result<Value> {
    let output = pipas(data_dir, args)?;
    anyhow::ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
