//! `pipas status`: what became of the events of each stream.

use clap::Args;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    account::{self, Account, Ledgered},
    cli::Global,
    counters::Counters,
    instance::Endpoints,
};

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {}

/// One stream of a running instance.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StreamStatus {
    pub(crate) stream: String,
    #[serde(flatten)]
    pub(crate) account: Account,
    /// Messages that wait for the loader, and those that it was spared and that wait to become dead letters.
    pub(crate) backlog: u64,
    pub(crate) oldest_unacked_seconds: Option<f64>,
    /// From the receiver's acceptance to a row that a query sees.
    pub(crate) freshness_p50_ms: Option<f64>,
    pub(crate) freshness_p99_ms: Option<f64>,
    /// Messages that wait for the compactor.
    pub(crate) archive_backlog: u64,
    pub(crate) archive_objects: u64,
    pub(crate) archive_bytes: u64,
}

/// A subscription as the local Pub/Sub shows it.
#[derive(Debug, Deserialize)]
struct Subscription {
    name: String,
    backlog: u64,
    oldest_unacked_age_seconds: Option<f64>,
}

pub(crate) async fn status(global: &Global, _: StatusArgs) -> anyhow::Result<()> {
    let endpoints = Endpoints::find(&global.data_dir)?;
    let streams = read(global, &endpoints).await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&streams)?);
    } else {
        println!("{}", table(&streams));
    }
    Ok(())
}

/// The status of every stream of the instance.
pub(crate) async fn read(global: &Global, endpoints: &Endpoints) -> anyhow::Result<Vec<StreamStatus>> {
    let http = reqwest::Client::new();
    let names = streams(&http, endpoints).await?;
    let subscriptions: Vec<Subscription> = get(&http, &format!("{}/local/v1/subscriptions", endpoints.pubsub)).await?;
    let subscription = |id: &str| subscriptions.iter().find(|found| found.name.ends_with(&format!("/{id}")));
    let loader = Counters::fetch(&http, &endpoints.loader).await?;
    let accounts = account::live(&http, endpoints, &names).await?;
    let accounts = account::add(&Ledgered::read(&global.data_dir)?.carried, &accounts);
    let mut statuses = Vec::with_capacity(names.len());
    for stream in names {
        let freshness = |q| {
            let seconds = loader.quantile("pipas_loader_freshness_seconds", &[("stream", &stream)], q);
            seconds.map(|seconds| seconds * 1e3)
        };
        let pushed = subscription(&format!("{stream}-loader"));
        let exhausted = subscription(&format!("{stream}-dead-letter")).map_or(0, |found| found.backlog);
        let (archive_objects, archive_bytes) = archived(&http, endpoints, &stream).await?;
        statuses.push(StreamStatus {
            account: accounts.get(&stream).copied().unwrap_or_default(),
            backlog: pushed.map_or(0, |subscription| subscription.backlog) + exhausted,
            oldest_unacked_seconds: pushed.and_then(|subscription| subscription.oldest_unacked_age_seconds),
            freshness_p50_ms: freshness(0.5),
            freshness_p99_ms: freshness(0.99),
            archive_backlog: subscription(&format!("{stream}-archive")).map_or(0, |found| found.backlog),
            archive_objects,
            archive_bytes,
            stream,
        });
    }
    Ok(statuses)
}

/// The names of the instance's streams.
pub(crate) async fn streams(http: &reqwest::Client, endpoints: &Endpoints) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Entry {
        name: String,
    }
    let found: Vec<Entry> = get(http, &format!("{}/v1/streams", endpoints.receiver)).await?;
    Ok(found.into_iter().map(|stream| stream.name).collect())
}

/// How many Avro objects the archive of `stream` holds, and their bytes.
async fn archived(http: &reqwest::Client, endpoints: &Endpoints, stream: &str) -> anyhow::Result<(u64, u64)> {
    let url = format!("{}/storage/v1/b/{}/o", endpoints.storage, endpoints.archive_bucket);
    let (mut objects, mut bytes, mut token) = (0, 0, None::<String>);
    loop {
        let mut request = http.get(&url).query(&[("prefix", format!("{stream}/dt="))]);
        if let Some(token) = &token {
            request = request.query(&[("pageToken", token)]);
        }
        let page: Value = request.send().await?.error_for_status()?.json().await?;
        for object in page["items"].as_array().into_iter().flatten() {
            if object["name"].as_str().is_some_and(|name| name.ends_with(".avro")) {
                objects += 1;
                bytes += object["size"].as_str().and_then(|size| size.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        token = page["nextPageToken"].as_str().map(str::to_owned);
        if token.is_none() {
            return Ok((objects, bytes));
        }
    }
}

async fn get<T: serde::de::DeserializeOwned>(http: &reqwest::Client, url: &str) -> anyhow::Result<T> {
    Ok(http.get(url).send().await?.error_for_status()?.json().await?)
}

fn table(streams: &[StreamStatus]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    // What most instances never see is no column there.
    let has_redrives = streams.iter().any(|status| status.account.redriven > 0);
    let redriven = has_redrives.then_some("redriven");
    let counted = ["stream", "received", "published"].into_iter().chain(redriven).chain([
        "delivered",
        "written",
        "duplicate",
        "dead-lettered",
        "backlog",
        "oldest unacked",
        "fresh p50",
        "fresh p99",
        "archive",
    ]);
    table.set_header(counted);
    for status in streams {
        let account = &status.account;
        let redriven = has_redrives.then_some(account.redriven);
        let counts = [account.received, account.published].into_iter().chain(redriven).chain([
            account.delivered,
            account.written,
            account.duplicate,
            account.dead_lettered,
            status.backlog,
        ]);
        let milliseconds = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0} ms"));
        let mut row = vec![Cell::new(&status.stream)];
        row.extend(counts.map(|count| Cell::new(count).set_alignment(CellAlignment::Right)));
        row.extend([
            Cell::new(status.oldest_unacked_seconds.map_or_else(|| "–".to_owned(), |age| format!("{age:.1} s"))),
            Cell::new(milliseconds(status.freshness_p50_ms)),
            Cell::new(milliseconds(status.freshness_p99_ms)),
            Cell::new(format!("{} objects, {}", status.archive_objects, HumanBytes(status.archive_bytes))),
        ]);
        table.add_row(row);
    }
    table
}
