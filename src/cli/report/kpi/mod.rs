//! `assent report kpi`: the month's figures, from consent changelog, audit, clickstream and the record of questions.

mod complaints;
mod lift;
mod month;

use std::path::PathBuf;

use super::super::Globals;
use super::super::stderr;
use super::output::Output;
use super::period;
use crate::clock::{Clock, SystemClock};
use crate::config::load_rulebook;
use crate::failure::Result;
use crate::kafka::scan::Ends;
use month::Reading;

/// Report the month's figures: consent capture, opt-outs, lift, questions to the audit, complaints
///
/// By purpose: how many were asked and agreed at the month's end, by age band; how many opted out in
/// the month, and how long that took from their act to the commit; and for a purpose that the
/// rulebook measures, what assignments brought about. Numbers that the topics no longer hold are said
/// to be missing. Keeps the subjects of one partition in memory at a
/// time.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent report kpi --month 2026-11 --html november.html\n  \
    assent report kpi --month 2026-11 --complaints complaints.csv --json")]
pub struct Args {
    /// Month of the figures (UTC)
    #[arg(long, value_name = "YYYY-MM")]
    month: String,
    /// Complaints as CSV: the first line is date,kind,days_to_close; a date is YYYY-MM-DD, and the days
    /// are empty while the complaint is open
    #[arg(long, value_name = "FILE.csv")]
    complaints: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let month = period::month(&args.month)?;
    let complaints = args.complaints.as_deref();
    let complaints = complaints.map(|path| complaints::read(path, month)).transpose()?;
    let config = globals.load_config()?;
    let rulebook = load_rulebook(&config.rulebook)?.rulebook;
    let ends = Ends::new(&config)?;
    let now = SystemClock.now();
    let mut reading = Reading::of(&config, &ends, &rulebook, month)?;
    reading.read()?;
    let report = reading.finish(args.month.clone(), now, complaints);
    if globals.json {
        for note in &report.notes {
            stderr::line(note);
        }
    }
    args.output.print(&report, globals)
}
