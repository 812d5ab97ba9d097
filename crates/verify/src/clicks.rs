//! An entry of the audit and its click: the outcome, the verdicts, the signal; and dead letters.

use std::sync::Arc;

use super::consent_view::ConsentView;
use super::effects::{bound_unseen, disagreements};
use super::finding::{Findings, Unchecked};
use super::inputs::{Record, is_foreign_schema};
use super::partition::{BatchUnderReview, Partition};
use assent_contract::domain::audit::AuditEntry;
use assent_contract::domain::event::Click;
use assent_contract::domain::invariants::Invariant;
use assent_contract::domain::outcome::{DeadLetterReason, InputKind, Outcome, Verdict};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::KnownSchemas;

/// A click may lie this far ahead of the clock of its decision (docs/contract/bad-input.md#clicks).
const AHEAD_MAX: Span = Span(5 * Span::MINUTE.0);

impl Partition<'_> {
    /// A click's entry and its record; `None`: retention took it.
    pub(super) fn click(
        &mut self,
        entry: &AuditEntry,
        record: Option<&Record>,
        review: &BatchUnderReview<'_>,
        findings: &mut Findings,
    ) {
        let Some(record) = record else { return };
        let place = (self.setup.clickstream, self.number, record.offset);
        let known = self.known_then(entry, record, review);
        let click = match self.setup.readers.read_click(self.number, record, &known) {
            Ok(click) => click,
            Err(why) if is_foreign_schema(why.reason) && entry.outcome != Outcome::DeadLettered => {
                return findings.unchecked(Unchecked::SchemaUnknown, 1);
            }
            Err(why) => {
                if entry.outcome != Outcome::DeadLettered {
                    let detail = format!(
                        "it is not a usable click, but its outcome is {}",
                        entry.outcome.symbol()
                    );
                    findings.violation(Invariant::Accounted, place, detail);
                }
                return self.claim_letter(entry, (record, why.reason), review, findings);
            }
        };
        let now = review.batch.decided_at;
        let reason = DeadLetterReason::EventTimeAhead;
        self.claim_letter(entry, (record, reason), review, findings);
        let Some(expected) = outcome(&click, now, review) else {
            return findings.unchecked(Unchecked::RulebookUnknown, 1);
        };
        if entry.outcome != expected {
            let detail = format!(
                "its outcome is {}, but it should be {}",
                entry.outcome.symbol(),
                expected.symbol()
            );
            findings.violation(Invariant::Accounted, place, detail);
        }
        let subject = self.bind_signal(&click, now);
        if let (Some(subject), Some(token)) = (subject, entry.subject) {
            self.subjects.learn(token, subject);
        }
        if entry.outcome == Outcome::Decided {
            self.compare_verdicts(entry, &click, subject, review, place, findings);
        }
    }

    /// What was known of the schema registry when the input was decided: nothing of its id, where its
    /// letter says so, and where the letter is gone that would. The registry may have been out of
    /// reach, or was told of the id only later.
    pub(super) fn known_then(
        &self,
        entry: &AuditEntry,
        record: &Record,
        review: &BatchUnderReview<'_>,
    ) -> Arc<KnownSchemas> {
        let unusable = matches!(entry.outcome, Outcome::DeadLettered | Outcome::Unreadable)
            && review.batch.decided_at <= self.letters.complete_from;
        let reason = self.letters.reason(entry.input, record.offset);
        match reason {
            Some(reason) if is_foreign_schema(reason) => Arc::default(),
            None if unusable => Arc::default(),
            _ => Arc::clone(&record.known),
        }
    }

    /// The click's subject, with its signal bound.
    fn bind_signal(&mut self, click: &Click<'_>, now: Timestamp) -> Option<usize> {
        let key = click.subject_id?.as_bytes();
        let known = self.subjects.by_key(key);
        if click.opt_out_signal.is_none() {
            return known;
        }
        let unknown =
            if self.whole && !self.compacted { ConsentView::NOTHING } else { ConsentView::LOST };
        let place =
            known.or_else(|| self.subjects.register_stranger(key, self.setup.keys, &unknown))?;
        let view = &mut self.subjects.at(place).consent;
        view.forget(now);
        view.bind(click.occurred_at.min(now));
        Some(place)
    }

    /// INV-1: a click that was allowed, and that the gate withholds.
    fn compare_verdicts(
        &mut self,
        entry: &AuditEntry,
        click: &Click<'_>,
        subject: Option<usize>,
        review: &BatchUnderReview<'_>,
        place: (&str, i32, i64),
        findings: &mut Findings,
    ) {
        let (open, now) = (review.batch.gate_open, review.batch.decided_at);
        let nobody = click.subject_id.is_none() || (self.whole && !self.compacted);
        let view = subject.map(|subject| &self.subjects.at(subject).consent);
        let mut unknown = 0;
        let wrong = disagreements(entry, review, |terms| {
            let own = match view {
                _ if !open => Some(Verdict::ConsentStale),
                Some(view) => {
                    let stands = view.is_sure() || view.version() == entry.consent_version;
                    view.verdict(terms, Some(click.occurred_at), now).filter(|_| stands)
                }
                None => nobody.then_some(Verdict::NoConsentRecord),
            };
            unknown += u64::from(own.is_none());
            own
        });
        if let Some(detail) = wrong {
            findings.violation(Invariant::Consent, place, detail);
        }
        findings.unchecked(Unchecked::StandingUnknown, unknown);
        let own = |terms| view?.verdict(terms, Some(click.occurred_at), now);
        findings.unchecked(Unchecked::SignalUnknown, bound_unseen(entry, review, own));
    }

    /// INV-5: a dead letter for each input that could not be used; INV-6: without a byte of it.
    pub(super) fn claim_letter(
        &mut self,
        entry: &AuditEntry,
        (record, reason): (&Record, DeadLetterReason),
        review: &BatchUnderReview<'_>,
        findings: &mut Findings,
    ) {
        let Some(offset) = entry.offset else { return };
        if !matches!(entry.outcome, Outcome::DeadLettered | Outcome::Unreadable) {
            return;
        }
        let topic = self.topic(entry.input);
        let place = (topic, self.number, offset);
        let Some(letter) = self.letters.claim(entry.input, offset) else {
            if review.batch.decided_at <= self.letters.complete_from {
                return findings.unchecked(Unchecked::LettersDeleted, 1);
            }
            let detail = format!("{}, but its dead letter is missing", entry.outcome.symbol());
            return findings.violation(Invariant::Atomic, place, detail);
        };
        let lies_at = (self.setup.dead_letters, letter.partition, letter.offset);
        if letter.payload_sha256 != record.payload_sha256() {
            let detail = "its payload_sha256 is not that of the input it names";
            findings.violation(Invariant::Atomic, lies_at, detail);
        }
        if letter.reason != reason
            && !is_foreign_schema(reason)
            && !is_foreign_schema(letter.reason)
        {
            let detail = format!(
                "its reason is {}, but the input's is {}",
                letter.reason.symbol(),
                reason.symbol()
            );
            findings.violation(Invariant::Atomic, lies_at, detail);
        }
        if record.key.as_deref().is_some_and(|key| letter.repeats(key)) {
            let detail = "its text contains the key of the input: a raw identifier";
            findings.violation(Invariant::Pseudonymous, lies_at, detail);
        }
    }

    /// INV-5: letters of inputs that were not dead-lettered.
    pub(super) fn report_letters(&self, findings: &mut Findings) {
        let Some(progress) = &self.progress else { return };
        let covered = |input: InputKind, offset: i64| match input {
            InputKind::Click => (progress.first_click..progress.next_click).contains(&offset),
            _ => (progress.first_consent..progress.next_consent).contains(&offset),
        };
        for (partition, offset) in self.letters.unclaimed(covered) {
            let place = (self.setup.dead_letters, partition, offset);
            let detail = "a dead letter that no outcome in the audit names";
            findings.violation(Invariant::Atomic, place, detail);
        }
    }
}

/// What becomes of a click by its time (docs/contract/bad-input.md#clicks); `None`: the rulebook is not
/// known.
fn outcome(click: &Click<'_>, now: Timestamp, review: &BatchUnderReview<'_>) -> Option<Outcome> {
    if click.occurred_at - now > AHEAD_MAX {
        return Some(Outcome::DeadLettered);
    }
    let longest = review.rulebook?.purposes.iter().map(|purpose| purpose.retention).max();
    let is_late = now - click.occurred_at > longest.unwrap_or(Span::DAY);
    Some(if is_late { Outcome::TooLate } else { Outcome::Decided })
}
