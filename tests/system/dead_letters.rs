//! Dead letters: how events become them, and how they are published again.

use std::{path::Path, process::Output, time::Duration};

use local_cloud::{Action, Rule, When};
use pipas::Endpoints;
use serde_json::{Value, json};
use tests::{Setup, World, changed_catalog, chaos::Redis, eventually, pipas};
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(60);
const STREAM: &str = "events";
const ROWS: &str = "SELECT COUNT(*) FROM events.events";
const LETTERS: &str = "SELECT COUNT(*) FROM pipas_ops.dead_letters";

/// A world with short times, and the folder in which commands find it.
async fn world() -> anyhow::Result<(World, tempfile::TempDir)> {
    world_with(100, Vec::new()).await
}

async fn world_with(attempts: u32, more: Vec<(&'static str, String)>) -> anyhow::Result<(World, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let declared = "event_id: /event_id\n";
    let catalog =
        changed_catalog(folder.path(), declared, &format!("{declared}    max_delivery_attempts: {attempts}\n"))?;
    let mut loader_env = vec![("PIPAS_HOLD", "2s".to_owned()), ("PIPAS_SUSPECT_AFTER", "2s".to_owned())];
    loader_env.extend(more);
    let world = World::start(Setup { catalog: Some(catalog), loader_env, ..Setup::default() }).await?;
    std::fs::write(folder.path().join(Endpoints::FILE), serde_json::to_vec(&world.endpoints)?)?;
    Ok((world, folder))
}

fn envelope(id: &str, timestamp: &str) -> Value {
    json!({ "event_id": id, "timestamp": timestamp, "data": { "word": "a" }, "metadata": { "source": "test", "version": "1" } })
}

fn good(id: &str) -> Value {
    envelope(id, "2024-02-01T10:00:00Z")
}

fn bad(id: &str) -> Value {
    envelope(id, "some day")
}

async fn send(world: &World, events: &[Value]) -> anyhow::Result<()> {
    let body = events.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let answer = world.post(STREAM, body, None).await?;
    anyhow::ensure!(answer.status() == 200, "{}", answer.text().await?);
    Ok(())
}

/// Waits until a query of one value says `wanted`.
async fn until(world: &World, sql: &str, wanted: u64) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let found = world.query_one(sql).await?;
        anyhow::ensure!(found == json!(wanted.to_string()), "{sql}: {found}, not {wanted}");
        Ok(())
    })
    .await
}

/// Waits until nothing waits for the loader, nor to be given up.
async fn until_settled(world: &World) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        for subscription in ["events-loader", "events-dead-letter"] {
            let found = world.subscription(subscription).await?;
            anyhow::ensure!(found["backlog"] == json!(0), "{found}");
        }
        Ok(())
    })
    .await
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a command of `pipas dead-letters` prints as JSON, and whether it ended well.
async fn command(folder: &Path, args: &[&str]) -> anyhow::Result<(bool, Value)> {
    let folder = folder.to_owned();
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let output = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = ["dead-letters"].into_iter().chain(args.iter().map(String::as_str)).collect();
        pipas(&folder, &[&args[..], &["--json"]].concat())
    })
    .await??;
    let printed = serde_json::from_slice(&output.stdout).map_err(|_| anyhow::anyhow!("{}", text(&output)))?;
    Ok((output.status.success(), printed))
}

async fn redrive(folder: &Path, args: &[&str]) -> anyhow::Result<Value> {
    let (is_well, report) = command(folder, &[&["redrive"], args].concat()).await?;
    anyhow::ensure!(is_well, "{report}");
    Ok(report)
}

const MISTYPED: [&str; 4] = ["--stream", STREAM, "--reason", "type_mismatch"];

