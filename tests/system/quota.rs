//! BigQuery's quotas, of which all loaders together use a share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::json;
use tests::{Setup, World, chaos::Redis, eventually};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const PATIENCE: Duration = Duration::from_secs(90);
/// Bytes of an event, and a little less than those of its message.
const EVENT: usize = 1_000;
/// What all loaders may let in in a second.
const SHARE: usize = 40 * EVENT;

/// A world with the tables `events.one` and `events.two`, whose catalog has these quotas, and whose ledger is a Redis of its own.
struct Quotas {
    world: World,
    folder: tempfile::TempDir,
    _redis: Redis,
}

impl Quotas {
    async fn start(quotas: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let schema = json!([{ "name": "event_id", "type": "STRING" }, { "name": "pad", "type": "STRING" }]);
        std::fs::write(folder.path().join("events.json"), schema.to_string())?;
        let file = write_catalog(&folder, quotas)?;
        let redis = Redis::start().await?;
        let loader_env = vec![("PIPAS_REDIS_URL", redis.url()), ("PIPAS_HOLD", "2s".to_owned())];
        let world = World::start(Setup { catalog: Some(file), loader_env, ..Setup::default() }).await?;
        Ok(Self { world, folder, _redis: redis })
    }

    /// How many rows a table has, and of how many events.
    async fn rows(&self, table: &str) -> anyhow::Result<(usize, usize)> {
        let sql = format!("SELECT COUNT(*), COUNT(DISTINCT ingest.event_id) FROM events.{table}");
        let rows = self.world.query(&sql).await?;
        let number = |at: usize| rows[0][at].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
        Ok((number(0), number(1)))
    }

    async fn until_rows(&self, table: &str, events: usize) -> anyhow::Result<()> {
        eventually(PATIENCE, async || {
            let found = self.rows(table).await?;
            anyhow::ensure!(found == (events, events), "{found:?}");
            Ok(())
        })
        .await
    }

    async fn send(&self, stream: &str, events: usize) -> anyhow::Result<()> {
        let events: Vec<String> = (0..events).map(|n| event(&format!("e{n}"))).collect();
        let answer = self.world.post(stream, events.join("\n"), None).await?;
        anyhow::ensure!(answer.status() == 200, "{}", answer.text().await?);
        Ok(())
    }

