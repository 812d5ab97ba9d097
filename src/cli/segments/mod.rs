//! `assent segments`: who is where, read from the segment topics as marketing reads them.
//!
//! Drops what has expired, as every reader must (INV-13).

mod get;
mod list;
mod watch;

use super::{Globals, declared_purposes};
use crate::domain::segment::SegmentAssignment;
use crate::failure::{Exit, Failure, Result};

/// Read the segment topics: live assignments, changes as they come, one pseudonym's
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent segments list --json")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    List(list::Args),
    Watch(watch::Args),
    Get(get::Args),
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let (config, is_json) = (&globals.load_config()?, globals.json);
    let purposes = &declared_purposes(config)?;
    match &args.command {
        Command::List(args) => list::run(args, config, purposes, is_json),
        Command::Watch(args) => watch::run(args, config, purposes, is_json),
        Command::Get(args) => get::run(args, config, purposes, is_json),
    }
}

/// The purposes to read: the named one, or all.
fn chosen(named: Option<&String>, declared: &[String]) -> Result<Vec<String>> {
    match named {
        None => Ok(declared.to_vec()),
        Some(purpose) if declared.contains(purpose) => Ok(vec![purpose.clone()]),
        Some(purpose) => Err(Failure::new(
            Exit::Usage,
            format!(
                "--purpose {purpose}: the rulebook declares no such purpose, only {}",
                declared.join(", ")
            ),
        )),
    }
}

/// One line for a person.
fn render(assignment: &SegmentAssignment) -> String {
    let SegmentAssignment { pseudonym, purpose, segments, basis, .. } = assignment;
    let until = super::when::text(assignment.expires_at);
    format!("{pseudonym}  {purpose}  {}  {}  until {until}", segments.join(","), basis.symbol())
}
