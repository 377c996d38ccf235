//! `pipas drill`: the way back, tried on an instance of its own that is gone afterwards.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use catalog::{Catalog, Stream};
use clap::{Args, Subcommand};
use futures::{StreamExt, TryStreamExt};
use pubsub::Outgoing;
use replayer::{Control, Replayer, Request};
use serde::Serialize;
use storage_write::Tables;

use crate::{
    audit::{self, Interval, Scope, Source},
    cli::Global,
    instance::Endpoints,
    post::{Answer, Poster},
    provision::provision,
    replay,
    up::Temporary,
};

const STREAM: &str = "drill";
const TABLE: &str = "drill.events";
const CATALOG: &str = "
streams:
  drill:
    description: Events of a drill
    event_id: null
    tables:
      events: { table: drill.events, schema: events.json }
";
const SCHEMA: &str =
    r#"[{"name": "number", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "text", "type": "STRING"}]"#;
/// Every so many events come straight to the topic, without an id: then the message's own id is the event's.
const BARE: u64 = 10;
const BATCH: u64 = 500;
const CONCURRENCY: usize = 4;
/// How long a step may go on without getting on.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    #[command(subcommand)]
    drill: Drill,
}

#[derive(Debug, Subcommand)]
enum Drill {
    Restore(RestoreArgs),
}

/// Load events, drop their table, make it anew, and bring every row back from the archive
///
/// Runs on data of its own, in a temporary folder and on free ports, and removes both. The last line says what was seen; the
/// exit code is 1 where it is not what must be: as many rows as before, a closed audit, and no new row by a second replay.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct RestoreArgs {
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// The claim ledger's Redis; without one the ledger is kept in this process
    #[arg(long, env = "PIPAS_REDIS_URL", value_name = "URL", hide_env_values = true)]
    redis: Option<String>,
}

/// What was seen.
#[derive(Debug, Default, Serialize)]
struct Seen {
    events: u64,
    rows_before: u64,
    archived: u64,
    replayed: u64,
    rows_restored: u64,
    audit_received: u64,
    audit_written: u64,
    audit_closed: bool,
    replayed_again: u64,
    new_rows: u64,
    passed: bool,
    seconds: f64,
}