    async fn metric(&self, loader: &str, name: &str, quota: &str) -> anyhow::Result<u64> {
        let (page, name) = (self.world.metrics(loader).await?, format!(r#"{name}{{quota="{quota}"}} "#));
        Ok(page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default())
    }
}

fn write_catalog(folder: &tempfile::TempDir, quotas: &str) -> anyhow::Result<std::path::PathBuf> {
    let stream = |name: &str| {
        format!(
            "  {name}:\n    event_id: /event_id\n    tables:\n      events:\n        table: events.{name}\n        \
             schema: events.json\n"
        )
    };
    let file = folder.path().join("pipas.yaml");
    std::fs::write(&file, format!("quotas: {{ {quotas} }}\nstreams:\n{}{}", stream("one"), stream("two")))?;
    Ok(file)
}

fn event(id: &str) -> String {
    let shell = json!({ "event_id": id, "pad": "" }).to_string().len();
    json!({ "event_id": id, "pad": "x".repeat(EVENT - shell) }).to_string()
}

fn throughput() -> String {
    format!("share: 0.5, throughput_bytes_per_second: {}", 2 * SHARE)
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_beyond_the_share_come_later_and_once() -> anyhow::Result<()> {
    let quotas = Quotas::start(&throughput()).await?;
    // Several seconds' worth of the share.
    quotas.send("one", 160).await?;
    let loader = quotas.world.endpoints.loader.clone();
    eventually(PATIENCE, async || {
        let braked = quotas.metric(&loader, "pipas_loader_braked_total", "throughput").await?;
        anyhow::ensure!(braked > 0, "nothing was braked");
        let page = quotas.world.metrics(&loader).await?;
        let nack = r#"pipas_loader_nacks_total{reason="exhausted"} "#;
        anyhow::ensure!(page.lines().any(|line| line.starts_with(nack)), "no delivery was refused:\n{page}");
        Ok(())
    })
    .await?;
    quotas.until_rows("one", 160).await?;
    quotas.world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_loaders_together_stay_near_the_share() -> anyhow::Result<()> {
    let quotas = Quotas::start(&throughput()).await?;
    let others = [quotas.world.another_loader()?, quotas.world.another_loader()?];
    let loaders: Vec<String> =
        others.iter().map(|other| other.url.clone()).chain([quotas.world.endpoints.loader.clone()]).collect();
    let pushing = Pushing::start(&loaders);

    // Each knows of the connections of all, and of more bytes than the first second's of one.
    for loader in &loaders {
        eventually(PATIENCE, async || {
            let connections = quotas.metric(loader, "pipas_loader_quota_used", "connections").await?;
            anyhow::ensure!(connections == 3, "{loader} knows of {connections} connections");
            let bytes = quotas.metric(loader, "pipas_loader_quota_used", "throughput").await?;
            anyhow::ensure!(bytes > 0, "{loader} knows of no bytes");
            Ok(())
        })
        .await?;
    }
    // What the first second let in is over, and what each may let in was told.
    sleep(Duration::from_secs(3)).await;
    let (before, started) = (pushing.written(), Instant::now());
    sleep(Duration::from_secs(6)).await;
    let (after, took) = (pushing.written(), started.elapsed().as_secs_f64());
    let shares = ((after - before) * EVENT) as f64 / SHARE as f64;
    println!("{:.2} of the share in {took:.1} s", shares / took);
    // Each by itself would use all of it: three times as much.
    assert!(shares < 2.0 * took, "{shares} seconds' worth of the share in {took} s");

    let (written, braked) = pushing.stop().await?;
    assert!(braked > 0, "no push was answered with 429");
    for loader in &loaders {
        assert!(quotas.metric(loader, "pipas_loader_braked_total", "throughput").await? > 0, "{loader} never braked");
    }
    assert_eq!(quotas.rows("one").await?, (written, written));
    for other in others {
        assert!(tokio::task::block_in_place(|| other.terminate())?.success());
    }
    quotas.world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn write_streams_beyond_the_share_are_not_made() -> anyhow::Result<()> {
    // The count begins anew with each hour.
    eventually(PATIENCE, async || {
        let left = 3_600 - Timestamp::now().as_second() % 3_600;
        anyhow::ensure!(left > 60, "{left} s are left of the hour");
        Ok(())
    })
    .await?;
    let mut quotas = Quotas::start("share: 0.5, create_write_stream_per_hour: 2").await?;
    quotas.send("one", 10).await?;
    quotas.until_rows("one", 10).await?;
    quotas.send("two", 10).await?;
    let loader = quotas.world.endpoints.loader.clone();
    eventually(PATIENCE, async || {
        let braked = quotas.metric(&loader, "pipas_loader_braked_total", "create_write_stream").await?;
        anyhow::ensure!(braked > 0, "nothing was braked");
        Ok(())
    })
    .await?;
    assert_eq!(quotas.rows("two").await?, (0, 0));
    let page = quotas.world.metrics(&loader).await?;
    assert!(page.lines().any(|line| line == "pipas_loader_write_streams_total 1"), "{page}");

    // Google gave more.
    write_catalog(&quotas.folder, "create_write_stream_per_hour: 10000")?;
    quotas.world.kill_loader()?;
    quotas.world.start_loader().await?;
    quotas.until_rows("two", 10).await?;
    assert_eq!(quotas.rows("one").await?, (10, 10));
    quotas.world.stop().await
}

/// Pushes to loaders as Pub/Sub does, each event until it is acked, by more hands than the share has room for.
struct Pushing {
    written: Arc<AtomicUsize>,
    braked: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    hands: JoinSet<anyhow::Result<()>>,
}

impl Pushing {
    fn start(loaders: &[String]) -> Self {
        let (written, braked, stopping) = (Arc::default(), Arc::default(), Arc::default());
        let mut pushing = Self { written, braked, stopping, hands: JoinSet::new() };
        for (at, loader) in loaders.iter().enumerate() {
            for hand in 0..12 {
                let (written, braked) = (Arc::clone(&pushing.written), Arc::clone(&pushing.braked));
                let stopping = Arc::clone(&pushing.stopping);
                let (loader, name) = (format!("{loader}/push/one"), format!("{at}-{hand}"));
                pushing.hands.spawn(async move {
                    let http = reqwest::Client::builder().timeout(Duration::from_secs(15)).build()?;
                    for n in 0.. {
                        if stopping.load(Ordering::SeqCst) {
                            break;
                        }
                        let id = format!("{name}-{n}");
                        let data = BASE64_STANDARD.encode(event(&id));
                        let message =
                            json!({ "data": data, "messageId": id, "publishTime": Timestamp::now().to_string() });
                        let push = json!({ "message": message, "subscription": "projects/p/subscriptions/one-loader" });
                        loop {
                            let answer = http.post(&loader).json(&push).send().await?;
                            match answer.status().as_u16() {
                                204 => break,
                                429 => drop(braked.fetch_add(1, Ordering::SeqCst)),
                                503 => {}
                                other => anyhow::bail!("{other}: {}", answer.text().await?),
                            }
                            sleep(Duration::from_millis(50)).await;
                        }
                        written.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(())
                });
            }
        }
        pushing
    }

    fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    /// What was acked, and how often a push was answered with 429.
    async fn stop(mut self) -> anyhow::Result<(usize, usize)> {
        self.stopping.store(true, Ordering::SeqCst);
        while let Some(hand) = self.hands.join_next().await {
            hand??;
        }
        Ok((self.written(), self.braked.load(Ordering::SeqCst)))
    }
}
