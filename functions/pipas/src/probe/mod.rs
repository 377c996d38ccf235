//! `pipas probe`: whether the real BigQuery keeps what exactly-once delivery assumes of it.

mod fence;
mod lifetime;
mod race;
mod stand;
mod verdict;

use std::process::ExitCode;

use clap::Args;

use crate::{cli::Global, instance::Endpoints, span::Span};
use race::Race;
use stand::{Place, Stand};
use verdict::{Finding, Verdict};

/// The exit code when nothing fails, and not all is shown.
const NOT_SHOWN: u8 = 2;

/// Try what exactly-once delivery assumes of BigQuery, on a table of its own that it drops
///
/// Prints a verdict for each assumption, with the evidence: holds; fails; not shown, where it could not be tried, too little
/// of it was, or errors came in between that say nothing of it; not tried, where --idle was not given (A7). The exit code
/// is 0 when all that were tried hold, 1 when one fails, and 2 when none fails but one is not shown, or the probe could not
/// be made at all. A race of A3 counts when finalize cut appends off after others were acknowledged; the other trials are
/// left out and counted, and when they are more than half, A3 is not shown.
///
/// It creates one write stream for each trial and three or, with --idle, four more. It writes a few short rows in each of
/// these, and in that of a trial as many as it can within 0.3 s, 20,000 at most.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ProbeArgs {
    /// A Google Cloud project, with your default credentials; without it: the running local instance
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// The dataset in which the table is made; it is made itself where it is not there
    #[arg(long, value_name = "DATASET", default_value = "pipas_probe")]
    dataset: String,
    /// How often an append and a finalize are raced (A3)
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    trials: usize,
    /// Races that run at once
    #[arg(long, value_name = "N", default_value_t = 8)]
    jobs: usize,
    /// Count the rows again after 60 s and 600 s, not only after 0 s, 1 s and 10 s
    #[arg(long)]
    patient: bool,
    /// How long a write stream is left alone (A7); from 72h on it is shown to live so long. Without it A7 is not tried
    #[arg(long, value_name = "TIME")]
    idle: Option<Span>,
}

pub(crate) async fn probe(global: &Global, args: ProbeArgs) -> ExitCode {
    match tried(global, args).await {
        Ok(findings) => exit_code(&findings),
        Err(error) => {
            eprintln!("pipas: nothing is shown: {error:#}");
            NOT_SHOWN.into()
        }
    }
}

async fn tried(global: &Global, args: ProbeArgs) -> anyhow::Result<Vec<Finding>> {
    let place = match args.project {
        Some(project) => Place::google(project),
        None => Place::of(&Endpoints::find(&global.data_dir)?),
    };
    let stand = Stand::build(place, &args.dataset).await?;
    let looks: &[u64] = if args.patient { &[0, 1, 10, 60, 600] } else { &[0, 1, 10] };
    let race = Race { trials: args.trials, jobs: args.jobs.max(1), looks };
    let mut findings = Vec::new();
    // Each is told when it is there: the last may take three days.
    let mut tell = |finding: Finding| {
        if !global.json {
            println!("{finding}");
        }
        findings.push(finding);
    };
    tell(fence::ends_the_stream(&stand).await);
    tell(race.run(&stand).await);
    fence::by_anyone_and_again(&stand).await.into_iter().for_each(&mut tell);
    tell(lifetime::tells_no_length(&stand).await);
    tell(lifetime::outlives_a_silence(&stand, args.idle.map(|idle| idle.0)).await);
    findings.sort_by_key(|finding| finding.assumption);
    if global.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    }
    // What was found stands, whether or not the table can be dropped.
    if let Err(error) = stand.clear().await {
        eprintln!("pipas: {error:#}");
    }
    Ok(findings)
}

fn exit_code(findings: &[Finding]) -> ExitCode {
    let any = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    if any(Verdict::Fails) {
        ExitCode::FAILURE
    } else if any(Verdict::NotShown) {
        NOT_SHOWN.into()
    } else {
        ExitCode::SUCCESS
    }
}
