//! `assent audit`: the audit as evidence. `publish` and `verify` need no keyset and no rulebook.

mod publish;
mod verify;

use super::Globals;
use crate::failure::Result;

/// Publish the audit as a log that outsiders can check, and verify it
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent audit publish\n  assent audit verify")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Publish(publish::Args),
    Verify(verify::Args),
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    match &args.command {
        Command::Publish(args) => publish::execute(args, globals),
        Command::Verify(args) => verify::execute(args, globals),
    }
}
