//! `pipas up` and the commands beside it, as a user runs them.

use std::{path::Path, process::Output, time::Duration};

use pipas::Endpoints;
use serde_json::{Value, json};
use tests::{Up, World, eventually, pipas};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn printed(output: &Output) -> anyhow::Result<Value> {
    anyhow::ensure!(output.status.success(), "{}", text(output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_closes_its_account_and_a_restart_finds_everything() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--compact-every", "2"]).await?;
    // What came before, and is on its way still, is not the demo's.
    let events = format!("{}/v1/streams/courier-chat/events", Endpoints::find(data.path())?.receiver);
    let order = json!({ "orderId": 1, "cityCode": "ROM" });
    reqwest::Client::new().post(events).json(&order).send().await?.error_for_status()?;
    let demo = printed(&pipas(data.path(), &["demo", "--conversations", "60", "--json"])?)?;
    assert_eq!(demo["closed"], json!(true), "{demo}");
    let (lines, twice) = (demo["lines"].as_u64().unwrap_or(0), demo["sent_twice"].as_u64().unwrap_or(0));
    assert_eq!(demo["written"], json!(lines - twice), "{demo}");
    assert_eq!(demo["duplicate"], json!(twice), "{demo}");
    eventually(Duration::from_secs(60), async || {
        let status = printed(&pipas(data.path(), &["status", "--json"])?)?;
        let stream = status.as_array().into_iter().flatten().find(|found| found["stream"] == "courier-chat");
        let stream = stream.ok_or_else(|| anyhow::anyhow!("{status}"))?;
        anyhow::ensure!(stream["archive_backlog"] == 0 && stream["archive_objects"].as_u64() > Some(0), "{stream}");
        Ok(())
    })
    .await?;
    let sql =
        "SELECT COUNT(*) AS rows_, COUNT(DISTINCT order_id) AS orders FROM courier_chat.customer_courier_conversations";
    let before = printed(&pipas(data.path(), &["query", sql, "--json"])?)?;
    assert_eq!(before[0]["orders"], json!(60), "{before}");
    up.interrupt().await?;
    let error = text(&pipas(data.path(), &["status"])?);
    assert!(error.contains("no running instance"), "{error}");

    let up = Up::start(data.path(), &[]).await?;
    assert_eq!(printed(&pipas(data.path(), &["query", sql, "--json"])?)?, before);
    // The same events again: all of them are rows already, also after a restart.
    let again = printed(&pipas(data.path(), &["demo", "--conversations", "60", "--json"])?)?;
    assert_eq!((&again["written"], &again["closed"]), (&json!(0), &json!(true)), "{again}");
    let status = printed(&pipas(data.path(), &["status", "--json"])?)?;
    let stream = status.as_array().into_iter().flatten().find(|found| found["stream"] == "courier-chat");
    assert_eq!(stream.map(|stream| &stream["received"]), Some(&json!(2 * lines + 1)), "{status}");
    up.interrupt().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_instance_finds_every_answered_event_again() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let mut up = Up::start(data.path(), &[]).await?;
    let file = data.path().join("events.ndjson");
    let line = |index| json!({ "orderId": index, "cityCode": "ROM" }).to_string();
    let mut lines: Vec<String> = (0..3000).map(line).collect();
    lines.insert(10, "{\"orderId\": ".to_owned());
    lines.insert(2000, "17".to_owned());
    std::fs::write(&file, lines.join("\n"))?;
    let output = pipas(data.path(), &["send", &file.display().to_string(), "--stream", "courier-chat", "--json"])?;
    assert!(!output.status.success(), "refused lines are an error");
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["accepted"], json!(3000), "{report}");
    let refused: Vec<_> = report["refused"].as_object().into_iter().flatten().map(|(line, _)| line.as_str()).collect();
    assert_eq!(refused, ["11", "2001"], "{report}");
    up.kill();

    std::fs::remove_file(data.path().join(Endpoints::FILE))?;
    let up = Up::start(data.path(), &[]).await?;
    let sql = "SELECT COUNT(*) AS n, COUNT(DISTINCT orderId) AS d FROM courier_chat.orders";
    eventually(Duration::from_secs(90), async || {
        let counts = printed(&pipas(data.path(), &["query", sql, "--json"])?)?;
        anyhow::ensure!(counts == json!([{ "n": 3000, "d": 3000 }]), "{counts}");
        Ok(())
    })
    .await?;
    up.interrupt().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_gets_wrong_is_named() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let up = Up::start(data.path(), &["--ephemeral"]).await?;
    let second =
        pipas(data.path(), &["up", "--ports-from", "0", "--catalog", &World::catalog_file().display().to_string()])?;
    assert!(text(&second).contains("in use by a running instance"), "{}", text(&second));
    let query = pipas(data.path(), &["query", "SELECT ST_AREA(orderId) FROM courier_chat.orders"])?;
    assert!(!query.status.success() && text(&query).to_uppercase().contains("ST_AREA"), "{}", text(&query));
    let query = pipas(data.path(), &["query", "SELECT * FROM courier_chat.nothing"])?;
    assert!(text(&query).contains("courier_chat.nothing"), "{}", text(&query));
    let query = pipas(data.path(), &["query", "SELECT 1 AS a, 'x' AS b", "--format", "csv"])?;
    assert_eq!(String::from_utf8_lossy(&query.stdout), "a,b\n1,x\n");
    up.interrupt().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_instance_leaves_nothing() -> anyhow::Result<()> {
    let there = tempfile::tempdir()?;
    let files = |folder: &Path| -> anyhow::Result<Vec<_>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    };
    for folder in [there.path(), &there.path().join("made")] {
        let is_new = !folder.exists();
        let up = Up::start(folder, &["--ephemeral"]).await?;
        assert_eq!(files(folder)?, [Endpoints::FILE]);
        let printed = printed(&pipas(folder, &["query", "SELECT COUNT(*) AS n FROM courier_chat.orders", "--json"])?)?;
        assert_eq!(printed, json!([{ "n": 0 }]));
        up.interrupt().await?;
        assert_eq!(folder.exists(), !is_new);
    }
    assert!(files(there.path())?.is_empty());
    Ok(())
}
