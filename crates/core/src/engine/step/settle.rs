//! What is due of a subject before its input, or without one: time, a new rulebook, a new key, a lost
//! signal, a segment that opened or closed.

use crate::engine::at_hand::Handled;
use crate::engine::revise::{Reviser, Trigger};
use crate::engine::stats::Counted;
use crate::engine::subject::Subject;
use assent_contract::domain::outcome::{InputKind, Outcome};

impl Reviser<'_> {
    /// Does time, a new rulebook, a new key or a lost signal ask for a look at it before anything else?
    pub fn has_to_settle(&self, subject: &Subject, is_named: bool) -> bool {
        subject.agenda.is_due(self.log.now, self.log.gate_open)
            || self.wants_upkeep(subject, is_named)
    }

    /// `is_named`: the raw id is at hand, so that keys can be moved.
    fn wants_upkeep(&self, subject: &Subject, is_named: bool) -> bool {
        self.policy.is_outdated(subject)
            || (is_named && self.policy.has_old_key(subject))
            || self.misses_signal(subject)
            || self.awaits_audience(subject)
    }

    /// Without a record nothing is used, and the next one to come binds it.
    fn misses_signal(&self, subject: &Subject) -> bool {
        self.log.unkept.lost_at.is_some_and(|lost_at| {
            subject.consent.record.is_some() && subject.consent.may_miss_signal(lost_at)
        })
    }

    /// The first touch of a subject in a batch settles what time, a new rulebook or a new key made due,
    /// as an entry of its own.
    pub fn touch(&mut self, handled: &mut Handled, subject_id: Option<&[u8]>) {
        if handled.is_open {
            return;
        }
        handled.is_open = true;
        let is_canary = self.policy.is_canary(handled.token);
        let subject = &mut handled.subject;
        let is_counted = !subject.is_blank() && subject.signal_only().is_none();
        handled.before = is_counted.then(|| Counted::of(subject, is_canary));
        if self.has_to_settle(subject, subject_id.is_some()) {
            let upkeep = self.wants_upkeep(subject, subject_id.is_some());
            let kind = if upkeep { InputKind::Upkeep } else { InputKind::Timer };
            self.settle(subject, kind, subject_id);
        }
    }

    /// What is due of a subject without an input, as an entry of its own where it had an effect.
    pub fn settle(&mut self, subject: &mut Subject, kind: InputKind, subject_id: Option<&[u8]>) {
        subject.consent.expire(self.log.now);
        if self.misses_signal(subject) {
            subject.consent.make_up_for(self.log.unkept);
        }
        if let (Some(token), Some(subject_id)) = (&mut subject.audit_token, subject_id) {
            *token = self.policy.setup.keys.audit_token(subject_id);
        }
        self.revise_all(subject, Trigger { subject_id, erased: false });
        if !self.log.effects.is_empty() {
            let outcome =
                if kind == InputKind::Upkeep { Outcome::Revised } else { Outcome::Elapsed };
            let version = subject.consent.version();
            self.log.end_entry(kind, None, outcome, subject.audit_token, version);
        }
    }
}
