//! A record of the clickstream: judged for every purpose, counted where it is allowed. Most clicks change
//! nothing of their subject, and leave it untouched.

use super::page::show_page;
use super::scope::Scope;
use crate::engine::batch::OpenBatch;
use crate::engine::batch_log::{BatchLog, event_time_ahead};
use crate::engine::input::ClickInput;
use crate::engine::output::InputTopic;
use crate::engine::policy::Policy;
use crate::engine::revise::{Reviser, Trigger};
use crate::engine::subject::Subject;
use assent_contract::domain::audit::AuditToken;
use assent_contract::domain::event::Click;
use assent_contract::domain::gate;
use assent_contract::domain::ids::RESERVED_PREFIX;
use assent_contract::domain::outcome::{InputKind, Outcome};
use assent_contract::domain::time::{Span, Timestamp};

/// A click may lie this far ahead of the clock of its decision (docs/contract/bad-input.md#clicks).
pub const EVENT_TIME_AHEAD_MAX: Span = Span(5 * Span::MINUTE.0);

impl OpenBatch {
    /// Takes one record of the clickstream.
    pub fn click(&mut self, input: &ClickInput<'_>) {
        match &input.click {
            Err(rejection) => {
                let log = &mut self.log;
                log.dead_letter(InputTopic::Clickstream, input.offset, input.payload, rejection);
                let (kind, outcome) = (InputKind::Click, Outcome::DeadLettered);
                log.end_entry(kind, Some(input.offset), outcome, None, None);
            }
            Ok(click) => take_click(&mut self.scope(), input, click),
        }
    }
}

fn take_click(scope: &mut Scope<'_>, input: &ClickInput<'_>, click: &Click<'_>) {
    let outcome = click_outcome(scope.policy, scope.log, input, click);
    let decided = outcome == Outcome::Decided;
    // Of ids that begin so, the canary's alone is read.
    let is_canary = click.subject_id.is_some_and(|id| id.starts_with(RESERVED_PREFIX));
    scope.log.counts_verdicts = !is_canary;
    if decided && !is_canary {
        show_page(scope.policy, scope.sessions, scope.log, click);
    }
    let effect = match click.subject_id {
        Some(subject_id) => use_click(scope, input.offset, click, subject_id.as_bytes(), decided),
        None => ClickEffect::default(),
    };
    let log = &mut *scope.log;
    if decided && log.verdicts.is_empty() {
        for judged in scope.policy.purposes() {
            let (at, now) = (click.occurred_at, log.now);
            let verdict = gate::decide_click(!log.gate_open, None, judged.terms, at, now);
            log.verdicts.push(verdict);
        }
    }
    let version = effect.version.filter(|_| decided);
    log.end_entry(InputKind::Click, Some(input.offset), outcome, effect.named, version);
}

fn click_outcome(
    policy: &Policy,
    log: &mut BatchLog,
    input: &ClickInput<'_>,
    click: &Click<'_>,
) -> Outcome {
    if click.gpc.is_none() {
        log.count_click_without_gpc();
    }
    if click.occurred_at - log.now > EVENT_TIME_AHEAD_MAX {
        let (offset, payload) = (input.offset, input.payload);
        log.dead_letter(InputTopic::Clickstream, offset, payload, &event_time_ahead());
        Outcome::DeadLettered
    } else if policy.setup.rulebook.is_too_late(click.occurred_at, log.now) {
        Outcome::TooLate
    } else {
        Outcome::Decided
    }
}

