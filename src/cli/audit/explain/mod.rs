//! `assent audit explain`: one decision in plain words.
//!
//! Reconstructs what was known from the changelog, the audit and the rulebook, by the contract; what is gone
//! is said. The raw id of a subject is used to find their records, and is neither written nor shown.

mod assignment;
mod ground;
mod text;

use std::path::PathBuf;

use serde_json::{Value, json};

use self::assignment::{Assignment, assignment};
use self::ground::{Case, Sources};
use super::super::{Globals, stdout};
use super::question::{Options, Subject, input, report_damage, usage};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::access::AuditCommand;
use assent_inquiry::explain::{self, Explanation, Known, PurposeAnswer};
use assent_inquiry::filter::Input;
use assent_inquiry::story::Gone;

/// Explain one decision: what was known, which line of the gate decided, and which rules matched
///
/// Name an input record, or give --subject and --purpose to explain what is in force now.
/// Reconstructs what was known from the consent changelog, the audit and the rulebook, and says
/// what can no longer be reconstructed: compacted consent, clicks and audit that retention removed,
/// an unknown rulebook. The question is recorded in the topic of audit access before the answer is
/// shown. Needs the keyset. Exits with code 1 if the decision is not in the audit, or does not
/// follow from what is known.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent audit explain clickstream/3/70412 --reason REQ-1001\n  \
    assent audit explain --subject family-000042 --purpose personalized-offers"
)]
pub struct Args {
    /// The record whose decision is explained
    #[arg(value_name = "TOPIC/PARTITION/OFFSET", required_unless_present = "subject")]
    record: Option<String>,
    /// Explain what is in force for this subject now
    #[arg(long, value_name = "ID", conflicts_with = "record", requires = "purpose")]
    subject: Option<String>,
    /// Explain this purpose only
    #[arg(long)]
    purpose: Option<String>,
    /// A rulebook that was in use earlier, if it is not the configured one and the state can't be read;
    /// can be repeated
    #[arg(long, value_name = "FILE")]
    rulebook: Vec<PathBuf>,
    #[command(flatten)]
    options: Options,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let subject = args.subject.as_deref();
    let subject = subject.map(|id| Subject::named(&config, "--subject", id)).transpose()?;
    let record = args.record.as_deref().map(|text| input(&config, "RECORD", text)).transpose()?;
    let ends = Ends::new(&config)?;
    let index = args.options.open_index(&config, &ends)?;
    let mut sources = Sources::open(&config, &ends, &index, &args.rulebook)?;
    match (record, subject) {
        (Some(record), _) => args.decision(&mut sources, record, globals.json)?,
        (None, Some(subject)) => args.now(&mut sources, &subject, globals.json)?,
        (None, None) => return Err(usage("give a record, or --subject and --purpose".to_owned())),
    }
    report_damage(&config, &index, record.map(|record| record.partition))
}

impl Args {
    fn conditions(&self) -> String {
        let given = [("record", &self.record), ("purpose", &self.purpose)];
        let given = given.iter().filter_map(|(name, it)| Some(format!("{name}={}", it.as_ref()?)));
        given.collect::<Vec<_>>().join(" ")
    }

    fn decision(&self, sources: &mut Sources<'_>, record: Input, is_json: bool) -> Result<()> {
        let Some(case) = sources.case_of(record)? else {
            return Err(absent(sources.config, record));
        };
        let mut explanation = explain::explain(&case.found, &case.ground(sources));
        explanation.purposes.retain(|it| self.purpose.as_ref().is_none_or(|id| it.purpose == *id));
        let assignments = assignments_of(sources, &case, &explanation.purposes);
        self.options.record(
            sources.config,
            AuditCommand::Explain,
            case.subject.as_ref(),
            self.conditions(),
            Some(1),
        )?;
        if is_json {
            stdout::json(&merged(&explanation, &assignments)?)?;
        } else {
            text::decision(&explanation, &assignments)
                .iter()
                .try_for_each(|it| stdout::line(it))?;
        }
        if explanation.follows { Ok(()) } else { Err(contradicted()) }
    }

    fn now(&self, sources: &mut Sources<'_>, subject: &Subject, is_json: bool) -> Result<()> {
        let purpose = self.purpose.clone().unwrap_or_default();
        let case = sources.case_now(subject, &purpose)?;
        let now = SystemClock.now();
        let mut ground = case.ground(sources);
        ground.story.pass(now);
        let known = Known::of(&ground.story);
        let (answer, gone) = explain::explain_now(&purpose, &ground, now);
        let assignments = assignments_of(sources, &case, std::slice::from_ref(&answer));
        let gone = gone.map(Gone::words);
        let entries = Some(case.entries.len() as u64);
        self.options.record(
            sources.config,
            AuditCommand::Explain,
            Some(subject),
            self.conditions(),
            entries,
        )?;
        if is_json {
            let mut answer = with(&answer, &assignments)?;
            answer["known"] = json!(known);
            answer["not_reconstructed"] = json!(gone.into_iter().collect::<Vec<_>>());
            answer["now"] = json!(now);
            return stdout::json(&answer);
        }
        let lines = text::now(&known, &answer, &assignments, gone, now);
        lines.iter().try_for_each(|it| stdout::line(it))
    }
}

fn assignments_of(
    sources: &Sources<'_>,
    case: &Case,
    answers: &[PurposeAnswer],
) -> Vec<Assignment> {
    answers.iter().map(|answer| assignment(sources, case, answer)).collect()
}

/// The explanation, with each purpose's assignment in it.
fn merged(explanation: &Explanation, assignments: &[Assignment]) -> Result<Value> {
    let mut json = json(explanation)?;
    for (answer, assignment) in
        json["purposes"].as_array_mut().into_iter().flatten().zip(assignments)
    {
        merge(answer, assignment)?;
    }
    Ok(json)
}

fn with(answer: &PurposeAnswer, assignments: &[Assignment]) -> Result<Value> {
    let mut json = json(answer)?;
    assignments.iter().try_for_each(|assignment| merge(&mut json, assignment))?;
    Ok(json)
}

fn merge(answer: &mut Value, assignment: &Assignment) -> Result<()> {
    if let (Some(into), Value::Object(from)) = (answer.as_object_mut(), json(assignment)?) {
        into.extend(from);
    }
    Ok(())
}

fn json(answer: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(answer)
        .map_err(|error| Failure::failed(format!("the result can't be written as JSON: {error}")))
}

fn absent(config: &Config, record: Input) -> Failure {
    let Input { partition, offset, .. } = record;
    Failure::failed(format!(
        "topic {}: no entry is about partition {partition}, offset {offset}: it is not decided yet, it \
         was a heartbeat, or retention removed the decision",
        config.topics.audit
    ))
}

fn contradicted() -> Failure {
    Failure::failed(
        "the decision does not follow from what is known; find out with `assent verify` and `assent \
         audit verify` what was altered",
    )
}
