//! `assent check`: would `assent run` work here? Changes nothing.

mod acls;

use std::sync::Arc;

use serde_json::json;

use super::pasted::as_pasted;
use super::{Globals, run, stderr, stdout};
use crate::config::{Config, load_rulebook};
use crate::domain::rules::Rulebook;
use crate::failure::{Exit, Failure, Result};
use crate::kafka::admin::Admin;
use crate::pipeline::preflight::{Finding, Preflight, counts};
use crate::pipeline::setup_of;

/// Look at configuration, keys, rules and cluster before `run`; changes nothing
///
/// Checks that the brokers can be reached, that the topics are there with equal partition counts
/// and the right settings, that what was decided before was decided under this configuration, that a
/// sample of records lies where its keys say, that the schema registry, where one is configured,
/// answers and agrees, and that no principal may read what must stay apart, as far as this user may
/// see that. What is `refused`, `run` refuses, too; a `problem` it tells, and goes on. Doesn't check
/// this user's own ACLs: --print-acls prints those that are needed.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent check\n  assent check --print-acls User:assent\n  \
    assent check --print-acls User:mail --reader personalized-offers")]
pub struct Args {
    /// Print the kafka-acls commands that this configuration needs, and do nothing else
    #[arg(long, value_name = "PRINCIPAL", num_args = 0..=1, default_missing_value = ASSENT)]
    print_acls: Option<String>,
    /// With --print-acls: those that `assent verify` needs, to read only
    #[arg(long, requires = "print_acls")]
    verifier: bool,
    /// With --print-acls: those that the readers of one purpose need, of `contextual` segments, or of
    /// the `audit`; each a principal of its own
    #[arg(long, value_name = "PURPOSE", requires = "print_acls", conflicts_with = "verifier")]
    reader: Option<String>,
}

/// Who is not told otherwise runs Assent.
const ASSENT: &str = "User:assent";

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let file = load_rulebook(&config.rulebook)?;
    if let Some(principal) = &args.print_acls {
        let commands = match &args.reader {
            Some(purpose) => readers_acls(&config, &file.rulebook, principal, purpose)?,
            None if args.verifier => acls::of_verifier(&config, &file.rulebook, principal),
            None => {
                stderr::line(acls::APART);
                acls::commands(&config, &file.rulebook, principal)
            }
        };
        return print_acls(&commands, globals.json);
    }
    report(look(&Arc::new(config))?, globals)
}

fn readers_acls(
    config: &Config,
    rulebook: &Rulebook,
    principal: &str,
    purpose: &str,
) -> Result<Vec<String>> {
    let usage = |message: String| Err(Failure::new(Exit::Usage, message));
    if principal == ASSENT {
        return usage(format!(
            "--reader {purpose}: readers need a principal of their own; give it as --print-acls User:NAME"
        ));
    }
    match acls::of_reader(config, rulebook, principal, purpose) {
        Some(command) => Ok(vec![command]),
        None => usage(format!(
            "--reader {purpose}: is not `contextual`, `audit` or a purpose of the rulebook: {}",
            rulebook.purposes.iter().map(|it| it.id.as_str()).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Everything that `run` looks at, and more.
fn look(config: &Arc<Config>) -> Result<Vec<Finding>> {
    let start = run::prepare(config)?;
    let mut findings = vec![
        Finding::ok("rules", format!("{}: no fault", config.rulebook.display())),
        Finding::ok("keys", format!("key version {} is active", start.keys.active())),
    ];
    let preflight = Preflight {
        config,
        rulebook: &start.rulebook,
        registry: start.registry.as_ref(),
        clock: &*start.clock,
    };
    let admin = Admin::new(config)?;
    let cluster = admin.cluster_with(&preflight.plans(), preflight.clock)?;
    findings.extend(preflight.topics(&admin, &cluster)?);
    if let Some(counts) = counts(config, &start.rulebook, &cluster) {
        findings.extend(preflight.past(&cluster, &setup_of(&start, &counts))?);
    }
    for more in preflight.surroundings(&admin, &cluster) {
        findings.extend(more?);
    }
    Ok(findings)
}

fn print_acls(commands: &[String], is_json: bool) -> Result<()> {
    commands.iter().try_for_each(|command| {
        if is_json { stdout::json(&json!({ "command": command })) } else { stdout::line(command) }
    })
}

fn report(mut findings: Vec<Finding>, globals: &Globals) -> Result<()> {
    for remedy in findings.iter_mut().filter_map(|finding| finding.remedy.as_mut()) {
        *remedy = as_pasted(remedy, globals.config.as_deref());
    }
    let problems = findings.iter().filter(|finding| !finding.ok).count();
    if globals.json {
        stdout::json(&json!({ "ok": problems == 0, "findings": findings }))?;
    } else {
        for finding in &findings {
            stdout::line(&finding.to_string())?;
        }
    }
    match problems {
        0 => Ok(()),
        1 => Err(Failure::failed("check found 1 problem")),
        _ => Err(Failure::failed(format!("check found {problems} problems"))),
    }
}
