//! `pipas replay`: archived events become rows again.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use objects::StoreConfig;
use pubsub::PubSubConfig;
use replayer::{Config, Control, Mode, Progress, Replayer, Report, Request, State};

use crate::{audit::interval, cli::Global, instance::Endpoints, mask_key};

/// How often the progress bar moves.
const EVERY: Duration = Duration::from_millis(200);
/// All was read that could be, and not all could be replayed.
const NOT_WHOLE: u8 = 2;

/// Load events from the archive again: what is a row already is refused, what is missing is loaded
///
/// Each object is verified against the manifest before a message is taken from it; damaged ones are named, and the rest is
/// replayed. A run that was interrupted is taken up by the same command. The exit code is 0 when all was replayed, 2 when
/// objects were damaged or events held back, 1 when the run was interrupted or failed.
///
/// With --mode publish the messages go to their topic once more, under their old identity, and the ledger of claims decides.
/// Events that are older than the stream's dedupe window, in a table that is older too, may be rows of which no claim is
/// left: they are held back. --mode merge takes those: it loads them into a staging table and inserts what the table lacks.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ReplayArgs {
    /// The stream
    #[arg(long, value_name = "STREAM")]
    stream: String,
    /// The first publish time, e.g. 2024-02-01 or 2024-02-01T10:00:00Z (UTC)
    #[arg(long, value_name = "TIME", value_parser = interval::time)]
    from: Option<Timestamp>,
    /// The publish time at which it ends, which is not in it; without it: now
    #[arg(long, value_name = "TIME", value_parser = interval::time)]
    to: Option<Timestamp>,
    /// Only this event; can be given again
    #[arg(long, value_name = "ID")]
    event_id: Vec<String>,
    /// Only the events of this table, by its key in the catalog or its name; can be given again
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
    /// Read and verify everything, say what would be replayed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How events become rows
    #[arg(long, value_enum, default_value_t = ModeArg::Publish)]
    mode: ModeArg,
    /// The most events a second; without it as fast as they are taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Avro objects of Pub/Sub's or Dataflow's in place of the archive: gs://BUCKET/PREFIX, a file or a folder; can be given again
    #[arg(long, value_name = "OBJECTS", conflicts_with_all = ["from", "to"])]
    from_objects: Vec<String>,
    /// Hold nothing back: what is published may become a second row, what is merged may still be in flight
    #[arg(long)]
    any_age: bool,
    /// Begin anew where the same replay was interrupted
    #[arg(long)]
    restart: bool,
    /// The catalog
    #[arg(long, env = "PIPAS_CATALOG", default_value = "pipas.yaml", value_name = "FILE")]
    catalog: PathBuf,
    /// A Google Cloud project, with your default credentials; without it: the running local instance
    #[arg(long, value_name = "PROJECT", requires = "bucket")]
    project: Option<String>,
    /// The bucket of that project's archive
    #[arg(long, value_name = "BUCKET", requires = "project")]
    bucket: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArg {
    /// To their topic again
    Publish,
    /// Into a staging table, and from there what the table lacks
    Merge,
}

pub(crate) async fn command(global: &Global, args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let mut config = match (&args.project, &args.bucket) {
        (Some(project), Some(bucket)) => google(args.catalog.clone(), project, bucket),
        _ => local(args.catalog.clone(), &Endpoints::find(&global.data_dir)?),
    };
    config.mask_key = mask_key::known(args.project.is_none().then_some(&*global.data_dir))?;
    let request = Request {
        stream: args.stream,
        mode: match args.mode {
            ModeArg::Publish => Mode::Publish,
            ModeArg::Merge => Mode::Merge,
        },
        from: args.from,
        to: args.to,
        event_ids: args.event_id.into_iter().collect(),
        tables: args.table.into_iter().collect(),
        objects: args.from_objects.into_iter().collect(),
        any_age: args.any_age,
        dry_run: args.dry_run,
        rate: args.rate,
        restart: args.restart,
    };
    let replayer = Replayer::connect(&config).await?;
    let control = Control::default();
    let stop = control.stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
    let bar = tokio::spawn(show(Arc::clone(&control.progress), global.json));
    let replayed = replayer.replay(&request, &control).await;
    bar.abort();
    // It clears its line where it ends; an aborted one is dropped, which does the same.
    let _ = bar.await;
    let report = replayed?;
    print(&report, global.json)?;
    Ok(match report.state {
        _ if report.is_whole() => ExitCode::SUCCESS,
        State::Done => ExitCode::from(NOT_WHOLE),
        State::BudgetSpent | State::Stopped => ExitCode::FAILURE,
    })
}

/// A project of Google Cloud's.
fn google(catalog: PathBuf, project: &str, bucket: &str) -> Config {
    Config {
        catalog,
        pubsub: PubSubConfig { project: project.to_owned(), endpoint: None },
        store: StoreConfig { bucket: bucket.to_owned(), endpoint: None },
        bigquery_endpoint: None,
        bigquery_storage_endpoint: None,
        auth: None,
        mask_key: None,
    }
}

/// A local instance.
pub(crate) fn local(catalog: PathBuf, endpoints: &Endpoints) -> Config {
    let at = |url: &String| Some(url.clone());
    Config {
        catalog,
        pubsub: PubSubConfig { project: endpoints.project.clone(), endpoint: at(&endpoints.pubsub) },
        store: StoreConfig { bucket: endpoints.archive_bucket.clone(), endpoint: at(&endpoints.storage) },
        bigquery_endpoint: at(&endpoints.bigquery),
        bigquery_storage_endpoint: at(&endpoints.bigquery_storage),
        auth: None,
        mask_key: None,
    }
}

/// Moves a progress bar until it is aborted.
async fn show(progress: Arc<Progress>, is_quiet: bool) {
    if is_quiet || !std::io::stderr().is_terminal() {
        return;
    }
    let bar = ProgressBar::new(0);
    let template = "{wide_bar} {percent}% {human_pos}/{human_len} messages {per_sec} ETA {eta}  {msg}";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let bar = Cleared(bar);
    loop {
        let counts = progress.counts();
        bar.0.set_length(counts.expected.max(counts.read));
        bar.0.set_position(counts.read);
        bar.0.set_message(format!("{} replayed, {} of {} objects", counts.taken, counts.objects_done, counts.objects));
        tokio::time::sleep(EVERY).await;
    }
}

/// A bar that leaves no line behind.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn print(report: &Report, is_json: bool) -> anyhow::Result<()> {
    if is_json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{report}");
        if report.state != State::Done {
            println!("the same command goes on from here");
        }
    }
    Ok(())
}
