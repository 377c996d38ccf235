//! `pipas dead-letters redrive`.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use event::DeadLetterId;
use futures::future::join_all;
use pubsub::{Outgoing, Publisher};
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::{
    filter::Filter,
    letter::{self, Letter},
    marks::{Marks, Published},
    patch::Patch,
    source::Source,
};
use crate::cli::Global;

/// Messages that are published, and then marked, at once.
const BATCH: usize = 200;
/// Bytes of events that make a batch full.
const BATCH_BYTES: usize = 16 << 20;
/// Refusals, and patched events, that are listed.
const LISTED: usize = 10;

/// Publish open dead letters again, after a fix of the schema, the catalog, or their data
///
/// Each goes to its stream's topic with its own attributes, byte for byte or patched. It becomes a row, once however often it is
/// published; or the next dead letter, which names this one (redrive_of). What was published is marked, and is not open any more.
#[derive(Debug, Args)]
pub(crate) struct RedriveArgs {
    #[command(flatten)]
    filter: Filter,
    /// Only this one; may be given again. Without it --stream and --reason say which
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<DeadLetterId>,
    /// Changes each event: a JSON Patch (RFC 6902) where the file is a JSON array, else a jq filter
    #[arg(long, value_name = "FILE")]
    patch: Option<PathBuf>,
    /// Only say what would be published
    #[arg(long)]
    dry_run: bool,
    /// Events a second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How many at most, the oldest first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// What a redrive did.
#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    /// Open dead letters that were asked for.
    matched: u64,
    /// Those that were published, or would be, by stream.
    published: BTreeMap<String, u64>,
    /// Those that were published and are open no more.
    marked: u64,
    /// Those that stay as they were.
    failed: u64,
    /// Some of them, and why.
    failures: Vec<Failure>,
    /// Some events as the patch makes them, where nothing is published.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    patched: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Failure {
    dead_letter_id: String,
    detail: String,
}

