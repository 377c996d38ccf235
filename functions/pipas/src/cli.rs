use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{audit, check, dead_letters, demo, drill, feed, probe, query, replay, schema, send, status, up};

/// JSON events over HTTPS, exactly once, into BigQuery and an Avro archive.
#[derive(Debug, Parser)]
#[command(name = "pipas", version = env!("CARGO_PKG_VERSION"), max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Where `up` keeps its data, and where the other commands find it
    #[arg(long, global = true, env = "PIPAS_DATA_DIR", default_value = ".pipas", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Print JSON for programs, instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine, in one process, until Ctrl-C
    Up(up::UpArgs),
    /// Send a file of events, one JSON object a line, through the receiver
    Send(send::SendArgs),
    /// Ask the warehouse, in BigQuery's SQL
    Query(query::QueryArgs),
    /// What became of the events of each stream
    Status(status::StatusArgs),
    /// Send generated conversations, some of them twice, and print the closed account
    Demo(demo::DemoArgs),
    Feed(feed::FeedArgs),
    Audit(audit::AuditArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Check(check::CheckArgs),
    /// Propose schemas, compare them with live tables, print the catalog's own
    Schema(schema::SchemaArgs),
    Probe(probe::ProbeArgs),
    Replay(replay::ReplayArgs),
    /// Try the way back on data of its own
    Drill(drill::DrillArgs),
}

/// Runs the command; errors go to standard error with their causes.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pipas: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    service::install_tls_provider();
    let Cli { global, command } = cli;
    let result = runtime.block_on(async {
        match command {
            Command::Up(args) => up::up(&global, args).await.map(|()| ExitCode::SUCCESS),
            Command::Send(args) => send::send(&global, args).await,
            Command::Query(args) => query::query(&global, args).await.map(|()| ExitCode::SUCCESS),
            Command::Status(args) => status::status(&global, args).await.map(|()| ExitCode::SUCCESS),
            Command::Demo(args) => demo::demo(&global, args).await,
            Command::Feed(args) => feed::feed(&global, args).await,
            Command::Audit(args) => audit::command(&global, args).await,
            Command::DeadLetters(args) => dead_letters::command(&global, args).await,
            Command::Check(args) => check::check(&global, &args),
            Command::Schema(args) => schema::schema(&global, args).await,
            Command::Probe(args) => Ok(probe::probe(&global, args).await),
            Command::Replay(args) => replay::command(&global, args).await,
            Command::Drill(args) => drill::drill(&global, args).await,
        }
    });
    runtime.shutdown_background();
    result.unwrap_or_else(|error| {
        eprintln!("pipas: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