/// The click's signal binds; where the click is decided and allowed, the counters take it. Most
/// clicks do neither and leave their subject untouched.
fn use_click(
    scope: &mut Scope<'_>,
    offset: i64,
    click: &Click<'_>,
    subject_id: &[u8],
    decided: bool,
) -> ClickEffect {
    if !decided && click.opt_out_signal.is_none() {
        return ClickEffect::default();
    }
    let keys = &scope.policy.setup.keys;
    let token = keys.state_token(subject_id);
    let found = if click.opt_out_signal.is_some() {
        Some(scope.at_hand.take_or_blank(scope.subjects, token))
    } else {
        scope.at_hand.take(scope.subjects, token)
    };
    let Some(place) = found else { return ClickEffect::default() };
    let handled = &mut scope.at_hand[place];
    let mut reviser = Reviser { policy: scope.policy, log: scope.log };
    let settles = !handled.is_open && reviser.has_to_settle(&handled.subject, true);
    if click.opt_out_signal.is_none() && !settles {
        let subject = &handled.subject;
        reviser.judge_click(subject, click);
        if !reviser.is_changed_by(subject, click) {
            let allowed = reviser.log.verdicts.iter().any(|verdict| verdict.allows());
            let named = subject.audit_token.filter(|_| allowed);
            return ClickEffect { named, version: subject.consent.version() };
        }
    }
    reviser.touch(handled, Some(subject_id));
    let subject = &mut handled.subject;
    let now = reviser.log.now;
    let (at, unkept) = (click.occurred_at.min(now), reviser.log.unkept);
    let moved = click.opt_out_signal.is_some_and(|source| {
        reviser.log.count_signal(source);
        subject.consent.expire(now);
        subject.consent.make_up_for(unkept);
        subject.consent.bind(at)
    });
    let trigger = Trigger { token, subject_id: Some(subject_id), erased: false };
    if moved {
        reviser.revise_all(subject, trigger);
    }
    let allowed = decided && reviser.count_click(subject, offset, click, trigger);
    let is_named = moved || allowed || !reviser.log.effects.is_empty();
    let named =
        is_named.then(|| *subject.audit_token.get_or_insert_with(|| keys.audit_token(subject_id)));
    ClickEffect { named, version: subject.consent.version() }
}

/// What a click did to its subject, as far as the audit may name it.
#[derive(Default)]
struct ClickEffect {
    named: Option<AuditToken>,
    version: Option<i64>,
}

impl Reviser<'_> {
    /// Judges a click for every purpose. The verdicts go to the log's current entry.
    fn judge_click(&mut self, subject: &Subject, click: &Click<'_>) {
        let (line_1_holds, at, now) = (!self.log.gate_open, click.occurred_at, self.log.now);
        for judged in self.policy.purposes() {
            let consent = Some(&subject.consent);
            let verdict = gate::decide_click(line_1_holds, consent, judged.terms, at, now);
            self.log.verdicts.push(verdict);
        }
    }

    /// Does a click that was judged change anything of its subject? Most move no counter.
    fn is_changed_by(&self, subject: &Subject, click: &Click<'_>) -> bool {
        let judged = self.policy.purposes().iter().zip(&self.log.verdicts).enumerate();
        let mut allowed = judged.filter(|(_, (_, verdict))| verdict.allows()).peekable();
        let lacks_token = subject.audit_token.is_none() && allowed.peek().is_some();
        lacks_token
            || allowed.any(|(index, (judged, _))| {
                self.policy.rule(index).is_some_and(|rule| rule.counts(click))
                    || subject.purpose(judged.terms.name).is_none()
                    || self.converts(subject, index, click)
            })
    }

    /// Counts a decided click for every purpose that allows it; judges it, unless it was judged
    /// before. Returns whether any purpose allowed it.
    fn count_click(
        &mut self,
        subject: &mut Subject,
        offset: i64,
        click: &Click<'_>,
        trigger: Trigger<'_>,
    ) -> bool {
        if self.log.verdicts.is_empty() {
            self.judge_click(subject, click);
        }
        let t = click.occurred_at.min(self.log.now);
        let mut allowed = false;
        for index in 0..self.log.verdicts.len() {
            if self.log.verdicts[index].allows() {
                allowed = true;
                self.ensure_state(subject, index, trigger);
                self.convert(subject, index, click, trigger.token);
                self.observe(subject, index, click, t, offset, trigger);
            }
        }
        allowed
    }

    fn observe(
        &mut self,
        subject: &mut Subject,
        index: usize,
        click: &Click<'_>,
        t: Timestamp,
        offset: i64,
        trigger: Trigger<'_>,
    ) {
        let (name, now) = (self.policy.terms(index).name, self.log.now);
        let Some(purpose) = self.policy.rule(index) else { return };
        let state = subject.purposes.iter_mut().find(|state| state.name == name);
        if state.is_some_and(|state| state.counters.observe(purpose, click, t, offset, now)) {
            self.revise(subject, index, trigger);
        }
    }
}