pub(super) async fn redrive(global: &Global, source: &Source, args: &RedriveArgs) -> anyhow::Result<ExitCode> {
    if args.ids.is_empty() && (args.filter.stream.is_none() || args.filter.reason.is_none()) {
        bail!("say which: --stream and --reason, or --id");
    }
    let patch = args.patch.as_deref().map(Patch::read).transpose()?;
    let tables = source.tables().await?;
    let mut redrive = Redrive {
        topics: source.topics().await?,
        publishers: BTreeMap::new(),
        marks: Marks::open(source, patch.as_ref().map(|patch| patch.hash.clone())).await?,
        patch,
        pace: Pace { rate: args.rate, next: Instant::now() },
        report: Report { dry_run: args.dry_run, ..Report::default() },
    };
    let sql = letter::sql(&args.filter, &args.ids, args.limit);
    let mut pages = tables.query_pages(&sql).await.context("reading the dead letters")?;
    let size = args.rate.map_or(BATCH, |rate| BATCH.min(rate as usize));
    let (mut batch, mut bytes) = (Vec::with_capacity(size), 0);
    let mut ended = Ok(());
    'pages: while let Some(page) = pages.next().await.context("reading the dead letters")? {
        for row in page {
            match Letter::read(&row) {
                Ok(letter) => {
                    bytes += letter.size();
                    batch.push(letter);
                }
                // It stays as it was, and stands in no other's way.
                Err(error) => redrive.report.unreadable(&row, &error),
            }
            if batch.len() >= size || bytes >= BATCH_BYTES {
                bytes = 0;
                ended = redrive.batch(std::mem::take(&mut batch)).await;
                if ended.is_err() {
                    break 'pages;
                }
            }
        }
    }
    if ended.is_ok() {
        ended = redrive.batch(batch).await;
    }
    redrive.marks.close().await;
    print(global, &redrive.report)?;
    ended?;
    Ok(if redrive.report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Redrive {
    topics: pubsub::Client,
    publishers: BTreeMap<String, Publisher>,
    marks: Marks,
    patch: Option<Patch>,
    pace: Pace,
    report: Report,
}

impl Redrive {
    /// Publishes, then marks: what is published and not marked stays open, and is known again when it is published once more.
    async fn batch(&mut self, letters: Vec<Letter>) -> anyhow::Result<()> {
        let mut ready: BTreeMap<String, Vec<(DeadLetterId, Outgoing)>> = BTreeMap::new();
        for letter in letters {
            self.report.matched += 1;
            let (id, stream) = (letter.id.clone(), letter.stream.clone());
            match letter.outgoing(self.patch.as_ref()) {
                Ok(outgoing) => ready.entry(stream).or_default().push((id, outgoing)),
                Err(error) => self.report.fail(&id, format!("{error:#}")),
            }
        }
        if self.report.dry_run {
            self.report.would(&ready, self.patch.is_some());
            return Ok(());
        }
        self.pace.wait(ready.values().map(Vec::len).sum()).await;
        let published = self.publish(ready).await;
        if published.is_empty() {
            return Ok(());
        }
        for letter in &published {
            *self.report.published.entry(letter.stream.clone()).or_default() += 1;
        }
        self.marks.mark(&published).await.with_context(|| {
            format!("the last {} are published and may still be open; redriven again they do no harm", published.len())
        })?;
        self.report.marked += published.len() as u64;
        Ok(())
    }

    /// Publishes each stream's messages; those that Pub/Sub took.
    async fn publish(&mut self, ready: BTreeMap<String, Vec<(DeadLetterId, Outgoing)>>) -> Vec<Published> {
        for stream in ready.keys() {
            let topics = &self.topics;
            // A stream's topic has its name.
            self.publishers.entry(stream.clone()).or_insert_with(|| topics.publisher(stream));
        }
        let publishers = &self.publishers;
        let sent = ready.into_iter().filter_map(|(stream, messages)| {
            let publisher = publishers.get(&stream)?.clone();
            let (ids, messages): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
            Some(async move { (stream, ids, publisher.publish(messages).await) })
        });
        let mut published = Vec::new();
        for (stream, ids, results) in join_all(sent).await {
            for (id, result) in ids.into_iter().zip(results) {
                match result {
                    Ok(message_id) => published.push(Published { id, stream: stream.clone(), message_id }),
                    Err(error) => self.report.fail(&id, format!("{:#}", anyhow::Error::new(error))),
                }
            }
        }
        published
    }
}

impl Report {
    fn fail(&mut self, id: &DeadLetterId, detail: String) {
        self.failure(id.to_string(), detail);
    }

    /// A row of which no dead letter can be read.
    fn unreadable(&mut self, row: &[Value], error: &anyhow::Error) {
        self.matched += 1;
        let id = row.first().and_then(Value::as_str).unwrap_or("?");
        self.failure(id.to_owned(), format!("{error:#}"));
    }

    fn failure(&mut self, dead_letter_id: String, detail: String) {
        self.failed += 1;
        if self.failures.len() < LISTED {
            self.failures.push(Failure { dead_letter_id, detail });
        }
    }

    fn would(&mut self, ready: &BTreeMap<String, Vec<(DeadLetterId, Outgoing)>>, is_patched: bool) {
        for (stream, messages) in ready {
            *self.published.entry(stream.clone()).or_default() += messages.len() as u64;
            let room = LISTED.saturating_sub(self.patched.len());
            let shown = messages.iter().filter(|_| is_patched).take(room);
            self.patched.extend(shown.map(|(_, message)| String::from_utf8_lossy(&message.data).into_owned()));
        }
    }
}

/// When the next messages may go.
struct Pace {
    rate: Option<u32>,
    next: Instant,
}

impl Pace {
    async fn wait(&mut self, messages: usize) {
        let Some(rate) = self.rate else { return };
        sleep_until(self.next).await;
        self.next = self.next.max(Instant::now()) + Duration::from_secs_f64(messages as f64 / f64::from(rate));
    }
}

fn print(global: &Global, report: &Report) -> anyhow::Result<()> {
    if global.json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    report.patched.iter().for_each(|event| println!("{event}"));
    for Failure { dead_letter_id, detail } in &report.failures {
        println!("{dead_letter_id}: {detail}");
    }
    if report.failed > report.failures.len() as u64 {
        println!("… {} failed in all", report.failed);
    }
    let published: u64 = report.published.values().sum();
    let verb = if report.dry_run { "would be published" } else { "published" };
    println!(
        "{} open dead letters, {published} {verb}, {} marked, {} failed",
        report.matched, report.marked, report.failed
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_and_counted() {
        let row = [json!("nonsense"), json!(null)];
        let error = Letter::read(&row).expect_err("no dead letter");
        let mut report = Report::default();
        report.unreadable(&row, &error);
        assert_eq!((report.matched, report.failed, report.failures[0].dead_letter_id.as_str()), (1, 1, "nonsense"));
    }
}
