//! `assent state accept-loss`: what a stop for something lost leaves to a person to decide, said aloud
//! before it is done.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Globals, run, stdout};
use crate::config::Config;
use crate::failure::Result;
use crate::pipeline::accept::{Finding, Recovery};
use crate::pipeline::loss_words::{describe, gives_up};

/// Go on after a loss that Assent does not skip by itself
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent state accept-loss")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    AcceptLoss(AcceptLossArgs),
}

/// Say what was lost and what going on gives up; with --yes, go on
///
/// After a stop of `assent run`: offsets removed before they were decided, an input topic made anew, a
/// state topic lost or damaged, group offsets that something else changed. Refused while the group has
/// live members. What may rest on lost consent is withheld and removed first; the loss stands in the
/// audit, and the next `assent run` goes on. A changed partition count or partitioner is no loss but a
/// migration, and is refused.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent state accept-loss\n  assent state accept-loss --partitions 0,3 --yes"
)]
struct AcceptLossArgs {
    /// Only these partitions; default: every one that lost something
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<i32>,
    /// Go on; without it nothing is written
    #[arg(long)]
    yes: bool,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let Command::AcceptLoss(args) = &args.command;
    let config = Arc::new(globals.load_config()?);
    let asked: BTreeSet<i32> = args.partitions.iter().copied().collect();
    let asked = (!asked.is_empty()).then_some(&asked);
    let recovery = Recovery::look(run::prepare(&config)?, asked)?;
    let findings = recovery.findings();
    let unnamed = recovery.unnamed();
    let accepts = args.yes && !findings.is_empty();
    if !globals.json {
        tell(&config, &findings, unnamed)?;
    }
    if accepts {
        recovery.accept(|partition| tracing::info!(partition, "the loss is on record"))?;
    } else {
        recovery.leave();
    }
    if globals.json {
        let partitions: Vec<Value> =
            findings.iter().map(|finding| as_json(&config, finding)).collect();
        return stdout::json(&json!({
            "accepted": accepts, "unnamed_live_keys": unnamed, "partitions": partitions,
        }));
    }
    stdout::line(match (findings.is_empty(), accepts) {
        (true, _) => "nothing was lost; `assent run` goes on by itself",
        (_, true) => "accepted and on record; the next `assent run` goes on",
        (_, false) => "nothing was written; with --yes this is accepted",
    })
}

fn tell(config: &Config, findings: &[Finding], unnamed: usize) -> Result<()> {
    for finding in findings {
        for line in describe(config, finding.partition, &finding.losses) {
            stdout::line(&format!("lost: {line}"))?;
        }
        for line in gives_up(&finding.losses, finding.toll) {
            stdout::line(&format!("partition {} gives up {line}", finding.partition))?;
        }
    }
    if unnamed > 0 {
        stdout::line(&format!(
            "{unnamed} of these live keys are of nobody whom the changelog still names: they are \
             removed too, and the audit can't say whose they were"
        ))?;
    }
    Ok(())
}

fn as_json(config: &Config, finding: &Finding) -> Value {
    let Finding { partition, losses, toll } = finding;
    json!({
        "partition": partition,
        "lost": describe(config, *partition, losses),
        "gives_up": gives_up(losses, *toll),
        "subjects": toll.subjects,
        "live_keys": toll.live_keys,
        "next_click": losses.resume.next_click,
        "next_consent": losses.resume.next_consent,
    })
}
