//! Who is held out of a purpose, and when somebody comes in or converts: of those held out and of the others alike
//! (docs/contract/rulebook.md#measure).

use super::lift::{Lift, Month, Trial};
use super::policy::Policy;
use super::revise::Reviser;
use super::subject::{PurposeState, Subject};
use super::token::StateToken;
use assent_contract::domain::event::Click;
use assent_contract::domain::outcome::TombstoneReason;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Purpose;

impl PurposeState {
    /// When what is kept to measure ends by time alone.
    pub fn trial_ends_at(&self, purpose: &Purpose) -> Option<Timestamp> {
        let trial = self.trial.filter(|trial| !trial.is_in)?;
        Some(trial.ends_at(purpose.measure.as_ref()?))
    }

    /// A segment holds, and it is not counted yet.
    pub fn awaits_trial(&self, purpose: &Purpose) -> bool {
        purpose.measure.is_some() && self.trial.is_none_or(|trial| !trial.is_in)
    }

    /// No segment holds.
    pub fn leave_trial(&mut self, purpose: &Purpose, now: Timestamp) {
        let Some(trial) = &mut self.trial else { return };
        trial.is_in = false;
        if purpose.measure.as_ref().is_none_or(|holdout| trial.ends_at(holdout) <= now) {
            self.trial = None;
        }
    }
}

impl Policy {
    /// Does the subject get no assignment for this purpose, whatever holds?
    pub fn holds_out(&self, index: usize, token: StateToken) -> bool {
        let Some(rule) = self.purposes()[index].rule else { return false };
        let holdout = self.setup.rulebook.purposes[rule].measure.as_ref();
        holdout.is_some_and(|it| it.takes(self.setup.keys.holdout_number(rule, token)))
    }
}

impl Reviser<'_> {
    /// A segment holds for a subject who is held out: nothing is assigned. What is live is of an earlier
    /// rulebook, which held nobody out, or fewer.
    pub fn hold_out(&mut self, state: &mut PurposeState, index: usize) {
        self.remove_live(state, index, TombstoneReason::RulebookChanged);
    }

    /// A segment holds: counts the subject from the moment on at which an assignment can be written. Returns
    /// whether that has to wait: for the gate, or for a key.
    pub fn begin_trial(
        &mut self,
        state: &mut PurposeState,
        index: usize,
        is_held_out: bool,
    ) -> bool {
        let Some(purpose) = self.policy.rule(index) else { return false };
        let Some(holdout) = &purpose.measure else {
            state.trial = None;
            return false;
        };
        if state.trial.is_some_and(|trial| trial.is_in) {
            return false;
        }
        let now = self.log.now;
        if !self.log.gate_open || state.pseudonym.version() != self.policy.setup.keys.active() {
            return true;
        }
        match &mut state.trial {
            Some(trial)
                if trial.is_measured_at(now, holdout)
                    || Month::of(trial.since) == Month::of(now) =>
            {
                trial.is_in = true;
            }
            trial => {
                *trial = Some(Trial { since: now, is_in: true, has_converted: false });
                let (treated, held_out) = if is_held_out { (0, 1) } else { (1, 0) };
                self.count_lift(index, now, Lift { treated, held_out, ..Lift::default() });
            }
        }
        false
    }

    /// Does an allowed click follow an assignment, as the rulebook counts it?
    pub fn converts(&self, subject: &Subject, index: usize, click: &Click<'_>) -> bool {
        let t = click.occurred_at.min(self.log.now);
        let holdout = self.policy.rule(index).and_then(|rule| rule.measure.as_ref());
        let trial = || subject.purpose(self.policy.terms(index).name)?.trial;
        holdout.is_some_and(|it| trial().is_some_and(|trial| trial.is_converted_by(click, t, it)))
    }

    /// Counts an allowed click that does.
    pub fn convert(
        &mut self,
        subject: &mut Subject,
        index: usize,
        click: &Click<'_>,
        token: StateToken,
    ) {
        if !self.converts(subject, index, click) {
            return;
        }
        let name = self.policy.terms(index).name;
        let state = subject.purposes.iter_mut().find(|state| state.name == name);
        let Some(trial) = state.and_then(|state| state.trial.as_mut()) else { return };
        trial.has_converted = true;
        let since = trial.since;
        let is_held_out = self.policy.holds_out(index, token);
        let (converted_treated, converted_held_out) = if is_held_out { (0, 1) } else { (1, 0) };
        let lift = Lift { converted_treated, converted_held_out, ..Lift::default() };
        self.count_lift(index, since, lift);
    }

    fn count_lift(&mut self, index: usize, since: Timestamp, lift: Lift) {
        let of = (Month::of(since), self.policy.purposes()[index].id.clone());
        self.log.lifts.entry(of).or_default().add(lift);
    }
}
