//! `assent report risk-assessment`: the facts of a risk assessment, and blanks where a person has to judge.

use super::super::Globals;
use super::output::Output;
use super::topics::Gathered;
use crate::failure::Result;
use assent_report::risk_assessment::RiskAssessment;

/// Fill in the facts of a risk assessment, and leave its judgments blank (11 CCR 7152)
///
/// Purposes, data, flows, readers, retention, age bands and safeguards come from the rulebook and
/// from the topics' settings. Whatever has to be judged is a marked blank.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent report risk-assessment > assessment.md")]
pub struct Args {
    #[command(flatten)]
    output: Output,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let gathered = Gathered::now(&globals.load_config()?)?;
    args.output.print(&RiskAssessment::of(&gathered.facts()), globals)
}
