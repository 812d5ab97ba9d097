//! A record of the consent changelog: it changes what its subject allows, and every purpose is judged
//! again.

use super::scope::Scope;
use crate::domain::audit::Change;
use crate::domain::consent::ConsentRecord;
use crate::domain::event::SignalSource;
use crate::domain::gate;
use crate::domain::outcome::{InputKind, Outcome};
use crate::domain::time::Timestamp;
use crate::engine::batch::OpenBatch;
use crate::engine::input::{ConsentBody, ConsentInput, Rejection};
use crate::engine::ledger::Ledger;
use crate::engine::mandate::Mandate;
use crate::engine::output::{InputTopic, OptOut};
use crate::engine::partition::Partition;
use crate::engine::revise::{Occasion, Reviser};
use crate::engine::subject::Subject;
use crate::engine::work::Work;

impl OpenBatch {
    /// Takes one record of the consent changelog.
    pub fn consent(&mut self, input: &ConsentInput<'_>) {
        match &input.body {
            ConsentBody::Heartbeat { source } => {
                self.work.count_heartbeat();
                if let Some(source) = source {
                    self.note_sign(source, input);
                }
            }
            ConsentBody::Forwarded => {
                end_without_subject(&mut self.work, input, Outcome::Forwarded);
            }
            ConsentBody::DeadLettered(rejection) => {
                dead_letter(&mut self.work, input, rejection);
                end_without_subject(&mut self.work, input, Outcome::DeadLettered);
            }
            ConsentBody::Erasure => erase(&mut self.scope(), input),
            ConsentBody::Record(record) => {
                self.note_sign(&record.source, input);
                apply_record(&mut self.scope(), input, record);
            }
            ConsentBody::Unreadable(rejection) => {
                dead_letter(&mut self.work, input, rejection);
                decide_consent(&mut self.scope(), input, None, |subject| {
                    subject.consent.mark_undecodable();
                    Outcome::Unreadable
                });
            }
        }
    }

    fn note_sign(&mut self, source: &str, input: &ConsentInput<'_>) {
        let Partition { mandate, state, .. } = &mut self.partition;
        if mandate.setup.sources.iter().any(|configured| configured == source) {
            self.work.signs_changed |= note_sign(&mut state.ledger, source, input.append_time);
        }
    }
}

/// A source's heartbeat or record shows that its way to here works. Is it the latest one?
fn note_sign(ledger: &mut Ledger, source: &str, at: Timestamp) -> bool {
    let last = ledger.last_signs.entry(source.to_owned()).or_insert(Timestamp::MIN);
    let is_later = *last < at;
    *last = at.max(*last);
    is_later
}

fn dead_letter(work: &mut Work, input: &ConsentInput<'_>, rejection: &Rejection) {
    work.dead_letter(InputTopic::Consent, input.offset, input.payload, rejection);
}

fn end_without_subject(work: &mut Work, input: &ConsentInput<'_>, outcome: Outcome) {
    work.end_entry(InputKind::Consent, Some(input.offset), outcome, None, None);
}

/// Of somebody of whom nothing is kept it may be meant for another key: counted.
fn erase(scope: &mut Scope<'_>, input: &ConsentInput<'_>) {
    let mut is_unknown = false;
    decide_consent(scope, input, None, |subject| {
        is_unknown = subject.is_blank();
        subject.consent.erase(input.append_time);
        Outcome::Erased
    });
    if is_unknown {
        scope.work.count_erasure_of_unknown();
    }
}

fn apply_record(scope: &mut Scope<'_>, input: &ConsentInput<'_>, record: &ConsentRecord) {
    let (mandate, names) = (scope.mandate, scope.names);
    let veil = |purpose: &str| mandate.setup.veil(purpose);
    let mut signals = false;
    decide_consent(scope, input, Some(record.recorded_at), |subject| {
        signals = record.opt_out_signal_at.is_some() && !subject.consent.is_outdated(record);
        subject.consent.apply(record, input.append_time, names, &veil, &mandate.declared)
    });
    if signals {
        scope.work.count_signal(SignalSource::Record);
    }
}

/// Changes a subject's consent, judges every purpose again, and ends the entry.
fn decide_consent(
    scope: &mut Scope<'_>,
    input: &ConsentInput<'_>,
    recorded_at: Option<Timestamp>,
    change: impl FnOnce(&mut Subject) -> Outcome,
) {
    let keys = &scope.mandate.setup.keys;
    let audit_token = keys.audit_token(input.key);
    let place = scope.touch(keys.state_token(input.key), Some(input.key));
    let Scope { mandate, at_hand, work, .. } = scope;
    let subject = &mut at_hand[place].subject;
    // An erasure takes signals with it, kept or not.
    if !matches!(input.body, ConsentBody::Erasure) {
        subject.consent.make_up_for(work.unkept);
    }
    subject.audit_token = Some(audit_token);
    let outcome = change(subject);
    let erased = outcome == Outcome::Erased;
    Reviser { mandate, work }.revise_all(subject, Occasion { subject_id: Some(input.key), erased });
    if matches!(outcome, Outcome::Applied | Outcome::Erased | Outcome::Unreadable) {
        standing_verdicts(mandate, subject, work);
    }
    if work.effects.iter().any(|effect| matches!(effect.change, Change::Removed(_))) {
        work.opt_outs.push(OptOut { append_time: input.append_time, recorded_at });
    }
    let version = subject.consent.version();
    work.end_entry(InputKind::Consent, Some(input.offset), outcome, Some(audit_token), version);
}

fn standing_verdicts(mandate: &Mandate, subject: &Subject, work: &mut Work) {
    for place in mandate.places() {
        work.verdicts.push(gate::decide_standing(&subject.consent, place.terms, work.now));
    }
}
