//! `pipas audit` finds what is missing and what is doubled, and nothing else.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use pipas::Endpoints;
use serde_json::{Value, json};
use tests::{Process, Setup, World, eventually};

fn audit(data_dir: &Path, more: &[&str]) -> anyhow::Result<Output> {
    audit_of(("events", &World::catalog_file()), data_dir, more)
}

fn audit_of((stream, catalog): (&str, &Path), data_dir: &Path, more: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(Process::binary("pipas")?);
    command.args(["audit", "--stream", stream, "--catalog"]).arg(catalog);
    Ok(command.arg("--data-dir").arg(data_dir).args(more).output()?)
}

/// The account that `pipas audit` prints as JSON.
fn account(data_dir: &Path, more: &[&str]) -> anyhow::Result<Value> {
    let output = audit(data_dir, &[&["--json"], more].concat())?;
    let error = String::from_utf8_lossy(&output.stderr);
    let account: Value = serde_json::from_slice(&output.stdout).map_err(|_| anyhow::anyhow!("{error}"))?;
    let is_closed = account["missing"] == 0 && account["doubled"] == 0;
    anyhow::ensure!(output.status.success() == is_closed, "{}: {account}", output.status);
    anyhow::ensure!(account["closed"] == is_closed, "{account}");
    Ok(account)
}

