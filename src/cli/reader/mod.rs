//! `assent reader`: does a program that reads segments keep the rules of docs/readers.md?

mod answer;
mod check;
mod process;
mod records;
mod restarts;
mod rules;
mod trial;

use super::Globals;
use crate::failure::Result;

/// Check a program that reads segments
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent reader check --topic reader-check -- python3 \
                  examples/reader/segments.py check-protocol")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Check(check::Args),
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    match &args.command {
        Command::Check(args) => check::run(args, globals),
    }
}
