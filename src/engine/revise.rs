//! A subject's purposes are judged again: tombstones where the gate withholds, assignments where it
//! allows. Keeps INV-1, INV-4 and INV-13.

use super::output::Output;
use super::partition::Setup;
use super::subject::{Assigned, PurposeState, Subject};
use super::work::Work;
use crate::domain::audit::{Change, Effect, chain};
use crate::domain::consent::{AgeBand, ConsentStatus};
use crate::domain::gate::{self, PurposeTerms};
use crate::domain::outcome::{Basis, TombstoneReason, Verdict};
use crate::domain::rules::{Purpose, SegmentSet};
use crate::domain::segment::AssignmentBody;
use crate::domain::time::{Span, Timestamp};

/// Whoever revises: the rules, and the batch that takes the effects.
pub struct Reviser<'a> {
    pub setup: &'a Setup,
    pub terms: &'a [PurposeTerms],
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

impl Occasion<'_> {
    pub const TIME: Self = Self { subject_id: None, erased: false };
}

impl Reviser<'_> {
    /// Judges every purpose again.
    pub fn revise_all(&mut self, subject: &mut Subject, occasion: Occasion<'_>) {
        subject.deferred = false;
        for index in 0..self.terms.len() {
            self.revise(subject, index, occasion);
        }
    }

    /// Judges one purpose again.
    pub fn revise(&mut self, subject: &mut Subject, index: usize, occasion: Occasion<'_>) {
        let verdict = gate::decide_standing(&subject.consent, self.terms[index], self.work.now);
        match verdict.basis() {
            Some(basis) => self.allow(subject, index, basis, occasion),
            None => self.withhold(subject, index, verdict, occasion),
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
        let name = self.terms[index].name;
        let version = subject.consent.version();
        // Line 11 alone is lifted by time: then a timer must know the pseudonym.
        let may_be_allowed_later = verdict == Verdict::CollectedBeforeConsent;
        if may_be_allowed_later {
            self.ensure_state(subject, index, occasion);
        }
        let Some(at) = subject.purposes.iter().position(|state| state.name == name) else { return };
        let reason = match (occasion.erased, verdict) {
            (true, _) | (false, Verdict::NoConsentRecord) => TombstoneReason::Erasure,
            (false, verdict) => TombstoneReason::Withheld(verdict),
        };
        self.remove_live(&mut subject.purposes[at], index, reason, version);
        if may_be_allowed_later {
            subject.purposes[at].counters = super::window::Counters::default();
        } else {
            subject.purposes.remove(at);
        }
    }

    fn allow(&mut self, subject: &mut Subject, index: usize, basis: Basis, occasion: Occasion<'_>) {
        self.ensure_state(subject, index, occasion);
        let Some(terms) = Terms::of(subject, self.terms[index]) else { return };
        let setup = self.setup;
        let purpose = &setup.rulebook.purposes[index];
        let now = self.work.now;
        let Some(state) = subject.purposes.iter_mut().find(|s| s.name == self.terms[index].name)
        else {
            return;
        };
        state.counters.prune(purpose, now);
        let segments = state.counters.segments(purpose, terms.age_band, now);
        if segments == 0 {
            self.remove_live(state, index, TombstoneReason::SegmentsLeft, Some(terms.version));
            return;
        }
        let wanted = terms.assign(segments, basis, now, setup.lease);
        if !is_due(state.live.as_ref(), &wanted, terms.grant_ends_at, now, setup.lease) {
            return;
        }
        if self.work.gate_open {
            self.assign(state, index, wanted);
        } else {
            subject.deferred = true;
            if state.live.is_some_and(|live| live.expires_at <= now) {
                let reason = TombstoneReason::Withheld(Verdict::ConsentStale);
                self.remove_live(state, index, reason, Some(terms.version));
            }
        }
    }

    /// A timer has no raw id to compute a pseudonym from, so one is kept from the moment at which
    /// the purpose may be used.
    pub fn ensure_state(&self, subject: &mut Subject, index: usize, occasion: Occasion<'_>) {
        let name = self.terms[index].name;
        let Some(subject_id) = occasion.subject_id else { return };
        if let Err(at) = subject.purposes.binary_search_by_key(&name, |state| state.name) {
            let pseudonym = self.setup.keys.pseudonym(index, subject_id);
            let state = PurposeState {
                name,
                pseudonym,
                counters: super::window::Counters::default(),
                live: None,
            };
            subject.purposes.insert(at, state);
        }
    }

    fn assign(&mut self, state: &mut PurposeState, index: usize, wanted: Assigned) {
        let rulebook = &self.setup.rulebook;
        let purpose = &rulebook.purposes[index];
        let pseudonym = state.pseudonym.text();
        let mut body = Vec::with_capacity(192);
        AssignmentBody {
            pseudonym: &pseudonym,
            purpose: &purpose.id,
            segments: &segment_ids(purpose, wanted.segments),
            basis: wanted.basis,
            consent_version: wanted.consent_version,
            decided_at: wanted.decided_at,
            expires_at: wanted.expires_at,
            rulebook: &rulebook.version,
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

    fn remove_live(
        &mut self,
        state: &mut PurposeState,
        index: usize,
        reason: TombstoneReason,
        consent_version: Option<i64>,
    ) {
        if state.live.take().is_none() {
            return;
        }
        self.work.effects.push(Effect::removed(index as u16, state.pseudonym.version(), reason));
        self.work.count_tombstone(index as u16, reason);
        self.work.outputs.push(Output::Tombstone {
            purpose: index as u16,
            pseudonym: state.pseudonym.text(),
            reason,
            decided_at: self.work.now,
            consent_version,
        });
    }
}

/// What an assignment takes from the consent record.
struct Terms {
    version: i64,
    age_band: AgeBand,
    grant_ends_at: Option<Timestamp>,
}

impl Terms {
    fn of(subject: &Subject, purpose: PurposeTerms) -> Option<Self> {
        let record = subject.consent.record.as_ref()?;
        Some(Self {
            version: record.version,
            age_band: record.age_band,
            grant_ends_at: grant_ends_at(subject, purpose),
        })
    }

    fn assign(&self, segments: SegmentSet, basis: Basis, now: Timestamp, lease: Span) -> Assigned {
        Assigned {
            segments,
            basis,
            consent_version: self.version,
            decided_at: now,
            expires_at: ends_at(now, lease, self.grant_ends_at),
        }
    }
}

/// The end of the decision, where its status is GRANTED.
fn grant_ends_at(subject: &Subject, purpose: PurposeTerms) -> Option<Timestamp> {
    let record = subject.consent.record.as_ref()?;
    record
        .decision(purpose.name)
        .filter(|decision| decision.status == ConsentStatus::Granted)
        .and_then(|grant| grant.expires_at)
}

fn ends_at(decided_at: Timestamp, lease: Span, grant_ends_at: Option<Timestamp>) -> Timestamp {
    let lease_ends_at = decided_at + lease;
    grant_ends_at.map_or(lease_ends_at, |end| end.min(lease_ends_at))
}

/// Section 6: written when its content changes or its end becomes earlier, renewed at half its lease.
fn is_due(
    live: Option<&Assigned>,
    wanted: &Assigned,
    grant_ends_at: Option<Timestamp>,
    now: Timestamp,
    lease: Span,
) -> bool {
    let Some(live) = live else { return true };
    let changed = live.segments != wanted.segments
        || live.basis != wanted.basis
        || live.consent_version != wanted.consent_version;
    let ends_earlier = ends_at(live.decided_at, lease, grant_ends_at) < live.expires_at;
    let renewable =
        now >= live.decided_at + Span(lease.0 / 2) && wanted.expires_at > live.expires_at;
    changed || ends_earlier || renewable
}

/// The earliest moment after `now` at which time alone asks for a revision of the subject.
pub fn next_due(
    subject: &Subject,
    setup: &Setup,
    terms: &[PurposeTerms],
    now: Timestamp,
) -> Timestamp {
    let retention = subject.consent.retention_ends_at();
    let purposes = terms.iter().enumerate().filter_map(|(index, &terms)| {
        let state = subject.purpose(terms.name)?;
        let turn = gate::next_turn(&subject.consent, terms, now);
        let window = state.counters.next_change(&setup.rulebook.purposes[index], now);
        let lease = state.live.as_ref().and_then(|live| {
            lease_turn(live, grant_ends_at(subject, terms), setup.lease, subject.deferred)
        });
        turn.into_iter().chain(window).chain(lease).filter(|&at| at > now).min()
    });
    purposes.chain(retention).min().unwrap_or(Timestamp::MAX)
}

/// Does what is live differ from what the rules say now? After a restore: a closed gate held an
/// assignment back, or the lease became shorter.
pub fn is_behind(subject: &Subject, setup: &Setup, terms: &[PurposeTerms], now: Timestamp) -> bool {
    terms.iter().enumerate().any(|(index, &purpose)| {
        let Some(state) = subject.purpose(purpose.name) else { return false };
        let verdict = gate::decide_standing(&subject.consent, purpose, now);
        let (Some(basis), Some(of)) = (verdict.basis(), Terms::of(subject, purpose)) else {
            return state.live.is_some();
        };
        let rule = &setup.rulebook.purposes[index];
        let segments = state.counters.segments(rule, of.age_band, now);
        if segments == 0 {
            return state.live.is_some();
        }
        let wanted = of.assign(segments, basis, now, setup.lease);
        is_due(state.live.as_ref(), &wanted, of.grant_ends_at, now, setup.lease)
    })
}

/// When a live key is renewed; while a closed gate holds it back, when it ends.
fn lease_turn(
    live: &Assigned,
    grant_ends_at: Option<Timestamp>,
    lease: Span,
    deferred: bool,
) -> Option<Timestamp> {
    if deferred {
        return Some(live.expires_at);
    }
    let renew_at = live.decided_at + Span(lease.0 / 2);
    (ends_at(renew_at, lease, grant_ends_at) > live.expires_at).then_some(renew_at)
}

fn segment_ids(purpose: &Purpose, segments: SegmentSet) -> Vec<&str> {
    let holds = |bit: &usize| segments >> bit & 1 == 1;
    (0..purpose.segments.len()).filter(holds).map(|bit| purpose.segments[bit].id.as_str()).collect()
}
