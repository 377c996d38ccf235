//! `pipas audit`: the closed account of a stream, from the archive, the tables and the dead letters; of a local instance the backlog
//! too.

mod archived;
mod events;
mod identity;
pub(crate) mod interval;
mod report;
mod row_keys;
mod rows;
mod source;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use catalog::{Catalog, Stream};
use clap::Args;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{cli::Global, instance::Endpoints, span::Span};
use events::Events;
use identity::Identify;
pub use interval::Interval;
pub(crate) use interval::time as moment;
pub use report::Report;
pub use source::Source;

/// How long `--wait` waits between two looks.
const AGAIN: Duration = Duration::from_millis(500);

/// Compare the archive, the tables and the dead letters of a stream, by event id
///
/// With --project it reads BigQuery and the archive alone. On a local instance it asks Pub/Sub too: where the subscriptions
/// of the loader and of dead letters hold nothing, no event is in flight, whatever --in-flight says.
///
/// Every event of the archive must be one row or one dead letter: `missing` has neither, `doubled` has more than one. The
/// exit code is 1 when either is not 0.
///
/// An event is a table and an event id; other content under a used id counts as an event of its own, and its end is a dead
/// letter (payload_conflict). A row or dead letter whose event is not in the archive yet is no fault, and neither is an
/// event that may still be in flight: both have lines of their own. An event that is published again after the stream's
/// dedupe_window is a new one by the stream's promise, and shows here as doubled; not also as missing, whatever it says.
///
/// Where nothing names an event but its message's id (it was published to the topic directly, without an id), and Pub/Sub gave it
/// up, its dead letter names the copy's id: such pairs are counted as unnamed, as many as there are of both.
///
/// A raw table has an event of its own of each message: a stream with one counts each message twice.
///
/// What was archived is read by the catalog as it is now: its ids, routes and tables. Where one of them was changed since, events
/// of before are missing where they would go now, and not archived where they are; after a raw table was added, missing alone.
/// Give as --from the time of the change, and audit what was before it with --to and --catalog, the catalog of then.
///
/// A dead letter that was published again (`pipas dead-letters redrive`) is one event more: the first ended as the dead letter,
/// and the second ends as a row, or as the next dead letter.
///
/// Tables with delivery at_least_once: an event must have at least one row; further rows are counted as repeated, and are
/// no fault, as the view <table>_unique hides them. Where an id has several contents, a further row counts as written, as that
/// of a content without an end. With delivery upsert an event is written when the row of its key is there, whichever event
/// made it last; a key with two visible rows is doubled, and archived states of a key beyond its first are superseded: nothing
/// is refused there, BigQuery shows the newest.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct AuditArgs {
    /// The stream
    #[arg(long, value_name = "STREAM")]
    stream: String,
    /// The first publish time that is looked at, e.g. 2024-02-01 or 2024-02-01T10:00:00Z (UTC), or "26h ago"
    #[arg(long, value_name = "TIME", value_parser = interval::time)]
    from: Option<Timestamp>,
    /// The publish time at which the look ends: events published at it are not looked at
    #[arg(long, value_name = "TIME", value_parser = interval::time)]
    to: Option<Timestamp>,
    /// The catalog
    #[arg(long, env = "PIPAS_CATALOG", default_value = "pipas.yaml", value_name = "FILE")]
    catalog: PathBuf,
    /// A Google Cloud project, with your default credentials; without it: the running local instance
    #[arg(long, value_name = "PROJECT", requires = "bucket")]
    project: Option<String>,
    /// The bucket of that project's archive
    #[arg(long, value_name = "BUCKET", requires = "project")]
    bucket: Option<String>,
    /// An event without a row that was published so short a time ago is in flight, not missing
    ///
    /// The default is more than the longest way of an event where nothing is out of order: a claim of a loader that died is
    /// suspect after 90 s, Pub/Sub waits up to 600 s for the next delivery, and that takes up to 60 s. After an outage (of the
    /// ledger, of BigQuery) give its length and that.
    #[arg(long, value_name = "TIME", default_value = "15m")]
    in_flight: Span,
    /// Look again for so long, until nothing is in flight, missing, or not archived
    #[arg(long, value_name = "TIME", default_value = "0s")]
    wait: Span,
    /// How many missing and doubled event ids are listed
    #[arg(long, value_name = "N", default_value_t = 10)]
    list: usize,
}

