//! `assent subject`: what is held about one subject.

mod markdown;
mod report;

pub use report::unlike;

use super::Globals;
use crate::failure::Result;

/// Report what is held about one subject
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent subject report family-000042 --reason REQ-1001")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Report(report::Args),
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    match &args.command {
        Command::Report(args) => report::execute(args, globals),
    }
}
