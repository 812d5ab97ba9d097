//! A subject's purposes are judged again: tombstones where the gate withholds, assignments where it
//! allows. Keeps INV-1, INV-4 and INV-13.

use super::batch_log::BatchLog;
use super::lease::{self, Terms};
use super::output::Output;
use super::policy::Policy;
use super::subject::{Assigned, PurposeState, Subject};
use super::window::Counters;
use assent_contract::domain::audit::{Change, Effect, chain};
use assent_contract::domain::gate;
use assent_contract::domain::invariants::Violation;
use assent_contract::domain::outcome::{Basis, InputKind, Outcome, TombstoneReason, Verdict};
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::domain::segment::AssignmentBody;
use assent_contract::rulebook::{Purpose, SegmentSet};

/// Revises subjects: reads the policy, writes effects to the batch's log.
pub struct Reviser<'a> {
    pub policy: &'a Policy,
    pub log: &'a mut BatchLog,
}

/// How a subject came to be revised.
#[derive(Clone, Copy)]
pub struct Trigger<'a> {
    /// The raw id, where the input named it: a timer has none.
    pub subject_id: Option<&'a [u8]>,
    /// An erasure names itself as every tombstone's reason.
    pub erased: bool,
}

/// What was live under a key that is no longer emitted.
struct Retired {
    pseudonym: Pseudonym,
}