/// What an audit looks at.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The publish times.
    pub interval: Interval,
    /// An event without a row that was published so short a time ago is in flight, not missing.
    pub in_flight: Duration,
    /// How many missing and doubled ids are listed.
    pub list: usize,
}

pub(crate) async fn command(global: &Global, args: AuditArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(&args.catalog)?;
    let stream = catalog.streams.get(&args.stream).with_context(|| {
        let known = catalog.streams.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("{} has no stream {}; it has {known}", args.catalog.display(), args.stream)
    })?;
    let source = match (args.project, args.bucket) {
        (Some(project), Some(bucket)) => Source::google(project, bucket),
        _ => Source::of(&Endpoints::find(&global.data_dir)?),
    };
    let interval = Interval::new(args.from, args.to)?;
    let scope = Scope { interval, in_flight: args.in_flight.0, list: args.list };
    let deadline = Instant::now() + args.wait.0;
    let report = loop {
        let report = audit(&source, stream, &scope).await?;
        if report.is_settled() || Instant::now() >= deadline {
            break report;
        }
        tokio::time::sleep(AGAIN).await;
    };
    if global.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(if report.is_closed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The account of `stream`, once.
///
/// The archive is read first: whatever is in it and not in flight must have ended by the time the tables are read.
pub async fn audit(source: &Source, stream: &Stream, scope: &Scope) -> anyhow::Result<Report> {
    let identify = Identify::new(stream)?;
    let store = source.archive().await?;
    let tables = source.tables().await?;
    let since = Timestamp::now() - jiff::SignedDuration::try_from(scope.in_flight)?;
    let objects = archived::list(&store, &stream.name, &scope.interval).await.context("listing the archive")?;
    let records: u64 = objects.iter().map(|entry| entry.records).sum();
    let mut events = Events::with_room(records.saturating_mul(identify.most_events()))?;
    archived::each(&store, &objects, &scope.interval, |message| {
        identify.message(message).iter().for_each(|event| events.archived(event, since));
    })
    .await
    .context("reading the archive")?;
    // Empty backlogs, seen after the archive and in the order of the flow, say more than any time: everything archived has ended.
    if source.backlog(&stream.loader_subscription()).await? == Some(0)
        && source.backlog(&stream.dead_letter_subscription()).await?.unwrap_or(0) == 0
    {
        events.nothing_is_in_flight();
    }
    events.redriven(rows::redriven(&tables, stream).await.context("reading the redrives")?);
    for table in &stream.tables {
        rows::of_table(&tables, stream, table, &scope.interval, |row| events.row(row, scope.list))
            .await
            .with_context(|| format!("reading {}", table.name))?;
    }
    rows::of_dead_letters(&tables, stream, &scope.interval, |letter| events.letter(letter, scope.list))
        .await
        .context("reading the dead letters")?;
    let mut report = events.close(&stream.name, &scope.interval);
    if report.missing > 0 && scope.list > 0 {
        // The account keeps hashes of ids, so what is missing is looked up once more by name.
        let mut wanted = events.missing(scope.list);
        archived::each(&store, &objects, &scope.interval, |message| {
            for event in identify.message(message) {
                if wanted.remove(&(event.key, event.content)) {
                    report.missing_ids.push(event.name());
                }
            }
        })
        .await
        .context("reading the archive")?;
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        audit: AuditArgs,
    }

    #[test]
    fn an_event_on_its_longest_way_is_in_flight() {
        let Line { audit } = Line::parse_from(["audit", "--stream", "events"]);
        let env = service::Env::from_pairs([("GOOGLE_CLOUD_PROJECT", "p"), ("PIPAS_PUSH_AUTH", "none")]);
        let suspicion = loader::Config::from_env(&env).expect("a config").limits.suspect_after;
        let (longest_backoff, ack_deadline) = (Duration::from_secs(600), Duration::from_secs(60));
        assert!(audit.in_flight.0 > suspicion + longest_backoff + ack_deadline, "{:?}", audit.in_flight);
    }
}
