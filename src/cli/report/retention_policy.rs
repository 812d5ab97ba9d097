//! `assent report retention-policy`: how long everything is kept, from the topics' own settings and the rulebook.

use super::super::Globals;
use super::output::Output;
use super::topics::Gathered;
use crate::failure::{Failure, Result};
use assent_report::retention::RetentionPolicy;

/// Report how long everything is kept and how it is deleted (16 CFR 312.10)
///
/// Each number has its source beside it: a setting of a topic as the brokers have it, a key of the
/// rulebook or of the configuration, or a constant. Needs to describe the topics and their
/// settings. Exits with code 1 if a topic keeps something otherwise than the rulebook or Assent
/// says, or if its settings can't be read.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent report retention-policy > policy.md\n  \
    assent report retention-policy --html policy.html")]
pub struct Args {
    #[command(flatten)]
    output: Output,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let gathered = Gathered::now(&globals.load_config()?)?;
    let report = RetentionPolicy::of(&gathered.facts());
    args.output.print(&report, globals)?;
    match report.disagreements.len() {
        0 => Ok(()),
        1 => Err(Failure::failed("1 fact disagrees; the report says which")),
        count => Err(Failure::failed(format!("{count} facts disagree; the report says which"))),
    }
}
