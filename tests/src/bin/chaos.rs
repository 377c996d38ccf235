//! Chaos at length: `scripts/chaos --events 100000 --seeds 10`, or `--seed S` for one run again.

use std::process::ExitCode;

use clap::Parser;
use tests::chaos::{self, Chaos};

/// Loaders are killed, paused and stopped, Redis restarts and fails over, answers are late and lost: then the audit
///
/// The last line is `missing N, doubled N`, over all seeds, with how many of them ran to their end where not all did. The
/// exit code is 1 when either is not 0, a seed failed, less was received or archived than was sent, or no failover lost
/// anything.
#[derive(Debug, Parser)]
#[command(name = "chaos", max_term_width = 120)]
struct Args {
    /// Distinct events of each seed
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    events: u32,
    /// How many seeds are drawn
    #[arg(
        long, default_value_t = 3, value_name = "K", conflicts_with = "seed",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    seeds: u32,
    /// Runs this seed again; can be given several times
    #[arg(long, value_name = "S")]
    seed: Vec<u64>,
    /// How many seeds run at once
    #[arg(long, default_value_t = 1, value_name = "N")]
    jobs: usize,
    /// Redis also fails over to a replica that lacks the end of what was written
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    failover: bool,
    /// Loaders that do not fence: rows must be missing or doubled
    #[arg(long)]
    unfenced: bool,
}

fn main() -> ExitCode {
    service::install_tls_provider();
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("chaos: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run(args))
}

async fn run(args: Args) -> ExitCode {
    let Args { events, failover, unfenced, .. } = args;
    // Short numbers are easier to type again.
    let draw = || u64::from(rand::random::<u32>());
    let seeds = if args.seed.is_empty() { (0..args.seeds).map(|_| draw()).collect() } else { args.seed };
    println!("seeds {}", seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
    let chaos = Chaos { events: events as usize, failover, unfenced };
    let outcomes = chaos::seeds(chaos, &seeds, args.jobs.max(1), |outcome| match outcome {
        Ok(outcome) => println!("{outcome}\n"),
        Err(error) => println!("{error:#}\n"),
    });
    let outcomes = outcomes.await;
    let ended: Vec<_> = outcomes.iter().flatten().collect();
    let missing: u64 = ended.iter().map(|outcome| outcome.report.missing).sum();
    let doubled: u64 = ended.iter().map(|outcome| outcome.report.doubled).sum();
    let all = ended.len() == seeds.len();
    let of =
        if all { String::new() } else { format!(" in {} of {} seeds; the others failed", ended.len(), seeds.len()) };
    println!("missing {missing}, doubled {doubled}{of}");
    if all && ended.iter().all(|outcome| outcome.faults().is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
