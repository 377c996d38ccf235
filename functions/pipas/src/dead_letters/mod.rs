//! `pipas dead-letters`: what could not be loaded, and publishing it again.

mod filter;
mod letter;
mod list;
mod marks;
mod patch;
mod redrive;
mod show;
mod source;
mod summary;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::Global;
use source::Source;

/// Look at the events that could not be loaded, and publish them again
///
/// They are the rows of pipas_ops.dead_letters; docs/dead-letters.md tells what each reason means. An open dead letter is one
/// that was not published again.
#[derive(Debug, Args)]
pub(crate) struct DeadLettersArgs {
    /// A Google Cloud project, with your default credentials; without it: the running local instance
    #[arg(long, global = true, value_name = "PROJECT")]
    project: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The newest dead letters, one a line
    List(list::ListArgs),
    /// One dead letter whole: its place, its event, and what was done with it
    Show(show::ShowArgs),
    /// How many there are of each stream, reason and place, and when they were first and last seen
    Summary(summary::SummaryArgs),
    Redrive(redrive::RedriveArgs),
}

pub(crate) async fn command(global: &Global, args: DeadLettersArgs) -> anyhow::Result<ExitCode> {
    let source = Source::find(global, args.project)?;
    match args.command {
        Command::List(args) => list::list(global, &source, &args).await.map(|()| ExitCode::SUCCESS),
        Command::Show(args) => show::show(global, &source, &args).await.map(|()| ExitCode::SUCCESS),
        Command::Summary(args) => summary::summary(global, &source, &args).await.map(|()| ExitCode::SUCCESS),
        Command::Redrive(args) => redrive::redrive(global, &source, &args).await,
    }
}
