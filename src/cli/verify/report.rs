//! The result, for a person and for a program.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::stdout;
use crate::failure::{Failure, Result};
use crate::verify::{Findings, Violation};

/// What was read, and what was found.
pub struct Outcome {
    /// Records by topic.
    pub checked: BTreeMap<String, u64>,
    pub findings: Findings,
}

/// Prints it; fails (1) where something is broken.
pub fn print(outcome: Outcome, is_json: bool) -> Result<()> {
    let Outcome { checked, findings } = outcome;
    let mut violations = findings.violations().to_vec();
    violations.sort_by(|a, b| {
        (&a.topic, a.partition, a.offset, &a.invariant).cmp(&(
            &b.topic,
            b.partition,
            b.offset,
            &b.invariant,
        ))
    });
    let mut notes = findings.notes();
    if findings.left_off() > 0 {
        notes.push(format!("{} more violations were found and left off", findings.left_off()));
    }
    if is_json {
        let ok = findings.is_clean();
        stdout::json(&json!({
            "ok": ok, "checked": checked, "violations": violations, "notes": notes
        }))?;
    } else {
        for violation in &violations {
            let Violation { invariant, topic, partition, offset, detail } = violation;
            stdout::line(&format!("{invariant}  {topic}/{partition}/{offset}  {detail}"))?;
        }
        for (topic, records) in &checked {
            stdout::line(&format!("checked  {records} records of {topic}"))?;
        }
        for note in &notes {
            stdout::line(note)?;
        }
    }
    match violations.len() as u64 + findings.left_off() {
        0 => Ok(()),
        1 => Err(Failure::failed("1 violation")),
        number => Err(Failure::failed(format!("{number} violations"))),
    }
}
