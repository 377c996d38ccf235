//! What exactly once costs: the same events through the loader by `exactly_once` and by `at_least_once`, in turns, into the
//! local cloud and a real Redis. Prints medians and their ratio.

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use catalog::Catalog;
use clap::Parser;
use futures::{StreamExt, stream};
use local_cloud::LocalCloud;
use pipas::Endpoints;
use serde_json::json;
use service::Env;
use tests::chaos::Redis;
use tokio::{net::TcpListener, sync::Semaphore, time::sleep_until};
use tokio_util::sync::CancellationToken;

/// The streams of the catalog, by what they are delivered.
const STREAMS: [&str; 2] = ["exactly-once", "at-least-once"];

/// The cost of exactly-once delivery, beside at-least-once in the same run
#[derive(Debug, Parser)]
#[command(name = "cost", max_term_width = 120)]
struct Args {
    /// Events of a round
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    events: usize,
    /// Rounds of each delivery
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// Pushes that are under way at once where throughput is measured
    #[arg(long, default_value_t = 256, value_name = "N")]
    pushes: usize,
    /// Events a second where latency is measured, for five seconds a round
    #[arg(long, default_value_t = 500, value_name = "N")]
    rate: u32,
}

fn main() -> ExitCode {
    service::install_tls_provider();
    let args = Args::parse();
    let run = || -> anyhow::Result<()> {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&args))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    // Opens tables, streams and connections.
    for stream in STREAMS {
        bench.flood(stream, 1_000, args.pushes).await?;
    }
    let mut rates = [Vec::new(), Vec::new()];
    let mut waits = [Vec::new(), Vec::new()];
    for _ in 0..args.rounds {
        for (at, stream) in STREAMS.into_iter().enumerate() {
            rates[at].push(bench.flood(stream, args.events, args.pushes).await?);
            waits[at].push(bench.pace(stream, args.rate, Duration::from_secs(5)).await?);
        }
    }
    println!("delivery        events/s   p50 of a push at {}/s", args.rate);
    let [exact, least] = [0, 1].map(|at| (median(&mut rates[at]), median(&mut waits[at])));
    for (stream, (rate, wait)) in STREAMS.into_iter().zip([exact, least]) {
        println!("{stream:<15} {rate:>8.0}   {wait:.2} ms");
    }
    println!("exactly once: {:.0} % of the throughput, {:+.2} ms", 100.0 * exact.0 / least.0, exact.1 - least.1);
    bench.stop().await
}

/// The loader in this process, before a local cloud and a Redis.
struct Bench {
    cloud: LocalCloud,
    _redis: Redis,
    _folder: tempfile::TempDir,
    http: reqwest::Client,
    url: String,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let schema = json!([{ "name": "id", "type": "INTEGER" }, { "name": "name", "type": "STRING" },
            { "name": "sent_at", "type": "TIMESTAMP" }, { "name": "price", "type": "NUMERIC" }]);
        std::fs::write(folder.path().join("t.json"), schema.to_string())?;
        let streams = STREAMS.map(|stream| {
            let delivery = stream.replace('-', "_");
            format!("  {stream}:\n    delivery: {delivery}\n    tables:\n      t: {{ table: cost.{delivery}, schema: t.json }}\n")
        });
        let file = folder.path().join("pipas.yaml");
        std::fs::write(&file, format!("streams:\n{}", streams.concat()))?;

        let cloud = LocalCloud::start(local_cloud::Options::default()).await?;
        let redis = Redis::start().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let local = cloud.endpoints();
        let endpoints = Endpoints {
            project: local_cloud::Options::default().project,
            archive_bucket: "archive".into(),
            registry_bucket: "registry".into(),
            // Nothing is pushed: this process posts the deliveries.
            receiver: String::new(),
            loader: "http://127.0.0.1:9".into(),
            compactor: String::new(),
            poller: String::new(),
            pubsub: local.pubsub.clone(),
            bigquery: local.bigquery.clone(),
            bigquery_storage: local.bigquery_storage.clone(),
            storage: local.storage.clone(),
            tasks: local.tasks.clone(),
            pid: std::process::id(),
        };
        pipas::provision(&Catalog::load(&file)?, &endpoints).await?;
        let mut env = endpoints.environment(&file);
        env.push(("PIPAS_REDIS_URL", redis.url()));
        let env = Env::from_pairs(env);
        let app = loader::router(loader::Loader::connect(&loader::Config::from_env(&env)?).await?);
        let stop = CancellationToken::new();
        let served = tokio::spawn(service::serve("loader", listener, app, stop.clone()));
        let http = reqwest::Client::builder().pool_max_idle_per_host(1_024).build()?;
        Ok(Self { cloud, _redis: redis, _folder: folder, http, url, stop, served })
    }

    /// Pushes `events` as fast as they are answered; events a second.
    async fn flood(&self, stream: &str, events: usize, pushes: usize) -> anyhow::Result<f64> {
        let bodies: Vec<String> = (0..events).map(|_| push(stream)).collect();
        let begun = Instant::now();
        let mut answers = stream::iter(bodies).map(|body| self.post(stream, body)).buffer_unordered(pushes);
        while let Some(answer) = answers.next().await {
            answer?;
        }
        Ok(events as f64 / begun.elapsed().as_secs_f64())
    }

    /// Pushes `rate` events a second; the median of a push in milliseconds.
    async fn pace(&self, stream: &str, rate: u32, time: Duration) -> anyhow::Result<f64> {
        let count = (f64::from(rate) * time.as_secs_f64()) as u32;
        let begun = tokio::time::Instant::now();
        let room = Arc::new(Semaphore::new(4_096));
        let sends = (0..count).map(|at| {
            let room = Arc::clone(&room);
            async move {
                sleep_until(begun + time.mul_f64(f64::from(at) / f64::from(count))).await;
                let _permit = room.acquire().await?;
                let sent = Instant::now();
                self.post(stream, push(stream)).await?;
                anyhow::Ok(sent.elapsed().as_secs_f64() * 1_000.0)
            }
        });
        let mut waits: Vec<f64> = futures::future::join_all(sends).await.into_iter().collect::<anyhow::Result<_>>()?;
        Ok(median(&mut waits))
    }

    async fn post(&self, stream: &str, body: String) -> anyhow::Result<()> {
        let request = self.http.post(format!("{}/push/{stream}", self.url)).body(body);
        let answer = request.header("content-type", "application/json").send().await?;
        anyhow::ensure!(answer.status() == 204, "{}: {}", answer.status(), answer.text().await?);
        Ok(())
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.served.await?.context("the loader")?;
        self.cloud.shutdown().await
    }
}

/// A push of an event that never was before.
fn push(stream: &str) -> String {
    let id: u64 = rand::random();
    let event =
        json!({ "id": id >> 12, "name": format!("event {id}"), "sent_at": "2024-02-01T10:04:46Z", "price": "12.34" });
    let message = json!({ "data": STANDARD.encode(event.to_string()), "messageId": id.to_string(),
        "publishTime": "2024-02-01T10:04:47Z", "attributes": { "ce-id": format!("{id:x}"), "ce-specversion": "1.0" } });
    json!({ "message": message, "subscription": format!("projects/p/subscriptions/{stream}-loader") }).to_string()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
