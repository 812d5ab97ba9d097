//! A subject's purposes are judged again: tombstones where the gate withholds, assignments where it
//! allows. Keeps INV-1, INV-4 and INV-13.

use super::lease::{self, Terms};
use super::mandate::Mandate;
use super::output::Output;
use super::subject::{Assigned, PurposeState, Subject};
use super::window::Counters;
use super::work::Work;
use crate::domain::audit::{Change, Effect, chain};
use crate::domain::gate;
use crate::domain::invariants::Violation;
use crate::domain::outcome::{Basis, InputKind, Outcome, TombstoneReason, Verdict};
use crate::domain::pseudonym::Pseudonym;
use crate::domain::rules::{Purpose, SegmentSet};
use crate::domain::segment::AssignmentBody;

/// Whoever revises: the rules, and the batch that takes the effects.
pub struct Reviser<'a> {
    pub mandate: &'a Mandate,
    pub work: &'a mut Work,
}

/// How a subject came to be revised.
#[derive(Clone, Copy)]
pub struct Occasion<'a> {
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
    pub fn revise_all(&mut self, subject: &mut Subject, occasion: Occasion<'_>) {
        subject.agenda.deferred = false;
        for index in 0..self.mandate.places().len() {
            self.revise(subject, index, occasion);
        }
    }

    /// Judges one purpose again.
    pub fn revise(&mut self, subject: &mut Subject, index: usize, occasion: Occasion<'_>) {
        let terms = self.mandate.terms(index);
        let verdict = gate::decide_standing(&subject.consent, terms, self.work.now);
        match (verdict.basis(), self.mandate.rule(index)) {
            (Some(basis), Some(purpose)) => self.allow(subject, index, purpose, basis, occasion),
            _ => self.withhold(subject, index, verdict, occasion),
        }
    }

    /// INV-4: the live key has its tombstone and the counters are gone, in the same batch.
    fn withhold(
        &mut self,
        subject: &mut Subject,
        index: usize,
        verdict: Verdict,
        occasion: Occasion<'_>,
    ) {
        let terms = self.mandate.terms(index);
        let name = terms.name;
        // What time alone lifts, a timer does, who must know the pseudonym.
        let may_be_allowed_later = gate::is_lifted_by_time(verdict, &subject.consent, terms);
        if may_be_allowed_later {
            self.ensure_state(subject, index, occasion);
        }
        let Some(at) = subject.purposes.iter().position(|state| state.name == name) else { return };
        let reason = if occasion.erased {
            TombstoneReason::Erasure
        } else {
            self.why_withheld(index, verdict)
        };
        self.remove_live(&mut subject.purposes[at], index, reason);
        if may_be_allowed_later {
            let state = &mut subject.purposes[at];
            state.counters = Counters::default();
            self.change_key(state, index, occasion);
        } else {
            subject.purposes.remove(at);
        }
    }

    fn why_withheld(&self, index: usize, verdict: Verdict) -> TombstoneReason {
        match (verdict, self.mandate.rule(index)) {
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
        occasion: Occasion<'_>,
    ) {
        let place = self.mandate.terms(index);
        let now = self.work.now;
        self.ensure_state(subject, index, occasion);
        let Some(terms) = Terms::of(subject, place) else { return };
        let Some(state) = subject.purposes.iter_mut().find(|state| state.name == place.name) else {
            return;
        };
        state.counters.prune(purpose, now);
        let retired = self.change_key(state, index, occasion);
        let segments = state.counters.segments(purpose, terms.age_band, now);
        if segments == 0 {
            let left = self.why_left(state, purpose);
            self.remove_live(state, index, left);
        } else {
            let wanted =
                terms.assign(segments, basis, now, self.mandate.setup.lease, self.mandate.edition);
            subject.agenda.deferred |= self.assign_if_due(state, index, purpose, &terms, wanted);
        }
        if let Some(Retired { pseudonym }) = retired {
            self.bury(index, pseudonym, TombstoneReason::KeyRetired);
        }
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
        let now = self.work.now;
        if !lease::is_due(state.live.as_ref(), &wanted, terms, now, self.mandate.setup.lease) {
            return false;
        }
        let emitted = state.pseudonym.version() == self.mandate.setup.keys.active();
        if self.work.gate_open && emitted {
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
            Some(live) if self.mandate.took_away(live, purpose) => TombstoneReason::RulebookChanged,
            _ => TombstoneReason::SegmentsLeft,
        }
    }

    /// A timer has no raw id to compute a pseudonym from, so one is kept from the moment at which
    /// the purpose may be used.
    pub fn ensure_state(&self, subject: &mut Subject, index: usize, occasion: Occasion<'_>) {
        let place = &self.mandate.places()[index];
        let (Some(subject_id), Some(rule)) = (occasion.subject_id, place.rule) else { return };
        let name = place.terms.name;
        if let Err(at) = subject.purposes.binary_search_by_key(&name, |state| state.name) {
            let pseudonym = self.mandate.setup.keys.pseudonym(rule, subject_id);
            let counters = Counters::default();
            subject.purposes.insert(at, PurposeState { name, pseudonym, counters, live: None });
        }
    }

    /// Moves a purpose to the active key where the raw id is known. What is live under the old one
    /// is for the caller to remove, after the new assignment (docs/contract/pseudonyms.md#rotation);
    /// while the gate is closed and none can be written, it stays.
    fn change_key(
        &mut self,
        state: &mut PurposeState,
        index: usize,
        occasion: Occasion<'_>,
    ) -> Option<Retired> {
        let keys = &self.mandate.setup.keys;
        let (subject_id, rule) = (occasion.subject_id?, self.mandate.places()[index].rule?);
        let held_back = state.live.is_some() && !self.work.gate_open;
        if state.pseudonym.version() == keys.active() || held_back {
            return None;
        }
        let old = std::mem::replace(&mut state.pseudonym, keys.pseudonym(rule, subject_id));
        state.live.take().map(|_| Retired { pseudonym: old })
    }

    /// Ends what is under a key that is no longer emitted, where nobody will say whose it is.
    pub fn end_old_keys(&mut self, subject: &mut Subject) {
        let active = self.mandate.setup.keys.active();
        for index in 0..self.mandate.places().len() {
            let name = self.mandate.terms(index).name;
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
            rulebook: &self.mandate.setup.rulebook.version,
        }
        .encode(&mut body);
        self.work.effects.push(Effect {
            purpose: index as u16,
            key_version: state.pseudonym.version(),
            change: Change::Assigned(chain::body_hash(&body)),
        });
        self.work.count_assignment(index as u16);
        self.work.outputs.push(Output::Assignment { purpose: index as u16, pseudonym, body });
        state.live = Some(wanted);
    }

    /// A purpose that breaks an invariant is removed, and its counters too where the gate withholds:
    /// others' opt-outs must not wait for it, and what is wrong about it must not go on (INV-4). An
    /// entry of its own.
    pub fn mend(&mut self, subject: &mut Subject, index: usize, violation: Violation) {
        self.work.violations.mended.push(violation);
        let (terms, version) = (self.mandate.terms(index), subject.consent.version());
        let verdict = gate::decide_standing(&subject.consent, terms, self.work.now);
        let found = subject.purposes.iter_mut().find(|state| state.name == terms.name);
        let Some(state) = found else { return };
        let reason = if verdict.allows() {
            TombstoneReason::SegmentsLeft
        } else {
            state.counters = Counters::default();
            self.why_withheld(index, verdict)
        };
        self.remove_live(state, index, reason);
        if !self.work.effects.is_empty() {
            let (kind, outcome) = (InputKind::Upkeep, Outcome::Revised);
            self.work.end_entry(kind, None, outcome, subject.audit_token, version);
        }
    }

    fn remove_live(&mut self, state: &mut PurposeState, index: usize, reason: TombstoneReason) {
        if state.live.take().is_some() {
            self.bury(index, state.pseudonym, reason);
        }
    }

    fn bury(&mut self, index: usize, pseudonym: Pseudonym, reason: TombstoneReason) {
        self.work.effects.push(Effect::removed(index as u16, pseudonym.version(), reason));
        self.work.count_tombstone(index as u16, reason);
        self.work.outputs.push(Output::Tombstone {
            purpose: index as u16,
            pseudonym: pseudonym.text(),
            reason,
            decided_at: self.work.now,
        });
    }
}

fn segment_ids(purpose: &Purpose, segments: SegmentSet) -> Vec<&str> {
    let holds = |bit: &usize| segments >> bit & 1 == 1;
    (0..purpose.segments.len()).filter(holds).map(|bit| purpose.segments[bit].id.as_str()).collect()
}
