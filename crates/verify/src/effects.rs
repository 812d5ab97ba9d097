//! An entry of the audit: what became of a consent record, and what was written because of it.

use super::consent_view::{ConsentView, Held, Kept, Mark, Terms};
use super::finding::{Findings, Unchecked};
use super::inputs::{Record, is_foreign_schema};
use super::partition::{BatchUnderReview, Partition, Sink};
use super::rows::{Row, UNPLACED, Written, reason_number};
use assent_contract::domain::audit::{AuditEntry, Change, Effect};
use assent_contract::domain::intake::ConsentBody;
use assent_contract::domain::invariants::Invariant;
use assent_contract::domain::outcome::{InputKind, Outcome, Verdict};

impl Partition<'_> {
    /// A consent entry and its record; `None`: compaction took it.
    pub(super) fn consent(
        &mut self,
        entry: &AuditEntry,
        record: Option<&Record>,
        review: &BatchUnderReview<'_>,
        findings: &mut Findings,
    ) {
        let Some(record) = record else { return self.consent_compacted(entry) };
        let place = (self.setup.consent, self.number, record.offset);
        let known = self.known_then(entry, record, review);
        let reading = self.setup.readers.read_consent(self.number, record, &known);
        let key = record.key.as_deref().unwrap_or_default();
        let subject = self.subjects.by_key(key);
        let of_somebody = matches!(
            reading.body(),
            ConsentBody::Erasure | ConsentBody::Record(_) | ConsentBody::Unreadable(_)
        );
        if of_somebody && entry.subject.is_some_and(|token| self.names_another(&token, subject)) {
            let detail = "the audit names a different subject than the key of the record";
            findings.violation(Invariant::Accounted, place, detail);
        }
        if let (Some(subject), Some(token)) = (subject.filter(|_| of_somebody), entry.subject) {
            self.subjects.learn(token, subject);
        }
        let expected = match reading.body() {
            ConsentBody::Heartbeat { .. } => None,
            ConsentBody::Erasure => Some(Outcome::Erased),
            ConsentBody::Forwarded => Some(Outcome::Forwarded),
            ConsentBody::DeadLettered(why) => {
                self.claim_letter(entry, (record, why.reason), review, findings);
                Some(Outcome::DeadLettered)
            }
            ConsentBody::Unreadable(why) => {
                if is_foreign_schema(why.reason) && entry.outcome != Outcome::Unreadable {
                    findings.unchecked(Unchecked::SchemaUnknown, 1);
                    return self.consent_compacted(entry);
                }
                self.claim_letter(entry, (record, why.reason), review, findings);
                Some(Outcome::Unreadable)
            }
            ConsentBody::Record(_) => Some(entry.outcome),
        };
        if expected != Some(entry.outcome) {
            let detail =
                format!("its outcome is {}, which is impossible for it", entry.outcome.symbol());
            findings.violation(Invariant::Accounted, place, detail);
        }
        let Some(subject) = subject.filter(|_| of_somebody) else { return };
        let view = &mut self.subjects.at(subject).consent;
        view.forget(review.batch.decided_at);
        match reading.body() {
            ConsentBody::Erasure => view.erase(record.timestamp),
            ConsentBody::Unreadable(_) => view.withhold(Mark::Undecodable),
            ConsentBody::Record(it) => {
                let kept = Kept::of(it, self.setup.purposes);
                self.take_record(entry, (record, kept), subject, review, findings);
            }
            _ => {}
        }
        self.compare_standing(entry, review, place, findings);
    }

    /// A readable record comes to stand, or not, as the model says where it can tell.
    fn take_record(
        &mut self,
        entry: &AuditEntry,
        (record, kept): (&Record, Kept),
        subject: usize,
        review: &BatchUnderReview<'_>,
        findings: &mut Findings,
    ) {
        let subject = self.subjects.at(subject);
        let expected = expected_outcome(&subject.consent, &kept, review);
        if let Some(expected) = expected.filter(|it| is_laxer(entry.outcome, *it)) {
            let place = (self.setup.consent, self.number, record.offset);
            let detail = format!(
                "its outcome is {}, but by the changelog it should be {}",
                entry.outcome.symbol(),
                expected.symbol()
            );
            findings.violation(Invariant::Accounted, place, detail);
        }
        let outcome = expected.unwrap_or(entry.outcome);
        subject.consent.take(kept, record.timestamp, outcome);
        if outcome == Outcome::Applied {
            subject.assigned_since = review.batch.gate_open;
        }
    }

    fn names_another(&self, token: &[u8; 17], subject: Option<usize>) -> bool {
        let computable = self.setup.keys.versions().any(|version| version == token[0]);
        computable && self.subjects.by_token(token) != subject
    }

    /// The record is gone; its outcome says what it left.
    fn consent_compacted(&mut self, entry: &AuditEntry) {
        let Some(subject) = self.subject_of(entry) else { return };
        let view = &mut self.subjects.at(subject).consent;
        match entry.outcome {
            Outcome::Erased => *view = ConsentView::ERASED_UNSEEN,
            Outcome::Superseded => {}
            Outcome::Applied => {
                view.held = Held::Lost;
                view.mark = Mark::Readable;
            }
            _ => view.held = Held::Lost,
        }
    }

    /// INV-1: what the audit says is allowed, and the gate withholds.
    fn compare_standing(
        &mut self,
        entry: &AuditEntry,
        review: &BatchUnderReview<'_>,
        place: (&str, i32, i64),
        findings: &mut Findings,
    ) {
        let Some(subject) = self.subject_of(entry) else { return };
        let view = &self.subjects.at(subject).consent;
        let now = review.batch.decided_at;
        let own = |terms| view.verdict(terms, None, now).filter(|_| view.is_sure());
        let wrong = disagreements(entry, review, own);
        if let Some(detail) = wrong {
            findings.violation(Invariant::Consent, place, detail);
        }
        findings.unchecked(Unchecked::SignalUnknown, bound_unseen(entry, review, own));
    }

    /// What an entry wrote: a row each, and INV-1 and INV-4 of it.
    pub(super) fn effects(
        &mut self,
        entry: &AuditEntry,
        review: &BatchUnderReview<'_>,
        sink: Sink<'_>,
        findings: &mut Findings,
    ) {
        let input = match entry.offset {
            Some(offset) => (self.topic(entry.input), self.number, offset),
            None => (self.setup.audit, self.number, review.offset),
        };
        for effect in &entry.effects {
            self.effect(entry, effect, review, sink, findings);
        }
        if let Some(subject) = self.subject_of(entry)
            && matches!(entry.input, InputKind::Consent | InputKind::Click)
        {
            self.look_for_left_keys(subject, review, input, findings);
        }
    }

    fn effect(
        &mut self,
        entry: &AuditEntry,
        effect: &Effect,
        review: &BatchUnderReview<'_>,
        sink: Sink<'_>,
        findings: &mut Findings,
    ) {
        let place = (self.setup.audit, self.number, review.offset);
        let Some(id) = review.batch.purposes.get(usize::from(effect.purpose)) else {
            let detail = "an effect for a purpose that its batch does not name";
            return findings.violation(Invariant::Provable, place, detail);
        };
        let Ok(purpose) = self.setup.purposes.binary_search(id) else {
            findings.unchecked(Unchecked::RulebookUnknown, 1);
            return;
        };
        let written = match &effect.change {
            Change::Assigned(hash) => {
                let digest = *hash.first_chunk().expect("32 bytes begin with 16");
                Written::Assigned(digest)
            }
            Change::Removed(reason) => {
                let Some(number) = reason_number(reason) else {
                    let detail = "a tombstone with an unknown reason";
                    return findings.violation(Invariant::Pseudonymous, place, detail);
                };
                Written::Removed(number)
            }
        };
        let is_assignment = matches!(written, Written::Assigned(_));
        if is_assignment && !review.batch.gate_open {
            let detail = "an assignment was written while consent was stale";
            findings.violation(Invariant::Consent, place, detail);
        }
        let (offset, decided_at) = (review.offset, review.batch.decided_at);
        let row = Row::Effect { partition: self.number, offset, decided_at, written };
        let Some(subject) = self.subject_of(entry) else {
            findings.unchecked(Unchecked::SubjectUnknown, 1);
            return sink(purpose, UNPLACED, row);
        };
        let version = effect.key_version;
        let key = &self.subjects.at(subject).key;
        let Some(pseudonym) = self.setup.keys.pseudonym(version, purpose, key) else {
            findings.unchecked(Unchecked::KeyEmptied, 1);
            return sink(purpose, UNPLACED, row);
        };
        if is_assignment {
            self.judge_assignment(entry, effect, subject, review, findings);
        }
        let live = &mut self.subjects.at(subject).live;
        live.retain(|known| *known != (purpose as u16, version));
        if is_assignment {
            live.push((purpose as u16, version));
        }
        sink(purpose, pseudonym, row);
    }

    /// INV-1: nothing is assigned while the gate withholds.
    fn judge_assignment(
        &mut self,
        entry: &AuditEntry,
        effect: &Effect,
        subject: usize,
        review: &BatchUnderReview<'_>,
        findings: &mut Findings,
    ) {
        let Some(terms) = review.terms[usize::from(effect.purpose)] else { return };
        self.look_for_held_out(subject, terms.purpose, review, findings);
        let view = &self.subjects.at(subject).consent;
        let verdict = view.verdict(terms, None, review.batch.decided_at);
        let stands = view.is_sure() || view.version() == entry.consent_version;
        match verdict {
            Some(own) if stands && !own.allows() => {
                let place = (self.setup.audit, self.number, review.offset);
                let detail =
                    format!("an assignment was written, but the gate says {}", own.symbol());
                findings.violation(Invariant::Consent, place, detail);
                self.subjects.at(subject).reported.push(terms.purpose as u16);
            }
            Some(_) if stands => {}
            _ => findings.unchecked(Unchecked::StandingUnknown, 1),
        }
    }

    /// INV-10: whoever the rulebook holds out gets no assignment, whatever the gate allows.
    fn look_for_held_out(
        &mut self,
        subject: usize,
        purpose: usize,
        review: &BatchUnderReview<'_>,
        findings: &mut Findings,
    ) {
        let id = &self.setup.purposes[purpose];
        let declared = review.rulebook.and_then(|it| Some(&it.purposes[it.purpose_index(id)?]));
        let Some(holdout) = declared.and_then(|it| it.measure.as_ref()) else { return };
        let key = &self.subjects.at(subject).key;
        if holdout.takes(self.setup.keys.holdout_number(purpose, key)) {
            let place = (self.setup.audit, self.number, review.offset);
            let detail = format!("an assignment was written for a subject who is held out of {id}");
            findings.violation(Invariant::Deterministic, place, detail);
        }
    }

    /// INV-4: what is withheld is not live any more when the entry that says so ends.
    fn look_for_left_keys(
        &mut self,
        subject: usize,
        review: &BatchUnderReview<'_>,
        place: (&str, i32, i64),
        findings: &mut Findings,
    ) {
        let purposes = self.setup.purposes;
        let subject = self.subjects.at(subject);
        if subject.live.is_empty() || !subject.consent.is_sure() {
            return;
        }
        for (id, terms) in review.batch.purposes.iter().zip(&review.terms) {
            let Some(terms) = terms else { continue };
            let purpose = terms.purpose as u16;
            let is_live = subject.live.iter().any(|(of, _)| *of == purpose);
            if !is_live || subject.reported.contains(&purpose) {
                continue;
            }
            debug_assert_eq!(purposes[terms.purpose], *id);
            let verdict = subject.consent.verdict(*terms, None, review.batch.decided_at);
            if let Some(own) = verdict.filter(|own| !own.allows()) {
                let detail = format!(
                    "{id} is withheld from here on ({}), but its live key has no tombstone",
                    own.symbol()
                );
                findings.violation(Invariant::OptOut, place, detail);
                subject.reported.push(purpose);
            }
        }
    }
}

