//! A record of the consent changelog: it changes what its subject allows, and every purpose is judged
//! again.

use super::scope::Scope;
use crate::engine::batch::OpenBatch;
use crate::engine::batch_log::BatchLog;
use crate::engine::input::{ConsentBody, ConsentInput, Rejection};
use crate::engine::ledger::Ledger;
use crate::engine::output::{InputTopic, OptOut};
use crate::engine::partition::Partition;
use crate::engine::policy::Policy;
use crate::engine::revise::{Reviser, Trigger};
use crate::engine::subject::Subject;
use assent_contract::domain::audit::Change;
use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::event::SignalSource;
use assent_contract::domain::gate;
use assent_contract::domain::outcome::{InputKind, Outcome};
use assent_contract::domain::time::Timestamp;

impl OpenBatch {
    /// Takes one record of the consent changelog.
    pub fn consent(&mut self, input: &ConsentInput<'_>) {
        match &input.body {
            ConsentBody::Heartbeat { source } => {
                self.log.count_heartbeat();
                if let Some(source) = source {
                    self.note_sign(source, input);
                }
            }
            ConsentBody::Forwarded => {
                end_without_subject(&mut self.log, input, Outcome::Forwarded);
            }
            ConsentBody::DeadLettered(rejection) => {
                dead_letter(&mut self.log, input, rejection);
                end_without_subject(&mut self.log, input, Outcome::DeadLettered);
            }
            ConsentBody::Erasure => erase(&mut self.scope(), input),
            ConsentBody::Record(record) => {
                self.note_sign(&record.source, input);
                apply_record(&mut self.scope(), input, record);
            }
            ConsentBody::Unreadable(rejection) => {
                dead_letter(&mut self.log, input, rejection);
                decide_consent(&mut self.scope(), input, None, |subject| {
                    subject.consent.mark_undecodable();
                    Outcome::Unreadable
                });
            }
        }
    }

    fn note_sign(&mut self, source: &str, input: &ConsentInput<'_>) {
        let Partition { policy, state, .. } = &mut self.partition;
        if policy.setup.sources.iter().any(|configured| configured == source) {
            self.log.signs_changed |= note_sign(&mut state.ledger, source, input.append_time);
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

fn dead_letter(log: &mut BatchLog, input: &ConsentInput<'_>, rejection: &Rejection) {
    log.dead_letter(InputTopic::Consent, input.offset, input.payload, rejection);
}

fn end_without_subject(log: &mut BatchLog, input: &ConsentInput<'_>, outcome: Outcome) {
    log.end_entry(InputKind::Consent, Some(input.offset), outcome, None, None);
}

/// Erases a subject. An erasure of an unknown subject is counted: its key may be wrong.
fn erase(scope: &mut Scope<'_>, input: &ConsentInput<'_>) {
    let mut is_unknown = false;
    decide_consent(scope, input, None, |subject| {
        is_unknown = subject.is_blank();
        subject.consent.erase(input.append_time);
        Outcome::Erased
    });
    if is_unknown {
        scope.log.count_erasure_of_unknown();
    }
}

fn apply_record(scope: &mut Scope<'_>, input: &ConsentInput<'_>, record: &ConsentRecord) {
    let (policy, names) = (scope.policy, scope.names);
    let undeclared_token = |purpose: &str| policy.setup.undeclared_token(purpose);
    let mut signals = false;
    decide_consent(scope, input, Some(record.recorded_at), |subject| {
        signals = record.opt_out_signal_at.is_some() && !subject.consent.is_outdated(record);
        subject.consent.apply(record, input.append_time, names, &undeclared_token, &policy.declared)
    });
    if signals {
        scope.log.count_signal(SignalSource::Record);
    }
}

/// Changes a subject's consent, judges every purpose again, and ends the entry.
fn decide_consent(
    scope: &mut Scope<'_>,
    input: &ConsentInput<'_>,
    recorded_at: Option<Timestamp>,
    change: impl FnOnce(&mut Subject) -> Outcome,
) {
    let keys = &scope.policy.setup.keys;
    let audit_token = keys.audit_token(input.key);
    let token = keys.state_token(input.key);
    let place = scope.touch(token, Some(input.key));
    let Scope { policy, at_hand, log, .. } = scope;
    let subject = &mut at_hand[place].subject;
    // An earlier input of this batch may have been an erasure that is over by now.
    subject.consent.expire(log.now);
    // An erasure takes signals with it, kept or not.
    if !matches!(input.body, ConsentBody::Erasure) {
        subject.consent.make_up_for(log.unkept);
    }
    subject.audit_token = Some(audit_token);
    let outcome = change(subject);
    let erased = outcome == Outcome::Erased;
    let trigger = Trigger { token, subject_id: Some(input.key), erased };
    Reviser { policy, log }.revise_all(subject, trigger);
    if matches!(outcome, Outcome::Applied | Outcome::Erased | Outcome::Unreadable) {
        standing_verdicts(policy, subject, log);
    }
    let has_removed = log.effects.iter().any(|it| matches!(it.change, Change::Removed(_)));
    if has_removed && !policy.is_canary(token) {
        log.opt_outs.push(OptOut { append_time: input.append_time, recorded_at });
    }
    let version = subject.consent.version();
    log.end_entry(InputKind::Consent, Some(input.offset), outcome, Some(audit_token), version);
}

fn standing_verdicts(policy: &Policy, subject: &Subject, log: &mut BatchLog) {
    for judged in policy.purposes() {
        log.verdicts.push(gate::decide_standing(&subject.consent, judged.terms, log.now));
    }
}
