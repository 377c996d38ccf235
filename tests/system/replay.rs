//! The way back: from the archive to rows, whatever happens on the way.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use catalog::Catalog;
use local_cloud::{Action, Rule, When};
use pipas::Endpoints;
use pubsub::Outgoing;
use serde_json::{Value, json};
use storage_write::Tables;
use tests::{Process, Setup, World, changed_catalog, eventually};

const PATIENCE: Duration = Duration::from_secs(150);
const TABLE: &str = "events.events";

/// A world whose archive, tables and Pub/Sub the command line finds.
struct Stand {
    world: World,
    data: tempfile::TempDir,
    catalog: PathBuf,
}

impl Stand {
    async fn start(catalog: Option<PathBuf>) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let setup = Setup { data_dir: Some(data.path().join("cloud")), catalog: catalog.clone(), ..Setup::default() };
        let world = World::start(setup).await?;
        std::fs::write(data.path().join(Endpoints::FILE), serde_json::to_vec(&world.endpoints)?)?;
        Ok(Self { world, data, catalog: catalog.unwrap_or_else(World::catalog_file) })
    }

    fn command(&self, more: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(Process::binary("pipas")?);
        command.args(["replay", "--json", "--catalog"]).arg(&self.catalog);
        command.arg("--data-dir").arg(self.data.path()).args(more);
        Ok(command)
    }

    /// Runs `pipas replay`; its exit code and its report.
    async fn replay(&self, more: &[&str]) -> anyhow::Result<(i32, Value)> {
        let mut command = self.command(more)?;
        let output: Output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report =
            serde_json::from_slice(&output.stdout).map_err(|_| anyhow::anyhow!("{}: {said}", output.status))?;
        Ok((output.status.code().unwrap_or(-1), report))
    }

    async fn rows(&self) -> anyhow::Result<u64> {
        let count = self.world.query_one(&format!("SELECT COUNT(*) FROM {TABLE}")).await?;
        Ok(count.as_str().unwrap_or_default().parse()?)
    }

    async fn rows_become(&self, wanted: u64) -> anyhow::Result<()> {
        eventually(PATIENCE, async || {
            let rows = self.rows().await?;
            anyhow::ensure!(rows == wanted, "{rows} rows of {wanted}");
            Ok(())
        })
        .await
    }

    /// Publishes one event for each number, and waits for their rows and their archive objects.
    async fn load(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        let lines: Vec<String> = numbers.clone().map(envelope).collect();
        for lines in lines.chunks(500) {
            let answer = self.world.post("events", lines.join("\n"), None).await?;
            anyhow::ensure!(answer.status() == 200, "{}", answer.text().await?);
        }
        self.rows_become(numbers.end).await?;
        self.archive_becomes(numbers.end).await
    }

    async fn archive_becomes(&self, wanted: u64) -> anyhow::Result<()> {
        eventually(PATIENCE, async || {
            self.world.compact().await?;
            let archived = archived(&self.bucket())?;
            anyhow::ensure!(archived == wanted, "{archived} of {wanted} are archived");
            Ok(())
        })
        .await
    }

    async fn drop_and_make_anew(&self) -> anyhow::Result<()> {
        let catalog = Catalog::load(&self.catalog)?;
        let tables = Tables::connect(&self.world.endpoints.project, Some(&self.world.endpoints.bigquery)).await?;
        tables.drop_table(&catalog.streams["events"].tables[0].name).await?;
        pipas::provision(&catalog, &self.world.endpoints).await?;
        anyhow::ensure!(self.rows().await? == 0, "the table is new");
        Ok(())
    }

    /// Waits until the loader has answered every delivery.
    async fn settled(&self) -> anyhow::Result<()> {
        eventually(PATIENCE, async || {
            let backlog = self.world.subscription("events-loader").await?["backlog"].clone();
            anyhow::ensure!(backlog == 0, "backlog {backlog}");
            Ok(())
        })
        .await
    }

    fn bucket(&self) -> PathBuf {
        self.data.path().join("cloud/storage/pipas-archive")
    }
}

