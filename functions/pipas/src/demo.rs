//! `pipas demo`: generated conversations through the whole of Pipas, and the closed account.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;
use futures::{StreamExt, TryStreamExt};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    account::Account,
    cli::Global,
    conversations::{Conversations, Line},
    instance::Endpoints,
    post::{Answer, Poster},
    query, status,
    warehouse::Warehouse,
};

const STREAM: &str = "courier-chat";
const VIEW: &str = "courier_chat.customer_courier_conversations";
/// How many requests are under way at once.
const CONCURRENCY: usize = 32;
/// How long the backlog may take to empty.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long what was sent before is waited for.
const CALM: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many conversations
    #[arg(long, default_value_t = 400)]
    conversations: u64,
    /// The generator's seed: the same seed sends the same events, so a second run is all duplicates
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share of the lines that is sent twice
    #[arg(long, default_value_t = 0.05)]
    twice: f64,
    /// How many rows of the view are printed
    #[arg(long, default_value_t = 10)]
    rows: usize,
}

/// What the demo did.
#[derive(Debug, Serialize)]
struct Report {
    conversations: u64,
    lines: usize,
    sent_twice: usize,
    #[serde(flatten)]
    account: Account,
    closed: bool,
    seconds: f64,
}

pub(crate) async fn demo(global: &Global, args: DemoArgs) -> anyhow::Result<ExitCode> {
    if !(0.0..=1.0).contains(&args.twice) {
        bail!("--twice takes a share from 0 to 1, found {}", args.twice);
    }
    let endpoints = Endpoints::find(&global.data_dir)?;
    // What was sent before is not the demo's. An instance that was killed may have lost some counts, so this does not go on for ever.
    let is_calm = |now: Account| now.settled() >= now.published;
    let before = match timeout(CALM, when(global, &endpoints, is_calm)).await {
        Ok(calm) => calm?,
        Err(_) => account(global, &endpoints).await?.0,
    };
    let started = Instant::now();

    let mut lines: Vec<Line> = Conversations::new(args.seed, args.conversations).flatten().collect();
    let unique = lines.len();
    let mut random = StdRng::seed_from_u64(args.seed);
    let twice: Vec<Line> = lines.iter().filter(|_| random.random_bool(args.twice)).cloned().collect();
    lines.extend(twice);
    lines.shuffle(&mut random);
    let poster = Poster::new(&endpoints.receiver, STREAM)?;
    futures::stream::iter(&lines)
        .map(|line| post(&poster, line))
        .buffer_unordered(CONCURRENCY)
        .try_collect::<()>()
        .await?;

    let sent = lines.len() as u64;
    let is_settled = |since: Account| since.published >= sent && since.settled() >= since.published;
    let account = when(global, &endpoints, |now| is_settled(now - before)).await? - before;
    let report = Report {
        conversations: args.conversations,
        lines: lines.len(),
        sent_twice: lines.len() - unique,
        closed: account.published == account.settled(),
        account,
        seconds: started.elapsed().as_secs_f64(),
    };
    let closed = report.closed;
    print(global, &args, &endpoints, &report).await?;
    Ok(if closed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn post(poster: &Poster, line: &Line) -> anyhow::Result<()> {
    match poster.post(line.json.clone().into(), "application/json", &line.idempotency_key).await? {
        Answer::Accepted(_) => Ok(()),
        Answer::Refused { detail, .. } | Answer::TooLarge { detail } => bail!("{}: {detail}", line.json),
    }
}

/// The stream's account and its backlog.
async fn account(global: &Global, endpoints: &Endpoints) -> anyhow::Result<(Account, u64)> {
    let statuses = status::read(global, endpoints).await?;
    let status = statuses.into_iter().find(|status| status.stream == STREAM);
    let status = status.with_context(|| format!("the instance's catalog has no stream {STREAM}"))?;
    Ok((status.account, status.backlog))
}

/// The stream's account once the backlog is empty and `holds` is true of it.
async fn when(global: &Global, endpoints: &Endpoints, holds: impl Fn(Account) -> bool) -> anyhow::Result<Account> {
    let started = Instant::now();
    loop {
        let (now, backlog) = account(global, endpoints).await?;
        if backlog == 0 && holds(now) {
            return Ok(now);
        }
        if started.elapsed() > PATIENCE {
            bail!("after {} s the backlog still holds {backlog} messages: {now:?}", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn print(global: &Global, args: &DemoArgs, endpoints: &Endpoints, report: &Report) -> anyhow::Result<()> {
    if global.json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    let sql = format!("SELECT * FROM `{VIEW}` ORDER BY order_id LIMIT {}", args.rows);
    let rows = Warehouse::connect(&endpoints.bigquery, &endpoints.project).await?.query(&sql).await?;
    println!("{VIEW}, first {} rows:\n{}", rows.rows.len(), query::table(&rows));
    let Account { received, published, written, duplicate, dead_lettered, .. } = report.account;
    let sign = if report.closed { "=" } else { "≠" };
    println!(
        "{} conversations, {} lines, {} of them sent twice, in {:.1} s",
        report.conversations,
        report.lines - report.sent_twice,
        report.sent_twice,
        report.seconds
    );
    // What Pub/Sub did not take at once was sent again.
    let published = if published == received { String::new() } else { format!(", published {published}") };
    println!(
        "received {received}{published} {sign} written {written} + duplicate {duplicate} + dead-lettered {dead_lettered}"
    );
    Ok(())
}