impl Reviser<'_> {
    /// Judges every purpose again.
    pub fn revise_all(&mut self, subject: &mut Subject, trigger: Trigger<'_>) {
        subject.agenda.deferred = false;
        for index in 0..self.policy.purposes().len() {
            self.revise(subject, index, trigger);
        }
    }

    /// Judges one purpose again.
    pub fn revise(&mut self, subject: &mut Subject, index: usize, trigger: Trigger<'_>) {
        let terms = self.policy.terms(index);
        let verdict = gate::decide_standing(&subject.consent, terms, self.log.now);
        match (verdict.basis(), self.policy.rule(index)) {
            (Some(basis), Some(purpose)) => self.allow(subject, index, purpose, basis, trigger),
            _ => self.withhold(subject, index, verdict, trigger),
        }
    }

    /// INV-4: the live key has its tombstone and the counters are gone, in the same batch.
    fn withhold(
        &mut self,
        subject: &mut Subject,
        index: usize,
        verdict: Verdict,
        trigger: Trigger<'_>,
    ) {
        let terms = self.policy.terms(index);
        let name = terms.name;
        // What time alone lifts, a timer does, who must know the pseudonym.
        let may_be_allowed_later = gate::is_lifted_by_time(verdict, &subject.consent, terms);
        if may_be_allowed_later {
            self.ensure_state(subject, index, trigger);
        }
        let Some(at) = subject.purposes.iter().position(|state| state.name == name) else { return };
        let reason = if trigger.erased {
            TombstoneReason::Erasure
        } else {
            self.why_withheld(index, verdict)
        };
        self.remove_live(&mut subject.purposes[at], index, reason);
        if may_be_allowed_later {
            let state = &mut subject.purposes[at];
            (state.counters, state.qualified) = (Counters::default(), 0);
            self.change_key(state, index, trigger);
        } else {
            subject.purposes.remove(at);
        }
    }

    fn why_withheld(&self, index: usize, verdict: Verdict) -> TombstoneReason {
        match (verdict, self.policy.rule(index)) {
            (Verdict::NoConsentRecord, _) => TombstoneReason::Erasure,
            (_, None) => TombstoneReason::RulebookChanged,
            (verdict, Some(_)) => TombstoneReason::Withheld(verdict),
        }
    }

    fn allow(
        &mut self,
        subject: &mut Subject,
        index: usize,
        purpose: &Purpose,
        basis: Basis,
        trigger: Trigger<'_>,
    ) {
        let judged = self.policy.terms(index);
        let now = self.log.now;
        self.ensure_state(subject, index, trigger);
        let Some(terms) = Terms::of(subject, judged) else { return };
        let Some(state) = subject.purposes.iter_mut().find(|state| state.name == judged.name)
        else {
            return;
        };
        state.counters.prune(purpose, now);
        // Whoever is named stays so under another key.
        let named = state.live.map_or(0, |live| self.policy.named_now(&live, purpose));
        let retired = self.change_key(state, index, trigger);
        let qualified = state.counters.segments(purpose, terms.age_band, now);
        let segments = match purpose.min_members {
            None => qualified,
            Some(_) => self.of_audience(state, index, qualified, named),
        };
        if segments == 0 {
            let left = self.why_left(state, purpose);
            self.remove_live(state, index, left);
        } else {
            let wanted =
                terms.assign(segments, basis, now, self.policy.setup.lease, self.policy.edition);
            subject.agenda.deferred |= self.assign_if_due(state, index, purpose, &terms, wanted);
        }
        if let Some(Retired { pseudonym }) = retired {
            self.push_tombstone(index, pseudonym, TombstoneReason::KeyRetired);
        }
    }

    /// Of the segments that a subject is in, those with the audience that the rulebook asks for.
    fn of_audience(
        &self,
        state: &mut PurposeState,
        index: usize,
        qualified: SegmentSet,
        named: SegmentSet,
    ) -> SegmentSet {
        state.qualified = qualified;
        let rule = self.policy.purposes()[index].rule;
        let mask = rule.and_then(|rule| self.log.masks.of_purpose(rule));
        mask.unwrap_or_default().of(qualified, named)
    }

    /// Does what is named of the subject differ from what may be, since a segment opened or closed?
    pub fn awaits_audience(&self, subject: &Subject) -> bool {
        if self.log.masks.is_empty() {
            return false;
        }
        let judged = self.policy.purposes().iter().enumerate();
        judged.filter_map(|(index, it)| Some((index, it.terms.name, it.rule?))).any(
            |(index, name, rule)| {
                let Some(mask) = self.log.masks.of_purpose(rule) else { return false };
                let (Some(state), Some(purpose)) = (subject.purpose(name), self.policy.rule(index))
                else {
                    return false;
                };
                let named = state.live.map_or(0, |live| self.policy.named_now(&live, purpose));
                mask.of(state.qualified, named) != named
            },
        )
    }

    /// Writes what is due, or says that a closed gate, or a key that is no longer emitted, holds it
    /// back; where that outlasts the lease of what is live, the key is removed.
    fn assign_if_due(
        &mut self,
        state: &mut PurposeState,
        index: usize,
        purpose: &Purpose,
        terms: &Terms,
        wanted: Assigned,
    ) -> bool {
        let now = self.log.now;
        if !lease::is_due(state.live.as_ref(), &wanted, terms, now, self.policy.setup.lease) {
            return false;
        }
        let emitted = state.pseudonym.version() == self.policy.setup.keys.active();
        if self.log.gate_open && emitted {
            self.assign(state, index, purpose, wanted);
            return false;
        }
        if state.live.as_ref().is_some_and(|live| live.expires_at <= now) {
            let reason = TombstoneReason::Withheld(Verdict::ConsentStale);
            self.remove_live(state, index, reason);
        }
        true
    }

    /// A segment that time ended, or one that the rulebook took away?
    fn why_left(&self, state: &PurposeState, purpose: &Purpose) -> TombstoneReason {
        match &state.live {
            Some(live) if self.policy.took_away(live, purpose) => TombstoneReason::RulebookChanged,
            _ => TombstoneReason::SegmentsLeft,
        }
    }

    /// A timer has no raw id to compute a pseudonym from, so one is kept from the moment at which
    /// the purpose may be used.
    pub fn ensure_state(&self, subject: &mut Subject, index: usize, trigger: Trigger<'_>) {
        let judged = &self.policy.purposes()[index];
        let (Some(subject_id), Some(rule)) = (trigger.subject_id, judged.rule) else { return };
        let name = judged.terms.name;
        if let Err(at) = subject.purposes.binary_search_by_key(&name, |state| state.name) {
            let pseudonym = self.policy.setup.keys.pseudonym(rule, subject_id);
            let (counters, qualified) = (Counters::default(), 0);
            let state = PurposeState { name, pseudonym, counters, qualified, live: None };
            subject.purposes.insert(at, state);
        }
    }

    /// Moves a purpose to the active key where the raw id is known. What is live under the old one
    /// is for the caller to remove, after the new assignment (docs/contract/pseudonyms.md#rotation);
    /// while the gate is closed and none can be written, it stays.
    fn change_key(
        &mut self,
        state: &mut PurposeState,
        index: usize,
        trigger: Trigger<'_>,
    ) -> Option<Retired> {
        let keys = &self.policy.setup.keys;
        let (subject_id, rule) = (trigger.subject_id?, self.policy.purposes()[index].rule?);
        let must_wait = state.live.is_some() && !self.log.gate_open;
        if state.pseudonym.version() == keys.active() || must_wait {
            return None;
        }
        let old = std::mem::replace(&mut state.pseudonym, keys.pseudonym(rule, subject_id));
        state.live.take().map(|_| Retired { pseudonym: old })
    }

    /// Ends everything under a key that is no longer emitted: its raw id will not be seen again.
    pub fn end_old_keys(&mut self, subject: &mut Subject) {
        let active = self.policy.setup.keys.active();
        for index in 0..self.policy.purposes().len() {
            let name = self.policy.terms(index).name;
            let is_old = |it: &PurposeState| it.name == name && it.pseudonym.version() != active;
            if let Some(at) = subject.purposes.iter().position(is_old) {
                let mut state = subject.purposes.remove(at);
                self.remove_live(&mut state, index, TombstoneReason::KeyRetired);
            }
        }
        // What nobody judges has no live key.
        subject.purposes.retain(|it| it.pseudonym.version() == active || it.live.is_some());
    }

    fn assign(
        &mut self,
        state: &mut PurposeState,
        index: usize,
        purpose: &Purpose,
        wanted: Assigned,
    ) {
        let pseudonym = state.pseudonym.text();
        let mut body = Vec::with_capacity(192);
        AssignmentBody {
            pseudonym: &pseudonym,
            purpose: &purpose.id,
            segments: &segment_ids(purpose, wanted.segments),
            basis: wanted.basis,
            decided_at: wanted.decided_at,
            expires_at: wanted.expires_at,
            rulebook: &self.policy.setup.rulebook.version,
        }
        .encode(&mut body);
        self.log.effects.push(Effect {
            purpose: index as u16,
            key_version: state.pseudonym.version(),
            change: Change::Assigned(chain::body_hash(&body)),
        });
        self.log.count_assignment(index as u16);
        self.log.outputs.push(Output::Assignment { purpose: index as u16, pseudonym, body });
        state.live = Some(wanted);
    }

    /// Removes the live key of a purpose that breaks an invariant, and its counters too if the gate
    /// withholds it (INV-4). Others' opt-outs must not wait for it. Ends an entry of its own.
    pub fn remove_violating(&mut self, subject: &mut Subject, index: usize, violation: Violation) {
        self.log.violations.repaired.push(violation);
        let (terms, version) = (self.policy.terms(index), subject.consent.version());
        let verdict = gate::decide_standing(&subject.consent, terms, self.log.now);
        let found = subject.purposes.iter_mut().find(|state| state.name == terms.name);
        let Some(state) = found else { return };
        let reason = if verdict.allows() {
            TombstoneReason::SegmentsLeft
        } else {
            (state.counters, state.qualified) = (Counters::default(), 0);
            self.why_withheld(index, verdict)
        };
        self.remove_live(state, index, reason);
        if !self.log.effects.is_empty() {
            let (kind, outcome) = (InputKind::Upkeep, Outcome::Revised);
            self.log.end_entry(kind, None, outcome, subject.audit_token, version);
        }
    }

    fn remove_live(&mut self, state: &mut PurposeState, index: usize, reason: TombstoneReason) {
        if state.live.take().is_some() {
            self.push_tombstone(index, state.pseudonym, reason);
        }
    }

    fn push_tombstone(&mut self, index: usize, pseudonym: Pseudonym, reason: TombstoneReason) {
        self.log.effects.push(Effect::removed(index as u16, pseudonym.version(), reason));
        self.log.count_tombstone(index as u16, reason);
        self.log.outputs.push(Output::Tombstone {
            purpose: index as u16,
            pseudonym: pseudonym.text(),
            reason,
            decided_at: self.log.now,
        });
    }
}

fn segment_ids(purpose: &Purpose, segments: SegmentSet) -> Vec<&str> {
    let holds = |bit: &usize| segments >> bit & 1 == 1;
    (0..purpose.segments.len()).filter(holds).map(|bit| purpose.segments[bit].id.as_str()).collect()
}
