//! `pipas schema`: schemas from samples, schemas against live tables, and the schema of the catalog itself.

mod diff;
mod infer;
mod kind;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::Global;

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    Infer(infer::InferArgs),
    Diff(diff::DiffArgs),
    /// Print the JSON Schema of pipas.yaml, for editors
    Catalog,
}

pub(crate) async fn schema(global: &Global, args: SchemaArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        SchemaCommand::Infer(args) => infer::infer(&args),
        SchemaCommand::Diff(args) => diff::diff(global, args).await,
        SchemaCommand::Catalog => {
            println!("{}", serde_json::to_string_pretty(&catalog::reference::json_schema())?);
            Ok(ExitCode::SUCCESS)
        }
    }
}
