//! What is found: violations with their place, and what could not be checked, with its number.

use std::collections::BTreeMap;

use serde::Serialize;

use assent_contract::domain::invariants::Invariant;

/// A broken invariant. `detail` holds no raw identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// `INV-1` to `INV-13`.
    pub invariant: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub detail: String,
}

/// What the topics no longer tell, or don't tell yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unchecked {
    ConsentCompacted,
    ClicksDeleted,
    ClicksUnreadable,
    StandingUnknown,
    SignalUnknown,
    RulebookUnknown,
    SchemaUnknown,
    SubjectUnknown,
    KeyEmptied,
    OlderThanAudit,
    BehindGap,
    Sweeping,
    AudienceUnknown,
    NotDecided,
    LettersDeleted,
    BeforeLoss,
}

impl Unchecked {
    /// As a person reads it, after a number.
    pub fn label(self) -> &'static str {
        match self {
            Self::ConsentCompacted => "consent records: audited, but compacted away since",
            Self::ClicksDeleted => "clicks: audited, but deleted by retention since",
            Self::ClicksUnreadable => {
                "clicks: audited, but in a batch that no client can read any more"
            }
            Self::StandingUnknown => {
                "verdicts: they depend on a consent record that was compacted away or is not \
                 decided yet"
            }
            Self::SignalUnknown => {
                "verdicts: withheld for an opt-out signal that the topics do not show, because it \
                 was dropped for later ones, was lost, or its click was deleted"
            }
            Self::RulebookUnknown => {
                "audit batches, clicks and outputs: the rulebook they were decided under is not \
                 known here"
            }
            Self::SchemaUnknown => "inputs: written with a schema that is not known here",
            Self::SubjectUnknown => {
                "effects: their subjects are no longer in the consent changelog"
            }
            Self::KeyEmptied => "effects: they use a retired key whose secret was removed",
            Self::OlderThanAudit => "segment records: older than the audit that was read",
            Self::BehindGap => "inputs: their audit batch is missing (see INV-9)",
            Self::AudienceUnknown => {
                "segments with a minimum audience: what was stated of them, or the assignment before, is \
                 not in what was read"
            }
            Self::Sweeping => "live keys: a sweep after a change of the rulebook was in progress",
            Self::NotDecided => "inputs: not decided when the end of the audit was read",
            Self::BeforeLoss => "outcomes: from before an accepted loss",
            Self::LettersDeleted => "dead letters: deleted by retention",
        }
    }
}

/// Collects; keeps so many violations that no topic, however broken, takes the memory.
#[derive(Debug, Default)]
pub struct Findings {
    violations: Vec<Violation>,
    left_off: u64,
    unchecked: BTreeMap<Unchecked, u64>,
}

impl Findings {
    /// 10,000 violations of some 250 bytes are 2.5 MB.
    pub const KEPT_MAX: usize = 10_000;

    pub fn violation(
        &mut self,
        invariant: Invariant,
        (topic, partition, offset): (&str, i32, i64),
        detail: impl Into<String>,
    ) {
        if self.violations.len() >= Self::KEPT_MAX {
            self.left_off += 1;
            return;
        }
        let (invariant, topic, detail) = (invariant.id(), topic.to_owned(), detail.into());
        self.violations.push(Violation { invariant, topic, partition, offset, detail });
    }

    pub fn unchecked(&mut self, what: Unchecked, number: u64) {
        if number > 0 {
            *self.unchecked.entry(what).or_default() += number;
        }
    }

    /// How many things could not be checked, of all kinds.
    pub fn unchecked_count(&self) -> u64 {
        self.unchecked.values().sum()
    }

    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Violations that were found and not kept.
    pub fn left_off(&self) -> u64 {
        self.left_off
    }

    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// One line for each thing that could not be checked.
    pub fn notes(&self) -> Vec<String> {
        let line =
            |(what, number): (&Unchecked, &u64)| format!("not checked: {number} {}", what.label());
        self.unchecked.iter().map(line).collect()
    }
}