/// The account of the stream, once everything is archived.
async fn audit(world: &World, folder: &Path) -> anyhow::Result<Value> {
    eventually(PATIENCE, async || {
        world.compact().await?;
        let folder = folder.to_owned();
        let catalog = folder.join("pipas.yaml").display().to_string();
        let output = tokio::task::spawn_blocking(move || {
            pipas(&folder, &["audit", "--stream", STREAM, "--catalog", &catalog, "--json"])
        })
        .await??;
        let account: Value =
            serde_json::from_slice(&output.stdout).map_err(|_| anyhow::anyhow!("{}", text(&output)))?;
        anyhow::ensure!(account["not_archived"] == json!(0) && account["missing"] == json!(0), "{account}");
        Ok(account)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_deliveries_are_used_up_is_one_dead_letter() -> anyhow::Result<()> {
    let (mut world, folder) = world_with(5, Vec::new()).await?;
    send(&world, &[good("row")]).await?;
    until(&world, ROWS, 1).await?;
    until_settled(&world).await?;
    let loader = world.take_loader().ok_or_else(|| anyhow::anyhow!("no loader runs"))?;
    loader.kill()?;
    // Two copies of one event, an event that is a row, one that no table would take, and one that its table would refuse.
    send(&world, &[good("gone"), good("row"), bad("refused")]).await?;
    send(&world, &[good("gone")]).await?;
    until(&world, LETTERS, 2).await?;
    until_settled(&world).await?;
    let sql = "SELECT event_id, reason, `table`, delivery_attempt, pointer, detail, JSON_VALUE(attributes, '$.\"ce-id\"'), \
               SAFE_CONVERT_BYTES_TO_STRING(payload), STRPOS(TO_JSON_STRING(attributes), 'CloudPubSub') \
               FROM pipas_ops.dead_letters ORDER BY event_id";
    let letters = world.query(sql).await?;
    let (payload, table) = (json!(good("gone").to_string()), json!("events.events"));
    let failed = "5 deliveries of its message failed";
    let expected = [
        json!("gone"),
        json!("exhausted_retries"),
        table,
        json!("5"),
        Value::Null,
        json!(failed),
        json!("gone"),
        payload,
        json!("0"),
    ];
    assert_eq!(letters[0], expected);
    assert_eq!((&letters[1][1], &letters[1][4]), (&json!("exhausted_retries"), &json!("/timestamp")));
    assert!(
        letters[1][5].as_str().is_some_and(|detail| detail.starts_with(failed) && detail.contains("type_mismatch"))
    );
    assert_eq!(letters.len(), 2, "{letters:?}");
    let metrics = world.metrics(&world.endpoints.deadletter).await?;
    for (outcome, count) in [("dead_lettered", 2), ("duplicate", 2)] {
        let line = format!("pipas_deadletter_deliveries_total{{outcome=\"{outcome}\",stream=\"events\"}} {count}");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }

    // The loader is back: what was given up is published again.
    world.start_loader().await?;
    std::fs::write(folder.path().join(Endpoints::FILE), serde_json::to_vec(&world.endpoints)?)?;
    let report = redrive(folder.path(), &["--stream", STREAM, "--reason", "exhausted_retries"]).await?;
    assert_eq!((&report["matched"], &report["marked"]), (&json!(2), &json!(2)), "{report}");
    until(&world, ROWS, 2).await?;
    until(&world, LETTERS, 3).await?;
    let (_, open) = command(folder.path(), &["list"]).await?;
    assert_eq!(
        (open[0]["event_id"].as_str(), open[0]["reason"].as_str()),
        (Some("refused"), Some("type_mismatch")),
        "{open}"
    );
    until_settled(&world).await?;
    let account = audit(&world, folder.path()).await?;
    assert_eq!(account["doubled"], json!(0), "{account}");
    assert_eq!(
        (&account["received"], &account["written"], &account["dead_lettered"]),
        (&json!(5), &json!(2), &json!(3))
    );
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_cannot_be_appended_is_not_acked() -> anyhow::Result<()> {
    let (world, _folder) = world_with(5, Vec::new()).await?;
    let refused = Action::error(Code::PermissionDenied, "not now");
    let rule = world.faults.inject(Rule::new("BigQueryWrite/AppendRows", When::Every(1), refused));
    send(&world, &[bad("a")]).await?;
    // The loader's deliveries are used up meanwhile, and then the other function's go on failing.
    eventually(PATIENCE, async || {
        let metrics = world.metrics(&world.endpoints.deadletter).await?;
        // It waits as long as a delivery may, or is told that the dead letter was not written.
        let nacked = ["undecided", "dead_letter_failed"]
            .map(|reason| format!("pipas_deadletter_nacks_total{{reason=\"{reason}\"}}"))
            .iter()
            .any(|name| metrics.lines().any(|line| line.starts_with(name)));
        anyhow::ensure!(nacked, "{metrics}");
        Ok(())
    })
    .await?;
    assert_eq!(world.query_one(LETTERS).await?, json!("0"));
    assert!(world.faults.remove(rule));
    until(&world, LETTERS, 1).await?;
    until_settled(&world).await?;
    assert_eq!(world.query_one(LETTERS).await?, json!("1"));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_patched_and_published_again_and_those_that_fail_name_what_they_were() -> anyhow::Result<()> {
    let (world, folder) = world().await?;
    let folder_path = folder.path();
    send(&world, &[good("row"), bad("a"), bad("b"), json!({ "event_id": "c", "data": {} })]).await?;
    until(&world, LETTERS, 3).await?;
    until_settled(&world).await?;
    let (_, summary) = command(folder_path, &["summary"]).await?;
    let counted = |line: &Value| ["reason", "pointer", "dead_letters", "still_open"].map(|name| line[name].clone());
    let lines: Vec<_> = summary.as_array().into_iter().flatten().map(counted).collect();
    assert_eq!(lines.len(), 2, "{summary}");
    assert_eq!(lines[0], [json!("type_mismatch"), json!("/timestamp"), json!(2), json!(2)]);
    assert_eq!(lines[1], [json!("missing_required"), json!("/timestamp"), json!(1), json!(1)]);
    assert!(summary[0]["first_seen"].as_str() <= summary[0]["last_seen"].as_str(), "{summary}");

    // As it is, it fails again.
    let report = redrive(folder_path, &MISTYPED).await?;
    assert_eq!((&report["matched"], &report["marked"]), (&json!(2), &json!(2)), "{report}");
    until(&world, LETTERS, 5).await?;
    until_settled(&world).await?;
    let chained = world
        .query("SELECT COUNT(*) FROM pipas_ops.dead_letters WHERE dead_letter_id = CONCAT(redrive_of, '-1')")
        .await?;
    assert_eq!(chained, [[json!("2")]]);
    let (_, open) = command(folder_path, &["list", "--reason", "type_mismatch"]).await?;
    assert_eq!(open.as_array().map(Vec::len), Some(2), "{open}");
    assert!(open.as_array().into_iter().flatten().all(|letter| letter["redrive_of"].is_string()), "{open}");

    // A patch that does not fit is told, and nothing is published.
    let patch = folder_path.join("patch");
    let path = patch.display().to_string();
    std::fs::write(&patch, r#"[{ "op": "replace", "path": "/time", "value": "2024-02-01T10:00:00Z" }]"#)?;
    let (is_well, report) = command(folder_path, &[&["redrive", "--patch", &path], &MISTYPED[..]].concat()).await?;
    assert!(!is_well && report["failed"] == json!(2), "{report}");
    assert_eq!(report["failures"][0]["detail"], json!("operation 1: there is nothing at /time"), "{report}");
    std::fs::write(&patch, r#"[{ "op": "replace", "path": "/timestamp", "value": "2024-02-01T10:00:00Z" }]"#)?;
    let dry = redrive(folder_path, &[&["--patch", &path, "--dry-run"], &MISTYPED[..]].concat()).await?;
    assert_eq!((&dry["published"][STREAM], &dry["marked"]), (&json!(2), &json!(0)), "{dry}");
    assert_eq!(world.query_one(ROWS).await?, json!("1"));

    // One by a JSON Patch, one by jq.
    let letter = |id: &str| {
        let found = open.as_array().into_iter().flatten().find(|letter| letter["event_id"] == json!(id));
        found.and_then(|letter| letter["dead_letter_id"].as_str()).unwrap_or_default().to_owned()
    };
    let report = redrive(folder_path, &["--id", &letter("a"), "--patch", &path, "--rate", "100"]).await?;
    assert_eq!(report["marked"], json!(1), "{report}");
    std::fs::write(&patch, r#".timestamp = "2024-02-02T10:00:00Z" | .data.word |= ascii_upcase"#)?;
    let report = redrive(folder_path, &["--id", &letter("b"), "--patch", &path]).await?;
    assert_eq!(report["marked"], json!(1), "{report}");
    until(&world, ROWS, 3).await?;
    let rows =
        world.query("SELECT event_id, DATE(timestamp) FROM events.events WHERE event_id != 'row' ORDER BY 1").await?;
    assert_eq!(rows, [[json!("a"), json!("2024-02-01")], [json!("b"), json!("2024-02-02")]]);
    // The producer's own late copy is a repetition of what it sent, whatever a patch made of it.
    send(&world, &[bad("a")]).await?;
    until_settled(&world).await?;
    assert_eq!((world.query_one(ROWS).await?, world.query_one(LETTERS).await?), (json!("3"), json!("5")));

    let (_, shown) = command(folder_path, &["show", &letter("b")]).await?;
    assert_eq!(shown["payload"]["timestamp"], json!("some day"), "{shown}");
    assert_eq!(shown["redrives"].as_array().map(Vec::len), Some(1), "{shown}");
    assert!(shown["redrives"][0]["patch"].as_str().is_some_and(|hash| hash.len() == 64), "{shown}");
    let (_, summary) = command(folder_path, &["summary", "--reason", "type_mismatch"]).await?;
    assert_eq!(counted(&summary[0])[2..], [json!(4), json!(0)], "{summary}");

    let account = audit(&world, folder_path).await?;
    assert_eq!(account["doubled"], json!(0), "{account}");
    // Four events and four redrives: three rows, and five dead letters.
    assert_eq!(
        (&account["received"], &account["written"], &account["dead_lettered"]),
        (&json!(8), &json!(3), &json!(5))
    );
    let status = status(folder_path).await?;
    let [received, redriven, written, duplicate, dead_lettered] =
        ["received", "redriven", "written", "duplicate", "dead_lettered"]
            .map(|name| status[name].as_u64().unwrap_or(0));
    assert_eq!((received, redriven), (5, 4), "{status}");
    assert_eq!(received + redriven, written + duplicate + dead_lettered, "{status}");
    world.stop().await
}

async fn status(folder: &Path) -> anyhow::Result<Value> {
    let folder = folder.to_owned();
    let output = tokio::task::spawn_blocking(move || pipas(&folder, &["status", "--json"])).await??;
    let streams: Value = serde_json::from_slice(&output.stdout).map_err(|_| anyhow::anyhow!("{}", text(&output)))?;
    let stream = streams.as_array().into_iter().flatten().find(|found| found["stream"] == json!(STREAM));
    stream.cloned().ok_or_else(|| anyhow::anyhow!("{streams}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_redriven_twice_is_one_row() -> anyhow::Result<()> {
    let (world, folder) = world().await?;
    send(&world, &[json!({ "event_id": "a", "data": {} }), good("b"), envelope("b", "2024-03-01T10:00:00Z")]).await?;
    until(&world, LETTERS, 2).await?;
    until_settled(&world).await?;
    // The schema is mended; no row has told the loader of it.
    let table = format!(
        "{}/bigquery/v2/projects/{}/datasets/events/tables/events",
        world.endpoints.bigquery, world.endpoints.project
    );
    let http = reqwest::Client::new();
    let mut schema: Value = http.get(&table).send().await?.error_for_status()?.json::<Value>().await?["schema"].clone();
    for field in schema["fields"].as_array_mut().into_iter().flatten() {
        if field["name"] == json!("timestamp") {
            field["mode"] = json!("NULLABLE");
        }
    }
    http.patch(&table).json(&json!({ "schema": schema })).send().await?.error_for_status()?;

    // It is published, and the mark fails: as if the command had died between the two.
    let missing = ["--stream", STREAM, "--reason", "missing_required"];
    let refused = Action::error(Code::PermissionDenied, "not now");
    let rule = world.faults.inject(Rule::new("BigQueryWrite/AppendRows", When::Every(1), refused));
    let (is_well, report) = {
        let folder = folder.path().to_owned();
        let args: Vec<&str> = [&["dead-letters", "redrive"], &missing[..]].concat();
        let output = tokio::task::spawn_blocking(move || pipas(&folder, &args)).await??;
        (output.status.success(), text(&output))
    };
    assert!(!is_well && report.contains("published and may still be open"), "{report}");
    assert!(world.faults.remove(rule));
    let (_, open) = command(folder.path(), &["list", "--reason", "missing_required"]).await?;
    assert_eq!(open.as_array().map(Vec::len), Some(1), "{open}");
    until(&world, ROWS, 2).await?;

    // Again, and once more after the marks were lost.
    for _ in 0..2 {
        let report = redrive(folder.path(), &missing).await?;
        assert_eq!(report["marked"], json!(1), "{report}");
        until_settled(&world).await?;
        let again = redrive(folder.path(), &missing).await?;
        assert_eq!(again["matched"], json!(0), "{again}");
        assert_eq!((world.query_one(ROWS).await?, world.query_one(LETTERS).await?), (json!("2"), json!("2")));
        let redrives = table.replace("datasets/events/tables/events", "datasets/pipas_ops/tables/redrives");
        http.delete(&redrives).send().await?.error_for_status()?;
        pipas::provision(&catalog::Catalog::load(&folder.path().join("pipas.yaml"))?, &world.endpoints).await?;
    }

    // An id that was used for something else is not let through by a redrive.
    let report = redrive(folder.path(), &["--stream", STREAM, "--reason", "payload_conflict"]).await?;
    assert_eq!(report["marked"], json!(1), "{report}");
    until(&world, LETTERS, 3).await?;
    let conflicts = world.query("SELECT reason FROM pipas_ops.dead_letters WHERE redrive_of IS NOT NULL").await?;
    assert_eq!(conflicts, [[json!("payload_conflict")]]);
    assert_eq!(world.query_one(ROWS).await?, json!("2"));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_lost_everything_tells_tries_apart_again() -> anyhow::Result<()> {
    let mut redis = Redis::start().await?;
    let (world, folder) = world_with(100, vec![("PIPAS_REDIS_URL", redis.url())]).await?;
    let folder = folder.path();
    send(&world, &[bad("mended"), bad("bad")]).await?;
    until(&world, LETTERS, 2).await?;
    let patch = folder.join("patch");
    std::fs::write(&patch, r#"if .event_id == "mended" then .timestamp = "2024-02-01T10:00:00Z" else . end"#)?;
    let patched = [&["--patch", patch.to_str().unwrap_or_default()], &MISTYPED[..]].concat();
    redrive(folder, &patched).await?;
    until(&world, ROWS, 1).await?;
    until(&world, LETTERS, 3).await?;
    until_settled(&world).await?;

    redis.replace().await?;
    // The marks are lost too: every dead letter is published again, two of them as tries that have ended.
    let table = format!(
        "{}/bigquery/v2/projects/{}/datasets/pipas_ops/tables/redrives",
        world.endpoints.bigquery, world.endpoints.project
    );
    reqwest::Client::new().delete(&table).send().await?.error_for_status()?;
    pipas::provision(&catalog::Catalog::load(&folder.join("pipas.yaml"))?, &world.endpoints).await?;
    let report = redrive(folder, &patched).await?;
    assert_eq!(report["marked"], json!(3), "{report}");
    until(&world, LETTERS, 4).await?;
    until_settled(&world).await?;
    assert_eq!((world.query_one(ROWS).await?, world.query_one(LETTERS).await?), (json!("1"), json!("4")));
    let (_, open) = command(folder, &["list"]).await?;
    let open: Vec<_> = open.as_array().into_iter().flatten().map(|letter| letter["dead_letter_id"].as_str()).collect();
    assert!(matches!(open[..], [Some(id)] if id.ends_with("-2")), "{open:?}");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_gets_wrong_is_named() -> anyhow::Result<()> {
    let (world, folder) = world().await?;
    for (args, said) in [
        (&["redrive", "--stream", STREAM][..], "say which: --stream and --reason, or --id"),
        (&["list", "--reason", "mismatch"], "expected one of malformed_json"),
        (&["show", "12"], "expected 32 hexadecimal digits"),
        (&["show", "0123456789abcdef0123456789abcdef"], "there is no dead letter 0123456789abcdef0123456789abcdef"),
        (&["redrive", "--id", "0123456789abcdef0123456789abcdef", "--patch", "nowhere"], "cannot read nowhere"),
    ] {
        let folder = folder.path().to_owned();
        let all: Vec<&'static str> = [&["dead-letters"], args].concat();
        let output = tokio::task::spawn_blocking(move || pipas(&folder, &all)).await??;
        assert!(!output.status.success() && text(&output).contains(said), "{args:?}: {}", text(&output));
    }
    let forged = reqwest::Client::new()
        .post(format!("{}/v1/streams/{STREAM}/events", world.endpoints.receiver))
        .header("pipas-attribute-pipas-redriven", "0123456789abcdef0123456789abcdef")
        .body(good("a").to_string());
    let answer = forged.send().await?;
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await?.contains("Pipas's own"));
    world.stop().await
}
