//! The compactor over the wire: subscription in, Avro objects and manifest out, at least once whatever goes wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use archive::{ManifestEntry, Records};
use local_cloud::{Action, Rule, When};
use serde_json::json;
use tests::{Setup, World, changed_catalog, eventually};

const STREAM: &str = "events";
/// What a run held comes again when its lease ends.
const PATIENCE: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_drained_and_overlapping_triggers_write_once() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let world = World::start(Setup { data_dir: Some(data.path().to_owned()), ..Setup::default() }).await?;
    publish(&world, 0..5000).await?;
    let (one, two) = tokio::join!(world.compact(), world.compact());
    let (one, two) = (one?, two?);
    let states = BTreeSet::from([one[STREAM]["state"].as_str(), two[STREAM]["state"].as_str()]);
    assert_eq!(states, BTreeSet::from([Some("drained"), Some("already_running")]), "{one}\n{two}");
    assert_eq!(archived(data.path())?, (0..5000).map(|at| (id(at), 1)).collect());
    let again = world.compact().await?;
    assert_eq!((&again[STREAM]["messages"], &again[STREAM]["objects"]), (&json!(0), &json!([])), "{again}");
    let metrics = world.metrics(&world.endpoints.compactor).await?;
    assert!(metrics.contains("pipas_compactor_messages_total{stream=\"events\"} 5000"), "{metrics}");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_ends_a_run_and_the_next_takes_the_rest() -> anyhow::Result<()> {
    let (data, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let catalog = changed_catalog(folder.path(), "max_messages: 1000000", "max_messages: 300")?;
    let setup = Setup { data_dir: Some(data.path().to_owned()), catalog: Some(catalog), ..Setup::default() };
    let world = World::start(setup).await?;
    publish(&world, 0..1000).await?;
    // Messages that were on their way to a run that ended come to a later one, when they are given back.
    let mut spent = 0;
    let deadline = Instant::now() + PATIENCE;
    while archived(data.path())?.len() < 1000 {
        assert!(Instant::now() < deadline, "{} of 1000 are archived", archived(data.path())?.len());
        let report = world.compact().await?[STREAM].clone();
        if report["state"] == "budget_spent" {
            assert_eq!((&report["messages"], &report["backlog_left"]), (&json!(300), &json!(true)), "{report}");
            spent += 1;
        } else {
            assert_eq!(report["state"], "drained", "{report}");
            assert!(report["messages"].as_u64() < Some(300), "{report}");
        }
    }
    assert!(spent > 0, "no run used its budget up");
    assert_eq!(archived(data.path())?.into_keys().collect::<BTreeSet<_>>(), (0..1000).map(id).collect());
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acked_that_is_not_archived() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let world = World::start(Setup { data_dir: Some(data.path().to_owned()), ..Setup::default() }).await?;
    publish(&world, 0..1000).await?;
    // First the upload is refused, then the manifest: neither acks. 7 is PERMISSION_DENIED.
    for calls in ["storage/PUT", "storage/POST"] {
        let error: Action = serde_json::from_value(json!({ "error": { "code": 7, "message": "no" } }))?;
        world.faults.inject(Rule::new(calls, When::Every(1), error));
        // A run that meets no message, as their leases have not ended yet, writes nothing and succeeds.
        eventually(PATIENCE, async || {
            let (status, report) = world.try_to_compact("").await?;
            assert_eq!(report[STREAM]["messages"], 0, "{report}");
            anyhow::ensure!((status, &report[STREAM]["state"]) == (500, &json!("failed")), "{status}: {report}");
            Ok(())
        })
        .await?;
        world.faults.clear();
        assert_eq!(archived(data.path())?, BTreeMap::new());
        assert_eq!(world.subscription("events-archive").await?["acked"], 0);
    }
    eventually(PATIENCE, async || {
        world.compact().await?;
        let archived = archived(data.path())?.len();
        anyhow::ensure!(archived == 1000, "{archived} of 1000");
        Ok(())
    })
    .await?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_stream_is_named() -> anyhow::Result<()> {
    let world = World::start(Setup::default()).await?;
    let (status, problem) = world.try_to_compact("?stream=nope").await?;
    assert_eq!((status, &problem["streams"]), (404, &json!(["courier-chat", STREAM])), "{problem}");
    world.stop().await
}

fn id(at: usize) -> String {
    format!("event-{at}")
}

/// Publishes one event for each number.
async fn publish(world: &World, numbers: Range<usize>) -> anyhow::Result<()> {
    let event = |at: usize| {
        json!({
            "event_id": id(at),
            "timestamp": "2024-02-01T10:00:00Z",
            "data": { "text": "x".repeat(900) },
            "metadata": { "source": "test", "version": "1" },
        })
        .to_string()
    };
    let lines: Vec<String> = numbers.map(event).collect();
    for lines in lines.chunks(500) {
        let answer = world.post(STREAM, lines.join("\n"), None).await?;
        anyhow::ensure!(answer.status() == 200, "{}", answer.text().await?);
    }
    Ok(())
}

/// How often each event is in the archive, by the manifest; what the manifest says of its objects is verified.
fn archived(data_dir: &Path) -> anyhow::Result<BTreeMap<String, usize>> {
    let bucket = data_dir.join("storage/pipas-archive");
    let mut found = BTreeMap::new();
    let mut folders = vec![bucket.join(STREAM).join("_manifest")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()? {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let entry: ManifestEntry = serde_json::from_slice(&std::fs::read(&path)?)?;
            let object = std::fs::read(bucket.join(&entry.object))?;
            assert_eq!(format!("{:08x}", crc32c::crc32c(&object)), entry.crc32c, "{}", entry.object);
            let mut records = 0;
            for record in Records::new(object.as_slice())? {
                *found.entry(record?.attributes["ce-id"].clone()).or_default() += 1;
                records += 1;
            }
            assert_eq!(records, entry.records, "{}", entry.object);
        }
    }
    Ok(found)
}
