//! `assent check`: would `assent run` work here? Changes nothing.

mod acls;
mod preflight;
mod schemas;

use serde_json::json;

use self::preflight::Finding;
use super::{Globals, stdout};
use crate::clock::SystemClock;
use crate::config::{load_rulebook, read_keyset};
use crate::failure::{Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::topic_plan::topic_plans;
use crate::registry;

/// Look at configuration, keys, rules and cluster before `run`; changes nothing
///
/// Checks that the brokers can be reached, that the topics are there with equal partition counts
/// and the right settings, that a sample of records lies where its keys say, and that the schema
/// registry, where one is configured, answers and agrees. Doesn't check ACLs: --print-acls prints
/// those that are needed.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent check\n  assent check --print-acls User:assent")]
pub struct Args {
    /// Print the kafka-acls commands that this configuration needs, and do nothing else
    #[arg(long, value_name = "PRINCIPAL", num_args = 0..=1, default_missing_value = "User:assent")]
    print_acls: Option<String>,
    /// With --print-acls: those that `assent verify` needs, to read only
    #[arg(long, requires = "print_acls")]
    verifier: bool,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let file = load_rulebook(&config.rulebook)?;
    if let Some(principal) = &args.print_acls {
        let commands = if args.verifier {
            acls::of_verifier(&config, &file.rulebook, principal)
        } else {
            acls::commands(&config, &file.rulebook, principal)
        };
        return print_acls(&commands, globals.json);
    }
    let keyset = read_keyset(&config.keyset)?;
    let mut findings = vec![
        Finding::ok("rules", &format!("{}: no fault", config.rulebook.display())),
        Finding::ok("keys", &format!("key version {} is active", keyset.active())),
    ];
    let plans = topic_plans(&config, &file.rulebook);
    let purposes: Vec<String> = file.rulebook.purposes.iter().map(|p| p.id.clone()).collect();
    let client = registry::client(&config)?;
    let admin = Admin::new(&config)?;
    findings.extend(preflight::cluster(&config, &admin, &plans, &SystemClock)?);
    findings.extend(schemas::findings(&config, client.as_ref(), &purposes)?);
    report(&findings, globals.json)
}

fn print_acls(commands: &[String], is_json: bool) -> Result<()> {
    commands.iter().try_for_each(|command| {
        if is_json { stdout::json(&json!({ "command": command })) } else { stdout::line(command) }
    })
}

fn report(findings: &[Finding], is_json: bool) -> Result<()> {
    let problems = findings.iter().filter(|finding| !finding.is_ok()).count();
    if is_json {
        stdout::json(&json!({ "ok": problems == 0, "findings": findings }))?;
    } else {
        for finding in findings {
            stdout::line(&finding.to_string())?;
        }
    }
    match problems {
        0 => Ok(()),
        1 => Err(Failure::failed("check found 1 problem")),
        _ => Err(Failure::failed(format!("check found {problems} problems"))),
    }
}
