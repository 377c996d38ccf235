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
use verdict::Verdict;

/// Try what exactly-once delivery assumes of BigQuery, on a table of its own that it drops
///
/// Prints a verdict for each assumption: holds, fails, or not shown, with the evidence. The exit code is 1 when one fails.
/// It creates two write streams and one for each trial, and writes up to a few hundred short rows in each.
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
    /// How long a write stream is left alone (A7); from 72h on it is shown to live so long
    #[arg(long, value_name = "TIME", default_value = "5s")]
    idle: Span,
}

pub(crate) async fn probe(global: &Global, args: ProbeArgs) -> anyhow::Result<ExitCode> {
    let place = match args.project {
        Some(project) => Place::google(project),
        None => Place::of(&Endpoints::find(&global.data_dir)?),
    };
    let stand = Stand::build(place, &args.dataset).await?;
    let looks: &[u64] = if args.patient { &[0, 1, 10, 60, 600] } else { &[0, 1, 10] };
    let race = Race { trials: args.trials, jobs: args.jobs.max(1), looks };
    let mut findings = vec![fence::ends_the_stream(&stand).await];
    findings.push(race.run(&stand).await);
    findings.extend(fence::by_anyone_and_again(&stand).await);
    findings.push(lifetime::outlives_a_silence(&stand, args.idle.0).await);
    findings.push(lifetime::tells_no_length(&stand).await);
    findings.sort_by_key(|finding| finding.assumption);
    stand.clear().await?;
    if global.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        findings.iter().for_each(|finding| println!("{finding}"));
    }
    let fails = findings.iter().any(|finding| finding.verdict == Verdict::Fails);
    Ok(if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
