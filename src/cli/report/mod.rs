//! `assent report`: what counsel, regulators and management ask for, from the topics. Reads, and writes nothing to
//! Kafka.

mod audit;
mod kpi;
mod opt_out_test;
mod output;
mod period;
mod privacy_metrics;
mod readers;
mod records;
mod retention_policy;
mod risk_assessment;
mod topics;

use super::Globals;
use crate::failure::Result;

/// Make reports for counsel, regulators and management from what the topics hold
///
/// A report is printed as Markdown, or as numbers with --json; --html writes it as one page that
/// needs nothing else. All of them only read, join no group, and say from when to when their data
/// reach. What only a person can say is a marked blank: `[counsel: ...]`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent report retention-policy --html policy.html")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Kpi(kpi::Args),
    PrivacyMetrics(privacy_metrics::Args),
    RetentionPolicy(retention_policy::Args),
    RiskAssessment(risk_assessment::Args),
    OptOutTest(opt_out_test::Args),
    Readers(readers::Args),
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    match &args.command {
        Command::Kpi(args) => kpi::execute(args, globals),
        Command::PrivacyMetrics(args) => privacy_metrics::execute(args, globals),
        Command::RetentionPolicy(args) => retention_policy::execute(args, globals),
        Command::RiskAssessment(args) => risk_assessment::execute(args, globals),
        Command::OptOutTest(args) => opt_out_test::execute(args, globals),
        Command::Readers(args) => readers::execute(args, globals),
    }
}
