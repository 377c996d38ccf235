//! A claim ledger that loses its keys, or goes away.

use std::time::Duration;

use local_cloud::{Action, Faults, Rule, When};
use serde_json::{Value, json};
use tests::{Setup, World, chaos::Redis, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// A world whose ledger is a Redis of its own; `settings` go to the top of its catalog and into its stream `events`.
async fn world(top: &str, stream: &str) -> anyhow::Result<(World, Redis, tempfile::TempDir)> {
    world_with(top, stream, Faults::default()).await
}

async fn world_with(top: &str, stream: &str, faults: Faults) -> anyhow::Result<(World, Redis, tempfile::TempDir)> {
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
    let setup = Setup { catalog: Some(file), loader_env, faults, ..Setup::default() };
    Ok((World::start(setup).await?, redis, folder))
}

async fn send(world: &World, events: std::ops::Range<usize>) -> anyhow::Result<()> {
    let lines = events.map(|n| json!({ "event_id": format!("e{n}"), "n": n }).to_string());
    let body = lines.collect::<Vec<_>>().join("\n");
    let answer = world.post("events", body, None).await?;
    anyhow::ensure!(answer.status() == 200, "{}", answer.text().await?);
    Ok(())
}

async fn drop_table(world: &World) -> anyhow::Result<()> {
    reqwest::Client::new().delete(format!("{}/events", tables(world))).send().await?.error_for_status()?;
    Ok(())
}

/// Makes the table anew as a deployment does, or with these columns.
async fn make_table(world: &World, folder: &tempfile::TempDir, columns: Option<Value>) -> anyhow::Result<()> {
    let Some(columns) = columns else {
        let catalog = catalog::Catalog::load(&folder.path().join("pipas.yaml"))?;
        return pipas::provision(&catalog, &world.endpoints).await;
    };
    let id = json!({ "projectId": world.endpoints.project, "datasetId": "events", "tableId": "events" });
    let table = json!({ "tableReference": id, "schema": { "fields": columns } });
    reqwest::Client::new().post(tables(world)).json(&table).send().await?.error_for_status()?;
    Ok(())
}

fn tables(world: &World) -> String {
    format!("{}/bigquery/v2/projects/{}/datasets/events/tables", world.endpoints.bigquery, world.endpoints.project)
}

async fn janitor(world: &World) -> anyhow::Result<(u16, Value)> {
    let answer = reqwest::Client::new().post(format!("{}/janitor", world.endpoints.loader)).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
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
    send(&world, 0..50).await?;
    until_distinct(&world, 50).await?;
    until_settled(&world).await?;

    eventually(PATIENCE, async || {
        let (_, report) = janitor(&world).await?;
        anyhow::ensure!(report["fenced"] == json!(1), "{report}");
        Ok(())
    })
    .await?;
    let (status, report) = janitor(&world).await?;
    assert_eq!(status, 200, "{report}");
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

    drop_table(&world).await?;
    world.kill_loader()?;
    world.start_loader().await?;
    send(&world, 0..50).await?;
    until_distinct(&world, 50).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (50, 50));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_stream_of_a_table_that_was_made_again_is_not_used_under_old_keys() -> anyhow::Result<()> {
    let (mut world, _redis, folder) = world("", "dedupe_window: 1h").await?;
    // The loader has the table open, and no write stream: the event is no row.
    let bad = json!({ "event_id": "bad", "n": "many" }).to_string();
    assert_eq!(world.post("events", bad, None).await?.status(), 200);
    eventually(PATIENCE, async || {
        let letters = world.query_one("SELECT COUNT(*) FROM pipas_ops.dead_letters").await?;
        anyhow::ensure!(letters == json!("1"), "{letters} dead letters");
        Ok(())
    })
    .await?;
    drop_table(&world).await?;
    make_table(&world, &folder, None).await?;
    send(&world, 0..20).await?;
    until_distinct(&world, 20).await?;
    until_settled(&world).await?;

    // Another, which knows the new table alone, takes none of them for new.
    world.kill_loader()?;
    world.start_loader().await?;
    send(&world, 0..21).await?;
    until_distinct(&world, 21).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (21, 21));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_none_of_a_table_that_was_just_made_again() -> anyhow::Result<()> {
    let (world, _redis, folder) = world("", "dedupe_window: 1h").await?;
    send(&world, 0..20).await?;
    until_distinct(&world, 20).await?;
    // The loader looks at the table, as each of them is a row.
    send(&world, 0..20).await?;
    until_settled(&world).await?;
    drop_table(&world).await?;
    make_table(&world, &folder, None).await?;
    // So long it is believed to be what it was.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    send(&world, 0..20).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (20, 20));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_is_not_acked_while_nobody_knows_what_the_table_is() -> anyhow::Result<()> {
    const DUPLICATES: &str = r#"pipas_loader_deliveries_total{outcome="duplicate",stream="events"}"#;
    let faults = Faults::default();
    let (world, _redis, folder) = world_with("", "dedupe_window: 1h", faults.clone()).await?;
    send(&world, 0..20).await?;
    until_distinct(&world, 20).await?;
    until_settled(&world).await?;

    for (made_anew, repetitions) in [(false, 20), (true, 20)] {
        if made_anew {
            drop_table(&world).await?;
            make_table(&world, &folder, None).await?;
        }
        // No look at it from before is believed.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let nacked = metric(&world, r#"pipas_loader_nacks_total{reason="table"}"#).await?;
        let refusal = Action::error(tonic::Code::PermissionDenied, "not now");
        let rule = faults.inject(Rule::new("bigquery/tables.get", When::Every(1), refusal));
        let known = metric(&world, DUPLICATES).await?;
        send(&world, 0..20).await?;
        eventually(PATIENCE, async || {
            let nacks = metric(&world, r#"pipas_loader_nacks_total{reason="table"}"#).await? - nacked;
            anyhow::ensure!(nacks >= 20, "{nacks} deliveries were nacked");
            Ok(())
        })
        .await?;
        assert_eq!(world.subscription("events-loader").await?["backlog"], json!(20), "made anew: {made_anew}");
        assert_eq!(metric(&world, DUPLICATES).await?, known, "made anew: {made_anew}");

        assert!(faults.remove(rule));
        until_settled(&world).await?;
        // Of the table as it was each is a row already; of one made anew each is a row now.
        assert_eq!(rows(&world).await?, (20, 20), "made anew: {made_anew}");
        assert_eq!(metric(&world, DUPLICATES).await?, repetitions, "made anew: {made_anew}");
    }
    assert_eq!(world.query_one("SELECT COUNT(*) FROM pipas_ops.dead_letters").await?, json!("0"));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn recovery_waits_for_no_rows_of_a_table_that_is_no_more() -> anyhow::Result<()> {
    let (mut world, mut redis, _folder) = world("", "dedupe_window: 1h").await?;
    send(&world, 0..50).await?;
    until_distinct(&world, 50).await?;
    until_settled(&world).await?;
    // It finalizes its write stream, and writes down how many rows that has.
    let loader = world.take_loader().expect("a loader");
    assert!(tokio::task::block_in_place(|| loader.terminate())?.success());
    drop_table(&world).await?;
    redis.replace().await?;
    world.start_loader().await?;

    send(&world, 40..60).await?;
    until_distinct(&world, 20).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (20, 20));
    assert_eq!(metric(&world, r#"pipas_loader_recoveries_total{result="failed"}"#).await?, 0);
    let (status, report) = janitor(&world).await?;
    assert_eq!((status, &report["mismatches"]), (200, &json!([])), "{report}");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_table_does_not_keep_the_janitor_from_the_others() -> anyhow::Result<()> {
    let (world, _redis, folder) = world("", "dedupe_window: 1h").await?;
    send(&world, 0..5).await?;
    until_distinct(&world, 5).await?;
    let bad = json!({ "event_id": "bad", "n": "many" }).to_string();
    assert_eq!(world.post("events", bad, None).await?.status(), 200);
    until_settled(&world).await?;
    // Nothing of this table can be counted.
    drop_table(&world).await?;
    make_table(&world, &folder, Some(json!([{ "name": "x", "type": "STRING" }]))).await?;
    eventually(PATIENCE, async || {
        let (status, report) = janitor(&world).await?;
        assert_eq!((status, &report["failures"][0]["table"]), (503, &json!("events.events")), "{report}");
        anyhow::ensure!(report["fenced"] == json!(1), "the dead letters' write stream is not looked after: {report}");
        Ok(())
    })
    .await?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_emptied_knows_what_rows_said() -> anyhow::Result<()> {
    let (world, redis, _folder) = world("", "dedupe_window: 1h").await?;
    send(&world, 0..20).await?;
    until_distinct(&world, 20).await?;
    until_settled(&world).await?;
    assert_eq!(metric(&world, "pipas_loader_ledger_evicts").await?, 0);

    // The same server, under the same identity; it would delete claims from now on, too.
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])?;
    redis.ask(&["FLUSHALL"])?;
    let other = json!({ "event_id": "e7", "n": 700 }).to_string();
    assert_eq!(world.post("events", other, None).await?.status(), 200);
    send(&world, 0..21).await?;
    until_distinct(&world, 21).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (21, 21));
    let conflicts =
        world.query("SELECT event_id FROM pipas_ops.dead_letters WHERE reason = 'payload_conflict'").await?;
    assert_eq!(conflicts, [[json!("e7")]]);
    assert_eq!(metric(&world, "pipas_loader_ledger_evicts").await?, 1);
    assert!(metric(&world, "pipas_loader_generation").await? >= 2);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_older_versions_are_restored_without_what_rows_said() -> anyhow::Result<()> {
    let (world, redis, folder) = world("", "dedupe_window: 1h").await?;
    drop_table(&world).await?;
    let ingest = [
        ("event_id", "STRING"),
        ("message_id", "STRING"),
        ("loaded_at", "TIMESTAMP"),
        ("write_stream", "STRING"),
        ("write_offset", "INTEGER"),
    ];
    let ingest: Vec<Value> = ingest.iter().map(|(name, kind)| json!({ "name": name, "type": kind })).collect();
    let columns = json!([
        { "name": "event_id", "type": "STRING" },
        { "name": "n", "type": "INTEGER" },
        { "name": "ingest", "type": "RECORD", "fields": ingest },
        { "name": "extra", "type": "JSON" },
    ]);
    make_table(&world, &folder, Some(columns)).await?;
    send(&world, 0..20).await?;
    until_distinct(&world, 20).await?;
    until_settled(&world).await?;

    redis.ask(&["FLUSHALL"])?;
    let other = json!({ "event_id": "e7", "n": 700 }).to_string();
    assert_eq!(world.post("events", other, None).await?.status(), 200);
    send(&world, 0..21).await?;
    until_distinct(&world, 21).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (21, 21));
    assert_eq!(world.query_one("SELECT COUNT(*) FROM pipas_ops.dead_letters").await?, json!("0"));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_bigquery_refuses_is_a_dead_letter_and_no_other_is() -> anyhow::Result<()> {
    let faults = Faults::default();
    let (world, _redis, _folder) = world_with("", "dedupe_window: 1h", faults.clone()).await?;
    send(&world, 0..20).await?;
    until_distinct(&world, 20).await?;
    until_settled(&world).await?;

    let refusal = Action::error(tonic::Code::InvalidArgument, "no such row");
    let rule = faults.inject(Rule::new("BigQueryWrite/AppendRows", When::Next(1), refusal));
    send(&world, 20..21).await?;
    until_settled(&world).await?;
    assert_eq!(faults.fired(rule), Some(1));
    send(&world, 20..40).await?;
    until_distinct(&world, 39).await?;
    until_settled(&world).await?;
    assert_eq!(rows(&world).await?, (39, 39));
    let letters = world.query("SELECT event_id, reason FROM pipas_ops.dead_letters").await?;
    assert_eq!(letters, [[json!("e20"), json!("row_rejected")]]);

    // The refused request's write stream was ended, and holds the rows before it.
    eventually(PATIENCE, async || {
        let (_, report) = janitor(&world).await?;
        anyhow::ensure!(report["mismatches"] == json!([]) && report["open"] == json!(0), "{report}");
        Ok(())
    })
    .await?;
    assert_eq!(janitor(&world).await?.1["mismatches"], json!([]));
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_emptied_knows_what_dead_letters_said() -> anyhow::Result<()> {
    let (world, redis, _folder) = world("", "dedupe_window: 1h").await?;
    let bad = json!({ "event_id": "e1", "n": "many" }).to_string();
    assert_eq!(world.post("events", bad.clone(), None).await?.status(), 200);
    until_settled(&world).await?;

    redis.ask(&["FLUSHALL"])?;
    // Its producer's second thought, under the same id; and the first one again.
    let mended = json!({ "event_id": "e1", "n": 1 }).to_string();
    for event in [mended, bad] {
        assert_eq!(world.post("events", event, None).await?.status(), 200);
    }
    until_settled(&world).await?;
    let letters = world.query("SELECT event_id, reason FROM pipas_ops.dead_letters ORDER BY reason").await?;
    assert_eq!(letters, [[json!("e1"), json!("payload_conflict")], [json!("e1"), json!("type_mismatch")]]);
    assert_eq!(rows(&world).await?, (0, 0));
    assert!(metric(&world, "pipas_loader_generation").await? >= 2);
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_no_dead_letter_holds_whole_is_one_all_the_same() -> anyhow::Result<()> {
    let (world, _redis, _folder) = world("", "dedupe_window: 1h").await?;
    let big = json!({ "event_id": "big", "n": "many", "filler": "x".repeat(9_950_000) }).to_string();
    let size = big.len();
    assert_eq!(world.post("events", big, None).await?.status(), 200);
    let small = json!({ "event_id": "small", "n": "few" }).to_string();
    assert_eq!(world.post("events", small, None).await?.status(), 200);
    until_settled(&world).await?;
    let letters = world
        .query(
            "SELECT event_id, LENGTH(payload), JSON_VALUE(attributes, '$.\"pipas-cut\"'), detail FROM pipas_ops.dead_letters \
             ORDER BY event_id",
        )
        .await?;
    let [big, small] = &letters[..] else { anyhow::bail!("{letters:?}") };
    let kept: usize = big[1].as_str().unwrap_or_default().parse()?;
    assert!(kept > 9_000_000 && kept < size, "{kept} of {size}");
    assert_eq!(big[2], json!(size.to_string()));
    assert!(
        big[3].as_str().is_some_and(|detail| detail.contains(&format!("{kept} of its {size} bytes"))),
        "{}",
        big[3]
    );
    assert_eq!(small[2], Value::Null);
    assert_eq!(metric(&world, "pipas_loader_rotations_total").await?, 0);
    world.stop().await
}