pub(crate) async fn drill(global: &Global, args: DrillArgs) -> anyhow::Result<ExitCode> {
    let Drill::Restore(args) = args.drill;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("pipas.yaml");
    std::fs::write(&file, CATALOG)?;
    std::fs::write(folder.path().join("events.json"), SCHEMA)?;
    let instance = Temporary::start(&folder.path().join("instance"), &file, args.redis.clone()).await?;
    let begun = Instant::now();
    let seen = restore(global, instance.endpoints(), &file, args.events).await;
    let stopped = instance.stop().await;
    let mut seen = seen?;
    stopped?;
    seen.seconds = begun.elapsed().as_secs_f64();
    seen.passed = seen.rows_before == seen.events
        && seen.archived == seen.events
        && seen.rows_restored == seen.events
        && seen.audit_closed
        && (seen.audit_received, seen.audit_written) == (seen.events, seen.events)
        && seen.new_rows == 0;
    if global.json {
        println!("{}", serde_json::to_string(&seen)?);
    } else {
        println!("{}", summary(&seen));
    }
    Ok(if seen.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(seen: &Seen) -> String {
    let Seen { events, replayed, rows_restored, audit_received, audit_written, replayed_again, new_rows, .. } = seen;
    format!(
        "drill restore: {events} events loaded, table dropped and made anew, {replayed} replayed, {rows_restored} rows \
         restored, audit {} (received {audit_received}, written {audit_written}), {replayed_again} replayed again, \
         {new_rows} new rows, in {:.1} s: {}",
        if seen.audit_closed { "closed" } else { "open" },
        seen.seconds,
        if seen.passed { "passed" } else { "FAILED" }
    )
}

/// What the steps of a drill use.
struct Steps<'a> {
    endpoints: &'a Endpoints,
    stream: &'a Stream,
    source: Source,
    tables: Tables,
    is_quiet: bool,
}

async fn restore(global: &Global, endpoints: &Endpoints, file: &Path, events: u64) -> anyhow::Result<Seen> {
    let catalog = Catalog::load(file)?;
    let stream = catalog.streams.get(STREAM).context("the drill's stream")?;
    let tables = Tables::connect(&endpoints.project, Some(&endpoints.bigquery)).await?;
    let steps = Steps { endpoints, stream, source: Source::of(endpoints), tables, is_quiet: global.json };
    let mut seen = Seen { events, ..Seen::default() };

    steps.say(format!("loading {events} events"));
    steps.load(events).await?;
    seen.rows_before = steps.rows_reach(events).await?;
    steps.say(format!("{} rows; archiving", seen.rows_before));
    seen.archived = steps.archive_reaches(events).await?;

    let table = &stream.tables.first().context("the drill's table")?.name;
    steps.tables.drop_table(table).await?;
    ensure!(steps.rows().await.is_err(), "the table {table} is dropped, and still has rows");
    provision(&catalog, endpoints).await.context("making the table anew")?;
    ensure!(steps.rows().await? == 0, "the table {table} was made anew, and has rows");
    steps.say(format!("{} messages archived; {table} dropped and made anew; replaying", seen.archived));

    seen.replayed = steps.replay(file).await?;
    seen.rows_restored = steps.rows_reach(events).await?;
    steps.say(format!("{} messages replayed, {} rows; auditing", seen.replayed, seen.rows_restored));
    // What the compactor is given of the replay is in the archive already.
    steps.archive_reaches(events).await?;
    let report = steps.audit().await?;
    (seen.audit_received, seen.audit_written) = (report.received, report.written);
    seen.audit_closed = report.is_closed() && report.is_settled();

    steps.say("replaying once more".to_owned());
    seen.replayed_again = steps.replay(file).await?;
    steps.backlog_empties().await?;
    seen.new_rows = steps.rows().await?.saturating_sub(seen.rows_restored);
    Ok(seen)
}

impl Steps<'_> {
    fn say(&self, what: String) {
        if !self.is_quiet {
            eprintln!("{what}");
        }
    }

    async fn load(&self, events: u64) -> anyhow::Result<()> {
        let poster = Poster::new(&self.endpoints.receiver, STREAM)?;
        let config = replay::local(PathBuf::new(), self.endpoints).pubsub;
        let publisher = pubsub::Client::connect(&config).await?.publisher(self.stream.topic());
        let batches = (0..events).step_by(BATCH as usize).map(|first| first..(first + BATCH).min(events));
        futures::stream::iter(batches)
            .map(|batch| {
                let (poster, publisher) = (&poster, &publisher);
                async move {
                    let first = batch.start;
                    let (bare, posted): (Vec<u64>, Vec<u64>) = batch.partition(|number| number % BARE == 0);
                    let messages =
                        bare.into_iter().map(|number| Outgoing { data: event(number).into(), ..Outgoing::default() });
                    for result in publisher.publish(messages.collect()).await {
                        result.context("publishing to the topic")?;
                    }
                    let body = posted.into_iter().map(event).collect::<Vec<_>>().join("\n");
                    if body.is_empty() {
                        return Ok(());
                    }
                    match poster.post(Bytes::from(body), "application/x-ndjson", &format!("drill-{first}")).await? {
                        Answer::Accepted(_) => Ok(()),
                        Answer::Refused { detail, .. } | Answer::TooLarge { detail } => bail!(detail),
                    }
                }
            })
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// How many rows there are. A row that stands twice counts twice.
    async fn rows(&self) -> anyhow::Result<u64> {
        let answer = self.tables.query(&format!("SELECT COUNT(*) FROM `{TABLE}`")).await?;
        let count = answer.rows.first().and_then(|row| row.first()?.as_str()?.parse().ok());
        count.context("the query has no count")
    }

    async fn rows_reach(&self, wanted: u64) -> anyhow::Result<u64> {
        self.reaches(wanted, async || self.rows().await).await
    }

    async fn archive_reaches(&self, wanted: u64) -> anyhow::Result<u64> {
        let http = reqwest::Client::new();
        let store = self.source.archive().await?;
        self.reaches(wanted, async || {
            http.post(format!("{}/compact", self.endpoints.compactor)).send().await?.error_for_status()?;
            let entries = archive::live(archive::entries(&store, STREAM, None, None).await?);
            Ok(entries.iter().map(|entry| entry.records).sum())
        })
        .await
    }

    /// Looks until `look` finds `wanted`, or nothing new for long; what it found last.
    async fn reaches(&self, wanted: u64, look: impl AsyncFn() -> anyhow::Result<u64>) -> anyhow::Result<u64> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let found = look().await?;
            if found >= wanted || since.elapsed() > PATIENCE {
                return Ok(found);
            }
            if found != last {
                (last, since) = (found, Instant::now());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn replay(&self, file: &Path) -> anyhow::Result<u64> {
        let replayer = Replayer::connect(&replay::local(file.to_owned(), self.endpoints)).await?;
        let request = Request { stream: STREAM.to_owned(), ..Request::default() };
        let report = replayer.replay(&request, &Control::default()).await?;
        ensure!(report.is_whole(), "the replay is not whole: {report}");
        Ok(report.counts.taken)
    }

    async fn audit(&self) -> anyhow::Result<audit::Report> {
        let scope = Scope { interval: Interval::default(), in_flight: Duration::from_secs(60), list: 10 };
        let begun = Instant::now();
        loop {
            let report = audit::audit(&self.source, self.stream, &scope).await?;
            if report.is_settled() || begun.elapsed() > PATIENCE {
                return Ok(report);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn backlog_empties(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.source.backlog(&self.stream.loader_subscription()).await? != Some(0) {
            ensure!(begun.elapsed() < 5 * PATIENCE, "the loader's subscription is not empty after {:?}", 5 * PATIENCE);
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }
}

fn event(number: u64) -> String {
    format!(r#"{{"number":{number},"text":"event {number} of a drill"}}"#)
}
