//! What would the gate decide? One question, answered by the code that runs ([`crate::domain::gate`]).
//!
//! ```text
//! {"purpose": "partner-advertising", "record": null, "now": 1795305600000}
//! {"verdict":"NO_CONSENT_RECORD","allowed":false,"line":3,"rule":"there is no ..","cite":"house rule; ..","basis":null}
//! ```
//!
//! Knows no clock and no file: everything but the purpose's switches stands in the question.

use serde::{Deserialize, Serialize};

use crate::domain::consent::ConsentRecord;
use crate::domain::gate::table::line_of;
use crate::domain::gate::{PurposeTerms, decide_click, decide_standing};
use crate::domain::merge::{NameId, PurposeNames, SubjectConsent};
use crate::domain::outcome::{Basis, Verdict};
use crate::domain::time::Timestamp;
use crate::rulebook::{Purpose, Rulebook};

/// What is asked. Holds a raw identifier in `record`: never log it (no `Debug`).
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// A purpose that the rulebook declares.
    pub purpose: String,
    /// The record that stands; `None`: there is none.
    #[serde(default)]
    pub record: Option<ConsentRecord>,
    /// The subject's consent can't be read, or two records of one version contradict each other.
    #[serde(default)]
    pub unreadable: bool,
    /// From when on an opt-out signal binds; the later of this and of the record's own counts.
    #[serde(default)]
    pub signal_at: Option<Timestamp>,
    /// When the subject's last erasure was applied: a record from before it counts no more.
    #[serde(default)]
    pub erased_at: Option<Timestamp>,
    /// The time of the click; `None`: may the purpose be used now, whatever there was?
    #[serde(default)]
    pub occurred_at: Option<Timestamp>,
    pub now: Timestamp,
    /// Consent sync is behind its bound (line 1, which is asked of clicks alone).
    #[serde(default)]
    pub stale: bool,
}

/// What the gate decides, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub verdict: Verdict,
    pub allowed: bool,
    /// Of the gate's table, 1 to 12.
    pub line: u8,
    /// When that line applies.
    pub rule: &'static str,
    /// A statute or regulation, or that it is a house rule; empty where it allows.
    pub cite: &'static str,
    /// What an assignment would rest on; `None`: withheld.
    pub basis: Option<Basis>,
}

/// The gate's answer; `None`: the rulebook declares no such purpose.
pub fn judge(question: &Question, rulebook: &Rulebook) -> Option<Answer> {
    let purpose = &rulebook.purposes[rulebook.purpose_index(&question.purpose)?];
    let mut names = PurposeNames::default();
    let name = names.declare(&purpose.id, &|_| 0)?;
    let consent = consent_of(question, &names, name);
    let (terms, now) = (terms_of(purpose, name), question.now);
    Some(Answer::of(match question.occurred_at {
        Some(t) => decide_click(question.stale, Some(&consent), terms, t, now),
        None => decide_standing(&consent, terms, now),
    }))
}

/// As merging leaves it: an erasure outdates what was recorded before it, and a signal is kept to the minute.
fn consent_of(question: &Question, names: &PurposeNames, name: NameId) -> SubjectConsent {
    let mut consent = SubjectConsent { erased_at: question.erased_at, ..SubjectConsent::default() };
    if let Some(record) = &question.record {
        // The record is there, so it was appended by now.
        consent.apply(record, question.now, names, &|_| 0, &[name]);
    }
    if let Some(at) = question.signal_at {
        consent.bind(at);
    }
    if question.unreadable {
        consent.mark_undecodable();
    }
    consent
}

fn terms_of(purpose: &Purpose, name: NameId) -> PurposeTerms {
    let Purpose { sale_or_share, requires_opt_in, suspended, .. } = *purpose;
    PurposeTerms { name, sale_or_share, requires_opt_in, suspended }
}

impl Answer {
    fn of(verdict: Verdict) -> Self {
        let line = line_of(verdict);
        let (allowed, basis) = (verdict.allows(), verdict.basis());
        Self { verdict, allowed, line: line.number, rule: line.when, cite: line.why, basis }
    }
}

#[cfg(test)]
mod regulation;
#[cfg(test)]
mod tests;