fn envelope(id: &str, timestamp: &str, word: &str) -> String {
    let metadata = json!({ "source": "test", "version": "1" });
    json!({ "event_id": id, "timestamp": timestamp, "data": { "word": word }, "metadata": metadata }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_closes_and_tells_what_is_missing_and_doubled() -> anyhow::Result<()> {
    let mut world = World::start(Setup::default()).await?;
    let data = tempfile::tempdir()?;
    std::fs::write(data.path().join(Endpoints::FILE), serde_json::to_vec(&world.endpoints)?)?;

    let good = |index: usize| envelope(&format!("event-{index}"), "2024-02-01T10:00:00Z", "a");
    let mut lines: Vec<String> = (0..50).map(good).collect();
    lines.extend((0..5).map(good));
    lines.push(envelope("bad", "some day", "a"));
    assert_eq!(world.post("events", lines.join("\n"), None).await?.status(), 200);
    let count = |sql: &'static str, wanted: u64| {
        let world = &world;
        eventually(Duration::from_secs(60), move || async move {
            let found = world.query_one(sql).await?;
            anyhow::ensure!(found == json!(wanted.to_string()), "{sql}: {found}");
            Ok(())
        })
    };
    count("SELECT COUNT(*) FROM events.events", 50).await?;
    // Other content under a used id has its own end.
    assert_eq!(world.post("events", envelope("event-7", "2024-02-01T10:00:00Z", "b"), None).await?.status(), 200);
    count("SELECT COUNT(*) FROM pipas_ops.dead_letters", 2).await?;

    let before = account(data.path(), &[])?;
    assert_eq!((&before["received"], &before["not_archived"]), (&json!(0), &json!(52)), "{before}");
    eventually(Duration::from_secs(60), async || {
        world.compact().await?;
        let account = account(data.path(), &[])?;
        anyhow::ensure!(account["not_archived"] == 0 && account["archived"] == 57, "{account}");
        Ok(())
    })
    .await?;
    let closed = account(data.path(), &[])?;
    for (name, wanted) in [
        ("received", 52),
        ("written", 50),
        ("dead_lettered", 2),
        ("duplicates_refused", 5),
        ("in_flight", 0),
        ("missing", 0),
        ("doubled", 0),
    ] {
        assert_eq!(closed[name], json!(wanted), "{name}: {closed}");
    }
    let output = audit(data.path(), &[])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.ends_with("\nmissing 0, doubled 0\n"), "{text}");

    // Nothing was published in another year, and a span must not be empty.
    let other = account(data.path(), &["--to", "2024-01-01"])?;
    assert_eq!((&other["received"], &other["not_archived"]), (&json!(0), &json!(0)), "{other}");
    let wrong = audit(data.path(), &["--from", "2024-01-02", "--to", "2024-01-01"])?;
    assert!(!wrong.status.success() && String::from_utf8_lossy(&wrong.stderr).contains("is not before"));

    // An event that no loader takes, and a row that somebody copied.
    world.kill_loader()?;
    assert_eq!(world.post("events", good(1000), None).await?.status(), 200);
    eventually(Duration::from_secs(60), async || {
        world.compact().await?;
        let account = account(data.path(), &["--in-flight", "0s"])?;
        anyhow::ensure!(account["archived"] == 58, "{account}");
        Ok(())
    })
    .await?;
    let late = account(data.path(), &["--in-flight", "1h"])?;
    assert_eq!((&late["in_flight"], &late["missing"]), (&json!(1), &json!(0)), "{late}");
    let copy = json!({ "rows": [{ "json": {
        "event_id": "event-3", "timestamp": "2024-02-01T10:00:00Z",
        "ingest": { "event_id": "event-3", "message_id": "1", "published_at": "2024-02-01T10:00:00Z",
            "loaded_at": "2024-02-01T10:00:00Z", "write_stream": "s", "write_offset": 0 },
    } }] });
    let endpoints = &world.endpoints;
    let table =
        format!("{}/bigquery/v2/projects/{}/datasets/events/tables/events", endpoints.bigquery, endpoints.project);
    let inserted: Value =
        reqwest::Client::new().post(format!("{table}/insertAll")).json(&copy).send().await?.json().await?;
    assert!(inserted["insertErrors"].is_null() && inserted["error"].is_null(), "{inserted}");
    let broken = account(data.path(), &["--in-flight", "0s"])?;
    assert_eq!((&broken["missing"], &broken["doubled"]), (&json!(1), &json!(1)), "{broken}");
    assert_eq!(broken["missing_ids"], json!(["events.events: event-1000"]));
    assert_eq!(broken["doubled_ids"], json!(["events.events: event-3 (2 rows)"]));
    let output = audit(data.path(), &["--in-flight", "0s"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && text.ends_with("\nmissing 1, doubled 1\n"), "{text}");

    world.start_loader().await?;
    let output = audit(data.path(), &["--in-flight", "1h", "--wait", "60s"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.ends_with("\nmissing 0, doubled 1\n") && !text.contains("in flight          1"), "{text}");
    world.stop().await
}

const KEYED: &str = "
streams:
  keyed:
    tables:
      states:
        table: keyed.states
        schema: states.json
        delivery: upsert
        key: [s, i, b, n, big, d, dt, ts]
";

#[tokio::test(flavor = "multi_thread")]
async fn upserted_rows_are_found_by_keys_of_every_type() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let catalog = folder.path().join("pipas.yaml");
    std::fs::write(&catalog, KEYED)?;
    let types = ["STRING", "INTEGER", "BOOLEAN", "NUMERIC", "BIGNUMERIC", "DATE", "DATETIME", "TIMESTAMP"];
    let columns = ["s", "i", "b", "n", "big", "d", "dt", "ts"].iter().zip(types);
    let columns = columns.map(|(name, of)| json!({ "name": name, "type": of, "mode": "REQUIRED" }));
    std::fs::write(folder.path().join("states.json"), Value::Array(columns.collect()).to_string())?;
    let world = World::start(Setup { catalog: Some(catalog.clone()), ..Setup::default() }).await?;
    std::fs::write(folder.path().join(Endpoints::FILE), serde_json::to_vec(&world.endpoints)?)?;
    // One key, written in two ways, and another one.
    let states = [
        json!({ "s": 7, "i": "007", "b": "TRUE", "n": "1.50", "big": "1e2", "d": "2024-2-1",
            "dt": "2024-2-1T1:2:3", "ts": 1_706_781_886.5 }),
        json!({ "s": "7", "i": 7, "b": true, "n": 1.5, "big": 100, "d": "2024-02-01",
            "dt": "2024-02-01 01:02:03", "ts": "2024-02-01T12:04:46.5+02:00" }),
        json!({ "s": "8", "i": -8, "b": false, "n": "-0.000000001", "big": "0.00000000000000000000000000000000000001",
            "d": "0001-01-01", "dt": "9999-12-31T23:59:59.999999", "ts": "1969-12-31T23:59:59.999999Z" }),
    ];
    for state in &states {
        assert_eq!(world.post("keyed", state.to_string(), None).await?.status(), 200);
    }
    eventually(Duration::from_secs(60), async || {
        world.compact().await?;
        let output = audit_of(("keyed", &catalog), folder.path(), &["--json"])?;
        let error = String::from_utf8_lossy(&output.stderr);
        let account: Value = serde_json::from_slice(&output.stdout).map_err(|_| anyhow::anyhow!("{error}"))?;
        let found = ["received", "written", "superseded", "duplicates_refused", "missing", "not_archived", "doubled"]
            .map(|name| account[name].as_u64());
        anyhow::ensure!(found == [3, 3, 1, 0, 0, 0, 0].map(Some), "{account}");
        Ok(())
    })
    .await?;
    assert_eq!(world.query_one("SELECT COUNT(*) FROM keyed.states").await?, json!("2"));
    world.stop().await
}
