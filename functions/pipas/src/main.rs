//! `pipas`: the whole of Pipas on one machine, and the commands that a user runs beside it.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    pipas::run(pipas::Cli::parse())
}
