//! The command line: one file a command, one place that prints a failure and chooses the exit code.
//!
//! A command is a `clap::Args` and a function `execute(args, globals)`.

mod audit;
mod canary;
mod check;
mod completions;
mod consent;
mod csv;
mod dead_letters;
mod demo;
mod generate;
mod heartbeat;
#[cfg(test)]
mod help;
mod identities;
mod intake;
mod interruption;
mod keys;
mod man;
#[cfg(test)]
mod mistakes;
mod pasted;
mod progress;
mod reader;
mod ready_file;
mod replay;
mod report;
mod rules;
mod run;
mod segments;
mod serve;
mod sim;
mod state;
mod stderr;
pub mod stdout;
mod subject;
mod supervisor;
mod topics;
mod verify;
mod wait_ready;
mod when;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::config::{self, Config};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::handle::await_closed;
use crate::telemetry::logging::{self, LogFormat};

/// Join clicks with consent on Kafka and maintain segments that contain only people who consented
#[derive(Parser)]
#[command(name = "assent", version = VERSION_AND_REVISION, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// What `assent --version` says behind the name.
const VERSION_AND_REVISION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("ASSENT_REVISION"), ")");

const EXIT_CODES: &str =
    "Every configuration key can also be set as ASSENT__SECTION__KEY, for example
ASSENT__KAFKA__BOOTSTRAP_SERVERS. RUST_LOG sets the level of the logs.

Exit codes: 0 done, 1 failed or violations found, 64 bad usage, 65 bad input data,
69 broker, registry or instance not reachable, 78 bad configuration.

Example:
  assent check --config /etc/assent/assent.yaml";

#[derive(clap::Args)]
struct Options {
    /// Configuration file (YAML) [default: assent.yaml if it exists, else the default of every key]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print results as JSON: one object, or one object per line for lists
    #[arg(long, global = true)]
    json: bool,
    /// Format of the logs on stderr
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Args),
    Run(run::Args),
    Serve(serve::Args),
    Canary(canary::Args),
    WaitReady(wait_ready::Args),
    Check(check::Args),
    Topics(topics::Args),
    Rules(rules::Args),
    Keys(keys::Args),
    Generate(generate::Args),
    Replay(replay::Args),
    Consent(consent::Args),
    Identities(identities::Args),
    Intake(intake::Args),
    Heartbeat(heartbeat::Args),
    Segments(segments::Args),
    Reader(reader::Args),
    DeadLetters(dead_letters::Args),
    Sim(sim::Args),
    State(state::Args),
    Verify(verify::Args),
    Audit(audit::Args),
    Subject(subject::Args),
    Report(report::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Command {
    fn execute(&self, globals: &Globals) -> Result<()> {
        match self {
            Self::Demo(args) => demo::execute(args, globals),
            Self::Run(args) => run::execute(args, globals),
            Self::Serve(args) => serve::execute(args, globals),
            Self::Canary(args) => canary::execute(args, globals),
            Self::WaitReady(args) => wait_ready::execute(args, globals),
            Self::Check(args) => check::execute(args, globals),
            Self::Topics(args) => topics::execute(args, globals),
            Self::Rules(args) => rules::execute(args, globals),
            Self::Keys(args) => keys::execute(args, globals),
            Self::Generate(args) => generate::execute(args, globals),
            Self::Replay(args) => replay::execute(args, globals),
            Self::Consent(args) => consent::execute(args, globals),
            Self::Identities(args) => identities::execute(args, globals),
            Self::Intake(args) => intake::execute(args, globals),
            Self::Heartbeat(args) => heartbeat::execute(args, globals),
            Self::Segments(args) => segments::execute(args, globals),
            Self::Reader(args) => reader::execute(args, globals),
            Self::DeadLetters(args) => dead_letters::execute(args, globals),
            Self::Sim(args) => sim::execute(args, globals),
            Self::State(args) => state::execute(args, globals),
            Self::Verify(args) => verify::execute(args, globals),
            Self::Audit(args) => audit::execute(args, globals),
            Self::Subject(args) => subject::execute(args, globals),
            Self::Report(args) => report::execute(args, globals),
            Self::Completions(args) => completions::execute(args),
            Self::Man(args) => man::execute(args),
        }
    }
}

impl Command {
    /// What is logged where RUST_LOG says nothing: the demo's screen is for its own lines.
    fn level(&self) -> Option<&'static str> {
        matches!(self, Self::Demo(_)).then_some("warn")
    }
}

/// What every command is given besides its own arguments.
pub struct Globals {
    pub config: Option<PathBuf>,
    pub json: bool,
    pub log_format: LogFormat,
    /// The environment.
    pub variables: BTreeMap<String, String>,
}

impl Globals {
    /// Without color: https://no-color.org, and terminals that know none.
    pub fn is_plain(&self) -> bool {
        let variable = |name| self.variables.get(name).map_or("", String::as_str);
        !variable("NO_COLOR").is_empty() || variable("TERM") == "dumb"
    }

    /// Reads and checks the configuration (78).
    pub fn load_config(&self) -> Result<Config> {
        config::load(self.config.as_deref(), &self.variables)
    }
}

/// The purposes that the configured rulebook declares, all that concern people; sorted.
fn declared_purposes(config: &Config) -> Result<Vec<String>> {
    let rulebook = config::load_rulebook(&config.rulebook)?.rulebook;
    Ok(rulebook.declared().map(|purpose| purpose.id.clone()).collect())
}

/// Clients that are let go of close by themselves, and are waited for no longer than this.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// Runs the command line, and prints what failed as one message.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    variables: BTreeMap<String, String>,
) -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => return usage(&error),
    };
    let Options { config, json, log_format } = line.options;
    let globals = Globals { config, json, log_format, variables };
    let level = globals.variables.get("RUST_LOG").map(String::as_str).or(line.command.level());
    let result = logging::init(log_format, level, globals.is_plain())
        .and_then(|()| line.command.execute(&globals));
    await_closed(CLOSED_WITHIN);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { exit, message }) => {
            let message = pasted::as_pasted(&message, globals.config.as_deref());
            print(log_format, exit, &message);
            ExitCode::from(exit as u8)
        }
    }
}

/// Once, in the format of the logs: a collector reads a stop as it reads any line.
fn print(log_format: LogFormat, exit: Exit, message: &str) {
    match log_format {
        LogFormat::Json if tracing::enabled!(tracing::Level::ERROR) => {
            tracing::error!(exit = exit as u8, "{message}");
        }
        LogFormat::Json | LogFormat::Text => stderr::line(&format!("assent: {message}")),
    }
}

/// clap prints; help and version that were asked for are no failure.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(Exit::Usage as u8),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