fn envelope(number: u64) -> String {
    let metadata = json!({ "source": "test", "version": "1" });
    let id = format!("event-{number}");
    json!({ "event_id": id, "timestamp": "2024-02-01T10:00:00Z", "data": { "n": number }, "metadata": metadata })
        .to_string()
}

/// Files below `folder` with that ending.
fn files(folder: &Path, ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The records that the manifest of the stream `events` counts.
fn archived(bucket: &Path) -> anyhow::Result<u64> {
    let mut entries = Vec::new();
    for file in files(&bucket.join("events/_manifest"), ".json")? {
        entries.push(serde_json::from_slice::<archive::ManifestEntry>(&std::fs::read(file)?)?);
    }
    Ok(archive::live(entries).iter().map(|entry| entry.records).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drill_brings_every_row_back() -> anyhow::Result<()> {
    let mut command = Command::new(Process::binary("pipas")?);
    command.args(["drill", "restore", "--events", "3000"]).env_remove("PIPAS_REDIS_URL").stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let (said, text) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{said}\n{text}");
    let last = text.lines().last().unwrap_or_default();
    let expected = "drill restore: 3000 events loaded, table dropped and made anew, 3000 replayed, 3000 rows restored, \
                    audit closed (received 3000, written 3000), 3000 replayed again, 0 new rows, in ";
    assert!(last.starts_with(expected) && last.ends_with(" s: passed"), "{last}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_event_is_the_event_that_it_was() -> anyhow::Result<()> {
    // A stream without a pointer to the id: a message that comes straight to the topic lends its event its own.
    let folder = tempfile::tempdir()?;
    let catalog = changed_catalog(folder.path(), "event_id: /event_id", "event_id: null")?;
    let stand = Stand::start(Some(catalog)).await?;
    stand.load(0..50).await?;
    let config = pubsub::PubSubConfig {
        project: stand.world.endpoints.project.clone(),
        endpoint: Some(stand.world.endpoints.pubsub.clone()),
    };
    let publisher = pubsub::Client::connect(&config).await?.publisher("events");
    let bare = (50..60).map(|number| Outgoing { data: envelope(number).into(), ..Outgoing::default() });
    // And one that no table takes as it is.
    let broken = Outgoing { data: "[1]".into(), ..Outgoing::default() };
    for result in publisher.publish(bare.chain([broken]).collect()).await {
        result?;
    }
    stand.rows_become(60).await?;
    stand.archive_becomes(61).await?;
    let what = format!(
        "SELECT ingest.event_id AS ingested_id, ingest.message_id, TIMESTAMP_TRUNC(ingest.published_at, MILLISECOND), \
         ingest.received_at, event_id FROM {TABLE} ORDER BY 1"
    );
    let before = stand.world.query(&what).await?;
    let letters = "SELECT dead_letter_id, message_id, COUNT(*) FROM pipas_ops.dead_letters GROUP BY 1, 2";
    let letters_before = stand.world.query(letters).await?;
    assert_eq!(letters_before.len(), 1, "{letters_before:?}");

    stand.drop_and_make_anew().await?;
    let (code, dry) = stand.replay(&["--stream", "events", "--dry-run"]).await?;
    assert_eq!((code, &dry["taken"], &dry["by_table"]), (0, &json!(61), &json!({"events.events": 60, "no table": 1})));
    assert_eq!(stand.rows().await?, 0, "a dry run changes nothing");
    assert!(files(&stand.bucket().join("_replay"), ".json")?.is_empty());

    let one = before[7][0].as_str().unwrap_or_default().to_owned();
    let (code, report) = stand.replay(&["--stream", "events", "--event-id", &one]).await?;
    assert_eq!((code, &report["taken"], &report["outside"]), (0, &json!(1), &json!(60)), "{report}");
    stand.rows_become(1).await?;

    let (code, report) = stand.replay(&["--stream", "events", "--table", "events"]).await?;
    assert_eq!((code, &report["taken"]), (0, &json!(60)), "{report}");
    stand.rows_become(60).await?;
    let (code, report) = stand.replay(&["--stream", "events"]).await?;
    assert_eq!((code, &report["taken"], &report["state"]), (0, &json!(61), &json!("done")), "{report}");
    stand.settled().await?;
    assert_eq!(stand.world.query(&what).await?, before, "rows are what they were");
    assert_eq!(stand.world.query(letters).await?, letters_before, "no dead letter is written twice");
    // None of this came into the archive once more.
    stand.archive_becomes(61).await?;
    assert_eq!(stand.world.subscription("events-archive").await?["backlog"], 0);
    stand.world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_named_and_the_rest_is_replayed() -> anyhow::Result<()> {
    let stand = Stand::start(None).await?;
    stand.load(0..300).await?;
    stand.load(300..500).await?;
    let objects = files(&stand.bucket().join("events"), ".avro")?;
    assert!(objects.len() >= 2, "{objects:?}");
    let damaged = &objects[0];
    let mut bytes = std::fs::read(damaged)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(damaged, bytes)?;
    let name = damaged.strip_prefix(stand.bucket())?.to_string_lossy().into_owned();
    stand.drop_and_make_anew().await?;

    for more in [&["--stream", "events", "--dry-run"][..], &["--stream", "events"]] {
        let (code, report) = stand.replay(more).await?;
        assert_eq!((code, &report["damaged"][0]["object"]), (2, &json!(name)), "{report}");
        assert_eq!((&report["state"], report["damaged"].as_array().map(Vec::len)), (&json!("done"), Some(1)));
        let taken = report["taken"].as_u64().unwrap_or_default();
        assert!(taken > 0 && taken < 500, "nothing of the damaged object was taken: {report}");
        if more.len() == 2 {
            stand.settled().await?;
            assert_eq!(stand.rows().await?, taken);
        }
    }
    // An object that is gone is damaged too.
    std::fs::remove_file(damaged)?;
    let (code, report) = stand.replay(&["--stream", "events", "--dry-run"]).await?;
    assert_eq!((code, &report["damaged"][0]["object"]), (2, &json!(name)), "{report}");
    stand.world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replay_is_taken_up_where_it_ended() -> anyhow::Result<()> {
    let stand = Stand::start(None).await?;
    stand.load(0..2000).await?;
    stand.drop_and_make_anew().await?;
    let mut first = stand.command(&["--stream", "events", "--rate", "200"])?.stdout(Stdio::null()).spawn()?;
    let checkpoints = stand.bucket().join("_replay/events");
    let reached = eventually(PATIENCE, async || {
        let [file] = files(&checkpoints, ".json")?.try_into().map_err(|found| anyhow::anyhow!("{found:?}"))?;
        let document: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        let positions = document["positions"].as_object().cloned().unwrap_or_default();
        let reached: u64 = positions.values().filter_map(Value::as_u64).sum();
        anyhow::ensure!(reached >= 200, "{document}");
        Ok(reached)
    })
    .await?;
    first.kill()?;
    first.wait()?;

    let (code, report) = stand.replay(&["--stream", "events"]).await?;
    assert_eq!((code, &report["resumed"], &report["state"]), (0, &json!(true), &json!("done")), "{report}");
    let earlier = report["earlier"].as_u64().unwrap_or_default();
    assert!(earlier >= reached, "{report}");
    assert_eq!(report["taken"].as_u64(), Some(2000 - earlier), "{report}");
    stand.rows_become(2000).await?;
    // It is complete: the same command begins anew.
    let (_, report) = stand.replay(&["--stream", "events"]).await?;
    assert_eq!((&report["resumed"], &report["taken"]), (&json!(false), &json!(2000)), "{report}");
    stand.settled().await?;
    assert_eq!(stand.rows().await?, 2000);
    stand.world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_run_goes_on_with_the_next_request() -> anyhow::Result<()> {
    let mut stand = Stand::start(None).await?;
    stand.load(0..1500).await?;
    stand.drop_and_make_anew().await?;
    stand.world.start_replayer()?;
    let http = reqwest::Client::new();
    let url = format!("{}/replay", stand.world.endpoints.replayer);
    let post = async |body: Value| -> anyhow::Result<(u16, Value)> {
        let answer = http.post(&url).json(&body).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    };
    let (status, report) = post(json!({ "stream": "events", "rate": 300, "max_seconds": 1 })).await?;
    assert_eq!((status, &report["state"]), (200, &json!("budget_spent")), "{report}");
    let first = report["taken"].as_u64().unwrap_or_default();
    assert!(first > 0 && first < 1500, "{report}");
    let (status, report) = post(json!({ "stream": "events" })).await?;
    assert_eq!((status, &report["state"], &report["resumed"]), (200, &json!("done"), &json!(true)), "{report}");
    assert_eq!(report["taken"].as_u64(), Some(1500 - first), "{report}");
    stand.rows_become(1500).await?;
    assert_eq!(post(json!({ "stream": "nope" })).await?.0, 404);
    assert_eq!(post(json!({ "stream": "events", "tables": ["nope"] })).await?.0, 400);
    stand.world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_window_events_are_merged_and_not_doubled() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let catalog = changed_catalog(folder.path(), "dedupe_window: 24h", "dedupe_window: 4s")?;
    let stand = Stand::start(Some(catalog)).await?;
    stand.load(0..600).await?;
    // Once the claims may be forgotten, publishing holds everything back.
    eventually(PATIENCE, async || {
        let (code, report) = stand.replay(&["--stream", "events", "--dry-run"]).await?;
        anyhow::ensure!((code, &report["held_back"]) == (2, &json!(600)), "{report}");
        Ok(())
    })
    .await?;
    let (code, report) = stand.replay(&["--stream", "events"]).await?;
    assert_eq!((code, &report["taken"], &report["held_back"]), (2, &json!(0), &json!(600)), "{report}");

    // A push tells a publish time in milliseconds, the archive in microseconds.
    let what = format!(
        "SELECT ingest.event_id, ingest.message_id, TIMESTAMP_TRUNC(ingest.published_at, MILLISECOND), TO_JSON_STRING(data) \
         FROM {TABLE} ORDER BY 1"
    );
    let before = stand.world.query(&what).await?;
    stand.world.query(&format!("DELETE FROM {TABLE} WHERE CAST(JSON_VALUE(data, '$.n') AS INT64) < 150")).await?;
    assert_eq!(stand.rows().await?, 450);
    let (code, report) = stand.replay(&["--stream", "events", "--mode", "merge"]).await?;
    assert_eq!((code, &report["staged"], &report["inserted"]), (0, &json!(600), &json!(150)), "{report}");
    assert_eq!(stand.world.query(&what).await?, before, "the rows are what they were");
    let (code, report) = stand.replay(&["--stream", "events", "--mode", "merge"]).await?;
    assert_eq!((code, &report["staged"], &report["inserted"]), (0, &json!(600), &json!(0)), "{report}");
    assert_eq!(stand.rows().await?, 600);

    let endpoints = &stand.world.endpoints;
    let url = format!("{}/bigquery/v2/projects/{}/datasets/events/tables", endpoints.bigquery, endpoints.project);
    let listed: Value = reqwest::get(url).await?.json().await?;
    let names = listed["tables"].as_array().into_iter().flatten();
    let names: BTreeSet<_> = names.filter_map(|table| table["tableReference"]["tableId"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["events", "events_unique"]), "the staging tables are gone");

    // A table that was made anew has no rows that anybody could have forgotten.
    stand.drop_and_make_anew().await?;
    let (code, report) = stand.replay(&["--stream", "events", "--mode", "merge"]).await?;
    assert_eq!((code, &report["inserted"]), (0, &json!(600)), "{report}");
    stand.world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_an_insertion_began_is_the_next_merges() -> anyhow::Result<()> {
    let stand = Stand::start(None).await?;
    stand.load(0..100).await?;
    // Published before the merge begins, and archived after it was interrupted.
    let late: Vec<String> = (100..150).map(envelope).collect();
    assert_eq!(stand.world.post("events", late.join("\n"), None).await?.status(), 200);
    stand.rows_become(150).await?;
    stand.world.query(&format!("DELETE FROM {TABLE} WHERE CAST(JSON_VALUE(data, '$.n') AS INT64) >= 90")).await?;
    let merge = ["--stream", "events", "--mode", "merge", "--any-age"];
    // The job runs, and its answer is lost.
    let faults = &stand.world.faults;
    let lost = faults.inject(Rule::new("bigquery/jobs.insert", When::Every(1), Action::ApplyThenFail));
    let unknown = faults.inject(Rule::new(
        "bigquery/jobs.get",
        When::Every(1),
        Action::error(tonic::Code::PermissionDenied, "injected"),
    ));
    assert!(stand.replay(&merge).await.is_err());
    assert!(faults.remove(lost) && faults.remove(unknown));
    stand.archive_becomes(150).await?;
    let (code, report) = stand.replay(&merge).await?;
    assert_eq!((code, &report["resumed"]), (0, &json!(true)), "{report}");
    assert_eq!((&report["staged"], &report["inserted"]), (&json!(100), &json!(10)), "{report}");
    let (code, report) = stand.replay(&merge).await?;
    assert_eq!((code, &report["staged"], &report["inserted"]), (0, &json!(150), &json!(50)), "{report}");
    assert_eq!(stand.rows().await?, 150);
    stand.world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_archives_become_rows() -> anyhow::Result<()> {
    let stand = Stand::start(None).await?;
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/archive/tests/foreign");
    let sample = |name: &str| samples.join(name).display().to_string();
    let (code, dry) = stand.replay(&["--stream", "events", "--dry-run", "--from-objects", &sample("")]).await?;
    assert_eq!((code, &dry["taken"], &dry["objects"]), (0, &json!(45), &json!(15)), "{dry}");

    for name in ["pubsub-metadata.avro", "pubsub-data.avro", "dataflow.avro"] {
        let (code, report) = stand.replay(&["--stream", "events", "--from-objects", &sample(name)]).await?;
        assert_eq!((code, &report["taken"]), (0, &json!(3)), "{name}: {report}");
        stand.rows_become(3).await?;
    }
    // From a bucket likewise; they are the same events, and new messages of this archive.
    let url = format!("{}/upload/storage/v1/b/pipas-archive/o", stand.world.endpoints.storage);
    let file = std::fs::read(samples.join("pubsub-metadata-deflate.avro"))?;
    let upload = reqwest::Client::new().post(url).query(&[("uploadType", "media"), ("name", "elsewhere/a")]).body(file);
    upload.send().await?.error_for_status()?;
    let (code, report) =
        stand.replay(&["--stream", "events", "--from-objects", "gs://pipas-archive/elsewhere/"]).await?;
    assert_eq!((code, &report["taken"]), (0, &json!(3)), "{report}");
    stand.settled().await?;
    assert_eq!(stand.rows().await?, 3);
    stand.archive_becomes(12).await?;
    let ids = stand.world.query(&format!("SELECT event_id FROM {TABLE} ORDER BY 1")).await?;
    assert_eq!(ids, [[json!("foreign-0")], [json!("foreign-1")], [json!("foreign-2")]]);

    let no_avro = World::catalog_file().canonicalize()?.display().to_string();
    let (code, report) = stand.replay(&["--stream", "events", "--from-objects", &no_avro]).await?;
    assert_eq!((code, &report["damaged"][0]["object"]), (2, &json!(no_avro)), "{report}");
    stand.world.stop().await
}
