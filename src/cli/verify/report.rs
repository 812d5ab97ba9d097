//! The result, for a person and for a program.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::stdout;
use crate::failure::{Failure, Result};
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::invariants::Invariant;
use assent_verify::{Findings, Violation};

/// What was read, and what was found.
pub struct Outcome {
    /// Records by topic.
    pub checked: BTreeMap<String, u64>,
    pub findings: Findings,
}

/// Prints it; fails (1) where something is broken.
pub fn print(outcome: Outcome, is_json: bool) -> Result<()> {
    let Outcome { checked, findings } = outcome;
    let found = findings.violations().len() as u64 + findings.left_off();
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
        notes
            .push(format!("{} more violations were found and are not listed", findings.left_off()));
    }
    if is_json {
        let ok = findings.is_clean();
        stdout::json(&json!({
            "ok": ok, "checked": checked, "violations": violations, "notes": notes
        }))?;
    } else {
        for violation in &violations {
            let Violation { invariant, topic, partition, offset, detail } = violation;
            let detail = shown(detail);
            stdout::line(&format!("{invariant}  {topic}/{partition}/{offset}  {detail}"))?;
        }
        for sentence in broken_sentences(&violations) {
            stdout::line(&sentence)?;
        }
        for (topic, records) in &checked {
            stdout::line(&format!("checked  {records} records of {topic}"))?;
        }
        for note in &notes {
            stdout::line(note)?;
        }
        stdout::line(&verdict(found, checked.values().sum(), findings.unchecked_count()))?;
    }
    match found {
        0 => Ok(()),
        found => Err(Failure::failed(format!(
            "{}; docs/verify.md explains each invariant",
            counted(found)
        ))),
    }
}

/// What each violated invariant says, once, in the order of their numbers.
fn broken_sentences(violations: &[Violation]) -> Vec<String> {
    let is_broken = |id: &String| violations.iter().any(|violation| violation.invariant == *id);
    let broken = Invariant::ALL.into_iter().filter(|invariant| is_broken(&invariant.id()));
    broken
        .map(|invariant| format!("broken  {}: {}", invariant.id(), invariant.sentence()))
        .collect()
}

/// The last line.
fn verdict(found: u64, records: u64, unchecked: u64) -> String {
    let found = match found {
        0 if records == 0 => return "nothing to check: the topics hold no records".to_owned(),
        0 => "no violations".to_owned(),
        found => counted(found),
    };
    let unchecked = match unchecked {
        0 => "everything was checked".to_owned(),
        number => format!("{number} things could not be checked (see above)"),
    };
    format!("verdict  {found} found in {records} records; {unchecked}")
}

fn counted(found: u64) -> String {
    match found {
        1 => "1 violation".to_owned(),
        found => format!("{found} violations"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_invariant_is_explained_once_in_order() {
        let found = |invariant: &str, offset| Violation {
            invariant: invariant.to_owned(),
            topic: "segmentation-audit".to_owned(),
            partition: 0,
            offset,
            detail: String::new(),
        };
        let violations = [found("INV-13", 1), found("INV-9", 2), found("INV-13", 3)];
        assert_eq!(
            broken_sentences(&violations),
            [
                format!("broken  INV-9: {}", Invariant::Provable.sentence()),
                format!("broken  INV-13: {}", Invariant::Leased.sentence()),
            ]
        );
        assert!(broken_sentences(&[]).is_empty());
    }

    #[test]
    fn the_last_line_says_what_was_found_and_what_could_not_be_checked() {
        for (found, records, unchecked, expected) in [
            (0, 100, 0, "verdict  no violations found in 100 records; everything was checked"),
            (1, 100, 0, "verdict  1 violation found in 100 records; everything was checked"),
            (
                20_000,
                100,
                12,
                "verdict  20000 violations found in 100 records; 12 things could not be checked \
                 (see above)",
            ),
            (0, 0, 0, "nothing to check: the topics hold no records"),
        ] {
            assert_eq!(verdict(found, records, unchecked), expected);
        }
    }
}
