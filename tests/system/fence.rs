//! A dead loader's claims, where the service has forgotten its write stream: the table's own rows decide them.

use std::time::Duration;

use local_cloud::{Action, Faults, Rule, When};
use serde_json::json;
use tests::{Setup, World, eventually};

const EVENTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);
const FINALIZE: &str = "BigQueryWrite/FinalizeWriteStream";

/// Every call of `calls` goes wrong so.
fn always(calls: &str, action: serde_json::Value) -> anyhow::Result<Rule> {
    Ok(Rule::new(calls, When::Every(1), serde_json::from_value::<Action>(action)?))
}

/// What gRPC calls 14.
fn unavailable() -> serde_json::Value {
    json!({ "error": { "code": 14, "message": "away" } })
}

/// Sends events, waits until `appended` says that the loader has sent their rows, and kills it before it learns what became
/// of them. The next loader must decide their claims without the dead one's write stream, whose end is answered by `finalize`.
async fn a_dead_loader_is_succeeded(
    append: serde_json::Value,
    written: bool,
    finalize: serde_json::Value,
) -> anyhow::Result<()> {
    let faults = Faults::default();
    let loader_env = vec![("PIPAS_SUSPECT_AFTER", "2s".to_owned())];
    let mut world = World::start(Setup { faults: faults.clone(), loader_env, ..Setup::default() }).await?;
    let appends = faults.inject(always("BigQueryWrite/AppendRows", append)?);
    // Nor can it fence itself, which would decide its claims.
    faults.inject(always(FINALIZE, unavailable())?);
    let lines: Vec<String> =
        (0..EVENTS).map(|order| json!({ "orderId": order, "cityCode": "ROM" }).to_string()).collect();
    assert_eq!(world.post("courier-chat", lines.join("\n"), Some("batch")).await?.status(), 200);
    eventually(PATIENCE, async || {
        let sent = faults.fired(appends).unwrap_or_default();
        anyhow::ensure!(sent > 0, "no append was sent");
        Ok(())
    })
    .await?;
    world.kill_loader()?;
    assert_eq!(orders(&world).await? > 0, written, "rows before the next loader");

    faults.clear();
    let fences = faults.inject(always(FINALIZE, finalize)?);
    world.start_loader().await?;
    eventually(PATIENCE, async || {
        let (rows, backlog) =
            (orders(&world).await?, world.subscription("courier-chat-loader").await?["backlog"].clone());
        anyhow::ensure!(rows >= EVENTS && backlog == 0, "{rows} rows, {backlog} messages wait");
        Ok(())
    })
    .await?;
    assert!(faults.fired(fences) > Some(0), "no stream was fenced");
    let metrics = world.metrics(&world.endpoints.loader).await?;
    let fenced = "pipas_loader_fences_total{owner=\"other\",result=\"fenced\"} ";
    let fenced = metrics.lines().find_map(|line| line.strip_prefix(fenced)?.parse::<u64>().ok());
    assert!(fenced > Some(0), "{metrics}");
    let distinct = world.query_one("SELECT COUNT(DISTINCT orderId) FROM courier_chat.orders").await?;
    assert_eq!((orders(&world).await?, distinct), (EVENTS, json!(EVENTS.to_string())));
    faults.clear();
    world.stop().await
}

async fn orders(world: &World) -> anyhow::Result<usize> {
    let count = world.query_one("SELECT COUNT(*) FROM courier_chat.orders").await?;
    Ok(count.as_str().unwrap_or_default().parse()?)
}

/// The service does not know the stream any more.
fn forgotten() -> serde_json::Value {
    json!({ "error": { "code": 5, "message": "forgotten", "storage_error": "STREAM_NOT_FOUND" } })
}

/// The stream was finalized before, and nobody heard how many rows it has.
fn finalized() -> serde_json::Value {
    json!({ "error": { "code": 9, "message": "finalized before", "storage_error": "STREAM_FINALIZED" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_forgotten_stream_are_not_written_again() -> anyhow::Result<()> {
    a_dead_loader_is_succeeded(json!("apply_then_fail"), true, forgotten()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_forgotten_stream_never_took_is_written() -> anyhow::Result<()> {
    a_dead_loader_is_succeeded(unavailable(), false, forgotten()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_stream_that_was_finalized_before_are_not_written_again() -> anyhow::Result<()> {
    a_dead_loader_is_succeeded(json!("apply_then_fail"), true, finalized()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_that_was_finalized_before_never_took_is_written() -> anyhow::Result<()> {
    a_dead_loader_is_succeeded(unavailable(), false, finalized()).await
}
