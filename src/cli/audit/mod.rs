//! `assent audit`: the audit as evidence, and its answers. `publish` and `verify` need no keyset and no
//! rulebook.

mod affected;
mod explain;
mod export;
mod publish;
mod query;
pub(super) mod question;
mod verify;

use super::Globals;
use crate::failure::Result;

/// Publish the audit as a log that outsiders can check, verify it, and ask it
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent audit publish\n  assent audit verify\n  \
    assent audit query --subject family-000042")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Publish(publish::Args),
    Verify(verify::Args),
    Query(query::Args),
    Explain(explain::Args),
    Affected(affected::Args),
    Export(export::Args),
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    match &args.command {
        Command::Publish(args) => publish::execute(args, globals),
        Command::Verify(args) => verify::execute(args, globals),
        Command::Query(args) => query::execute(args, globals),
        Command::Explain(args) => explain::execute(args, globals),
        Command::Affected(args) => affected::execute(args, globals),
        Command::Export(args) => export::execute(args, globals),
    }
}
