//! `assent state accept-loss`: what a stop for something lost leaves to a person to decide, said aloud
//! before it is done.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Globals, run, stdout};
use crate::config::Config;
use crate::failure::Result;
use crate::pipeline::loss_words::describe;
use crate::recovery::{Finding, Recovery, gives_up};

/// Accept a loss of records or state that `assent run` refuses to skip
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

/// Show what was lost and what accepting it means; with --yes, accept it
///
/// Use this after `assent run` stopped because offsets were removed before they were decided, consent
/// was not read for so long that erasures may be gone, an input topic was recreated, a state topic was
/// lost or damaged, or another program changed the group's offsets. Everything that may rest on lost consent is withheld and removed first. The
/// audit records the loss, and the next `assent run` continues. Refused while the group has live
/// members. Also refused for a changed partition count or partitioner: that is not a loss and needs
/// a migration.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent state accept-loss\n  assent state accept-loss --partitions 0,3 --yes"
)]
struct AcceptLossArgs {
    /// Accept the loss of these partitions only [default: every partition that lost something]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<i32>,
    /// Accept the loss; without this option nothing is written
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
    let unattributed = recovery.unattributed();
    let accepts = args.yes && !findings.is_empty();
    if !globals.json {
        tell(&config, &findings, unattributed)?;
    }
    if accepts {
        recovery.accept(|partition| tracing::info!(partition, "the audit records the loss"))?;
    } else {
        recovery.leave();
    }
    if globals.json {
        let partitions: Vec<Value> =
            findings.iter().map(|finding| as_json(&config, finding)).collect();
        return stdout::json(&json!({
            "accepted": accepts, "unnamed_live_keys": unattributed, "partitions": partitions,
        }));
    }
    stdout::line(match (findings.is_empty(), accepts) {
        (true, _) => "nothing was lost; start `assent run`",
        (_, true) => {
            "the loss is accepted and recorded in the audit; start `assent run` to continue"
        }
        (_, false) => "nothing was written; run the command again with --yes to accept this",
    })
}

fn tell(config: &Config, findings: &[Finding], unattributed: usize) -> Result<()> {
    for finding in findings {
        for line in describe(config, finding.partition, &finding.losses) {
            stdout::line(&format!("lost: {line}"))?;
        }
        for line in gives_up(&finding.losses, finding.withheld) {
            stdout::line(&format!(
                "partition {}: accepting this means: {line}",
                finding.partition
            ))?;
        }
    }
    if unattributed > 0 {
        stdout::line(&format!(
            "{unattributed} of these live keys belong to subjects that the changelog no longer names; \
             they are removed too, and the audit can't name their subjects"
        ))?;
    }
    Ok(())
}

fn as_json(config: &Config, finding: &Finding) -> Value {
    let Finding { partition, losses, withheld } = finding;
    json!({
        "partition": partition,
        "lost": describe(config, *partition, losses),
        "gives_up": gives_up(losses, *withheld),
        "subjects": withheld.subjects,
        "live_keys": withheld.live_keys,
        "next_click": losses.resume.next_click,
        "next_consent": losses.resume.next_consent,
    })
}