/// What the model makes of a record; `None`: it can't tell.
fn expected_outcome(
    view: &ConsentView,
    kept: &Kept,
    review: &BatchUnderReview<'_>,
) -> Option<Outcome> {
    review.rulebook?;
    view.outcome(&review.declared, kept)
}

/// A record that was held to be unreadable harms nobody, whatever else the model makes of it.
fn is_laxer(found: Outcome, expected: Outcome) -> bool {
    found != expected && found != Outcome::Unreadable
}

/// How many purposes the audit withholds for a signal, where the topics show none that binds. Assent may
/// have let it give way: then it binds whoever first appears.
pub(super) fn bound_unseen(
    entry: &AuditEntry,
    review: &BatchUnderReview<'_>,
    own: impl Fn(Terms) -> Option<Verdict>,
) -> u64 {
    let judged = entry.verdicts.iter().zip(&review.terms);
    let bound = judged.filter(|(verdict, _)| **verdict == Verdict::OptOutSignal);
    bound.filter(|(_, terms)| terms.and_then(&own).is_some_and(Verdict::allows)).count() as u64
}

/// Each purpose that the audit allows, and the gate withholds, as one text.
pub(super) fn disagreements(
    entry: &AuditEntry,
    review: &BatchUnderReview<'_>,
    mut own: impl FnMut(Terms) -> Option<Verdict>,
) -> Option<String> {
    let allowed = entry.verdicts.iter().zip(&review.terms).zip(&review.batch.purposes);
    let wrong: Vec<String> = allowed
        .filter(|((verdict, _), _)| verdict.allows())
        .filter_map(|((verdict, terms), id)| {
            let own = own((*terms)?).filter(|own| !own.allows())?;
            let (audited, own) = (verdict.symbol(), own.symbol());
            Some(format!("{id}: the audit says {audited}, the gate says {own}"))
        })
        .collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}
