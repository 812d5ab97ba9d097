//! `assent rules`: is this rulebook one that Assent would run, what does it say, what would it change,
//! and what would the gate decide by it?

mod check;
mod diff;
mod doc;
mod shadow;
mod trial;

use std::path::{Path, PathBuf};

use super::Globals;
use crate::config::read_rulebook;
use crate::failure::{Exit, Result};
use assent_contract::rulebook::Rulebook;

/// Check, explain, compare and try rulebooks, and show what a rollout would do
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent rules check\n  assent rules doc --out rulebook.html\n  assent \
                  rules diff rules/children-retail.yaml next.yaml"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Check(check::Args),
    Doc(doc::Args),
    Diff(diff::Args),
    Shadow(shadow::Args),
    Try(trial::Args),
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    match &args.command {
        Command::Check(args) => check::run(args, globals),
        Command::Doc(args) => doc::run(args, globals),
        Command::Diff(args) => diff::run(args, globals),
        Command::Shadow(args) => shadow::run(args, globals),
        Command::Try(args) => trial::run(args, globals),
    }
}

/// The file that was named, else the configured one.
fn chosen(file: Option<&PathBuf>, globals: &Globals) -> Result<PathBuf> {
    match file {
        Some(file) => Ok(file.clone()),
        None => Ok(globals.load_config()?.rulebook),
    }
}

/// A faulty one is bad input data here (65), not bad configuration.
fn read(path: &Path) -> Result<Rulebook> {
    match read_rulebook(path) {
        Ok(file) => Ok(file.rulebook),
        Err(refusal) => Err(refusal.into_failure(path, Exit::Data)),
    }
}
