//! `assent reader check`: feeds a reader a topic of its own, rule by rule, and asks what it would use.

use serde_json::json;

use super::super::interruption::interruption;
use super::super::{Globals, progress, stdout, when};
use super::answer::Outcome;
use super::rules::{AT_ONCE, How, RULES, Rule};
use super::trial::{Setup, Stop, Trial, exists};
use crate::config::{Config, topic_name};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::admin::Admin;
use assent_contract::domain::foreign_text::shown;

/// Check that a reader of segments keeps the rules, by what it would use
///
/// Starts CMD for each rule of docs/readers.md, writes assignments, tombstones and whatever else can
/// be in a segment topic into the topic T, and asks CMD on its stdin what it would use: `use
/// PSEUDONYM`. It answers each question with one line on stdout, `yes SEGMENTS` or `no`, and ends
/// when its stdin is closed. Prints one line for each rule, and exits with code 1 if one is broken.
///
/// The topic is the check's own: it is created for each rule and deleted after it. CMD finds out
/// about it in the environment: ASSENT_READER_BOOTSTRAP_SERVERS, ASSENT_READER_TOPIC,
/// ASSENT_READER_GROUP (a consumer group of its own), ASSENT_READER_COPY (a folder for its copy) and
/// ASSENT_READER_DELETE_RETENTION_MS (what delete.retention.ms of the topic is). Takes about a minute.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent reader check --topic reader-check -- python3 \
                  examples/reader/segments.py check-protocol")]
pub struct Args {
    /// Topic to create for the check and to delete in the end; must not exist
    #[arg(long, value_name = "T")]
    topic: String,
    /// Check only this rule, for example R2; can be given several times
    #[arg(long = "rule", value_name = "ID")]
    rules: Vec<String>,
    /// How long CMD may take to apply a record, its start included
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: String,
    /// Pass kafka.properties to CMD: ASSENT_READER_PROPERTIES names a file with name=value lines
    #[arg(long)]
    pass_properties: bool,
    /// Command that starts the reader
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// A rule and what became of it.
type Checked = (&'static Rule, Outcome);

pub fn run(args: &Args, globals: &Globals) -> Result<()> {
    let timeout =
        when::duration(&args.timeout).map_err(|why| usage(format!("--timeout: {why}")))?;
    let rules = chosen(&args.rules)?;
    let config = globals.load_config()?;
    refuse_configured(&args.topic, &config)?;
    if Admin::new(&config)?.cluster()?.knows(&args.topic) {
        return Err(exists(&args.topic));
    }
    let own = globals.variables.keys().filter(|name| name.starts_with("ASSENT__"));
    let own_variables: Vec<String> = own.cloned().collect();
    let interrupted = interruption()?;
    let setup = Setup {
        config: &config,
        topic: &args.topic,
        command: &args.command,
        timeout,
        passes_properties: args.pass_properties,
        interrupted: &interrupted,
        own_variables: &own_variables,
    };
    report(&check_all(&setup, &rules)?, globals.json)
}

fn chosen(ids: &[String]) -> Result<Vec<&'static Rule>> {
    for id in ids {
        if !RULES.iter().any(|rule| rule.id == id) {
            let known: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
            let what = "no such rule; the rules are";
            return Err(usage(format!("--rule {}: {what} {}", shown(id), known.join(", "))));
        }
    }
    let is_chosen = |rule: &&Rule| ids.is_empty() || ids.iter().any(|id| id == rule.id);
    Ok(RULES.iter().filter(is_chosen).collect())
}

fn refuse_configured(topic: &str, config: &Config) -> Result<()> {
    topic_name(topic).map_err(|why| usage(format!("--topic: {why}")))?;
    match config.topics.key_of(topic) {
        "topics" => Ok(()),
        key => Err(usage(format!(
            "--topic {topic}: {key} names this topic; name a new one: the check creates and deletes it"
        ))),
    }
}

/// In the order of the page. Where the reader is behind at [`AT_ONCE`], nothing else is waited for.
fn check_all(setup: &Setup<'_>, rules: &[&'static Rule]) -> Result<Vec<Checked>> {
    let bar = progress::bar(rules.len() as u64, "rules");
    let mut order: Vec<usize> = (0..rules.len()).collect();
    order.sort_by_key(|&place| rules[place].id != AT_ONCE);
    let mut outcomes = vec![Outcome::NotChecked(String::new()); rules.len()];
    let mut is_behind = false;
    for place in order {
        let rule = rules[place];
        outcomes[place] = match &rule.how {
            How::Never(why) => Outcome::NotChecked((*why).to_owned()),
            How::Check(_) if is_behind => {
                Outcome::NotChecked(format!("the reader applies no record in time: see {AT_ONCE}"))
            }
            How::Check(check) => {
                let mut trial = Trial::open(setup, rule.id, rule.delete_retention)?;
                let stopped = check(&mut trial);
                let closed = trial.close();
                let outcome = match stopped {
                    Ok(()) => Outcome::Kept,
                    Err(Stop::Broken(seen)) => Outcome::Broken(seen),
                    Err(Stop::Behind(seen)) => {
                        is_behind = rule.id == AT_ONCE;
                        Outcome::Broken(seen)
                    }
                    Err(Stop::Failed(failure)) => return Err(with(failure, closed)),
                };
                closed?;
                outcome
            }
        };
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(rules.iter().copied().zip(outcomes).collect())
}

/// What else went wrong is told along.
fn with(failure: Failure, closed: Result<()>) -> Failure {
    match closed {
        Ok(()) => failure,
        Err(besides) => {
            Failure::new(failure.exit, format!("{}; {}", failure.message, besides.message))
        }
    }
}

fn report(checked: &[Checked], is_json: bool) -> Result<()> {
    let broken = checked.iter().filter(|(_, it)| matches!(it, Outcome::Broken(_))).count();
    if is_json {
        let rule = |(rule, outcome): &Checked| {
            json!({
                "id": rule.id, "name": rule.name, "result": outcome.label(), "seen": outcome.seen(),
            })
        };
        let rules: Vec<_> = checked.iter().map(rule).collect();
        stdout::json(&json!({"ok": broken == 0, "rules": rules}))?;
    } else {
        for (rule, outcome) in checked {
            stdout::line(&format!("rule {} {}: {}", rule.id, rule.name, outcome.text()))?;
        }
    }
    match broken {
        0 => Ok(()),
        1 => Err(Failure::failed("a rule is broken; docs/readers.md says what it asks for")),
        _ => Err(Failure::failed(format!(
            "{broken} rules are broken; docs/readers.md says what they ask for"
        ))),
    }
}

fn usage(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}
