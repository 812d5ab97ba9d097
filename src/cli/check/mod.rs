//! `assent check`: would `assent run` work here? Changes nothing.

mod acls;

use std::sync::Arc;

use serde_json::json;

use super::pasted::as_pasted;
use super::{Globals, run, stderr, stdout};
use crate::config::{Config, load_rulebook};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::probe::Probe;
use crate::pipeline::preflight::{Finding, Preflight, counts};
use crate::pipeline::shared::setup_of;
use assent_contract::rulebook::Rulebook;

/// Check configuration, keys, rules and cluster before `run`; changes nothing
///
/// Checks that the brokers answer; that this user may do what `run` does; that the topics exist with equal partition counts and the right
/// settings; that earlier decisions were made under this configuration; that a sample of keys lies
/// on the right partitions; that the schema registry, if configured, answers and accepts the
/// schemas; and that no principal can read topics that must stay apart, as far as this user may
/// see.
///
/// A `refused` finding keeps `run` from starting. A `problem` is only logged by `run`. Nobody can
/// ask the brokers about transactional ids; --print-acls prints all grants that `run` needs.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent check\n  assent check --print-acls User:assent\n  \
    assent check --print-acls User:mail --reader personalized-offers")]
#[allow(clippy::struct_excessive_bools)] // each is an option of its own
pub struct Args {
    /// Only print the kafka-acls commands that this configuration needs
    #[arg(long, value_name = "PRINCIPAL", num_args = 0..=1, default_missing_value = ASSENT)]
    print_acls: Option<String>,
    /// With --print-acls: print the read-only grants that `assent verify` and `assent
    /// report readers` need
    #[arg(long, requires = "print_acls")]
    verifier: bool,
    /// With --print-acls: print the grants for readers of this purpose, of `contextual` segments, of
    /// the `audit`, of `consent` (`assent consent show`) or of `dead-letters`; use a separate
    /// principal for each
    #[arg(long, value_name = "PURPOSE", requires = "print_acls", conflicts_with = "verifier")]
    reader: Option<String>,
    /// With --print-acls: print the grants for producers of this input; `consent` is also what
    /// `assent consent put` and `assent heartbeat` need
    #[arg(
        long,
        value_name = "INPUT",
        requires = "print_acls",
        conflicts_with_all = ["verifier", "reader"]
    )]
    writer: Option<acls::Input>,
    /// With --print-acls: print the grants that `assent topics create` needs
    #[arg(long, requires = "print_acls", conflicts_with_all = ["verifier", "reader", "writer"])]
    creator: bool,
    /// With --print-acls: print the grants of whoever verifies the audit and asks it
    #[arg(long, requires = "print_acls", conflicts_with_all = ["verifier", "reader", "writer", "creator"])]
    auditor: bool,
    /// With --print-acls: print the grants that `assent audit publish` needs
    #[arg(long, requires = "print_acls", conflicts_with_all = ["verifier", "reader", "writer", "creator", "auditor"])]
    publisher: bool,
    /// With --print-acls: print the grants that `assent serve` needs
    #[arg(long, requires = "print_acls", conflicts_with_all = ["verifier", "reader", "writer", "creator", "auditor", "publisher"])]
    serve: bool,
    /// With --print-acls: print the grants that `assent canary` needs, and `assent run --canary` besides
    /// its own; the rulebook needs `canary: true`
    #[arg(long, requires = "print_acls", conflicts_with_all = ["verifier", "reader", "writer", "creator", "auditor", "publisher", "serve"])]
    canary: bool,
    /// With --print-acls: print the grants that `assent report` needs; `report readers`, and
    /// `report opt-out-test` without --verify, also need those of --verifier
    #[arg(long, requires = "print_acls", conflicts_with_all = ["verifier", "reader", "writer", "creator", "auditor", "publisher", "serve", "canary"])]
    reporter: bool,
}

/// Who is not told otherwise runs Assent.
const ASSENT: &str = "User:assent";

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let file = load_rulebook(&config.rulebook)?;
    if let Some(principal) = &args.print_acls {
        let rulebook = &file.rulebook;
        let commands = match (&args.reader, args.writer) {
            (Some(purpose), _) => readers_acls(&config, rulebook, principal, purpose)?,
            (_, Some(input)) => vec![acls::of_writer(&config, principal, input)],
            _ if args.verifier => acls::of_verifier(&config, rulebook, principal),
            _ if args.auditor => acls::of_auditor(&config, own_principal(principal, "auditor")?),
            _ if args.publisher => {
                acls::of_publisher(&config, own_principal(principal, "publisher")?)
            }
            _ if args.reporter => {
                let principal = own_principal(principal, "reporter")?;
                acls::of_reporter(&config, rulebook, principal)
            }
            _ if args.creator => acls::of_creator(&config, rulebook, principal),
            _ if args.canary => acls::of_canary(&config, rulebook, principal),
            _ if args.serve => acls::of_serve(&config, rulebook, principal),
            _ => {
                stderr::line(acls::APART);
                acls::commands(&config, rulebook, principal)
            }
        };
        return print_acls(&commands, globals.json);
    }
    report(look(&Arc::new(config))?, globals)
}

/// Whoever is not Assent itself has a principal of their own.
fn own_principal<'a>(principal: &'a str, who: &str) -> Result<&'a str> {
    if principal != ASSENT {
        return Ok(principal);
    }
    let message = format!("--{who}: it needs its own principal; add it as --print-acls User:NAME");
    Err(Failure::new(Exit::Usage, message))
}

fn readers_acls(
    config: &Config,
    rulebook: &Rulebook,
    principal: &str,
    purpose: &str,
) -> Result<Vec<String>> {
    own_principal(principal, &format!("reader {purpose}"))?;
    let usage = |message: String| Err(Failure::new(Exit::Usage, message));
    match acls::of_reader(config, rulebook, principal, purpose) {
        Some(commands) => Ok(commands),
        None => usage(format!(
            "--reader {purpose}: unknown reader; use `contextual`, `audit`, `consent`, `dead-letters` \
             or a purpose of the rulebook: {}",
            rulebook.purposes.iter().map(|it| it.id.as_str()).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Everything that `run` looks at, and more.
fn look(config: &Arc<Config>) -> Result<Vec<Finding>> {
    let start = run::prepare(config)?;
    let mut findings = vec![
        Finding::ok("rules", format!("{}: no errors", config.rulebook.display())),
        Finding::ok("keys", format!("key version {} is active", start.keys.active())),
    ];
    let preflight = Preflight {
        config,
        rulebook: &start.rulebook,
        registry: start.registry.as_ref(),
        clock: &*start.clock,
    };
    let admin = Admin::new(config)?;
    let probe = Probe::new(config)
        .map_err(|error| Failure::config(format!("kafka.properties: {error}")))?;
    let rights = preflight.rights(&probe);
    let may = rights.iter().all(|finding| finding.ok);
    findings.extend(rights);
    let cluster = admin.cluster_with(&preflight.plans(), preflight.clock)?;
    findings.extend(preflight.topics(&admin, &cluster)?);
    findings.extend(preflight.served_topics(&admin, &cluster)?);
    if may && let Some(counts) = counts(config, &start.rulebook, &cluster) {
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
