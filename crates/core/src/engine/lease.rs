//! When an assignment is written, renewed, or looked at again: its lease, its grant, its windows.
//! Keeps INV-13: nothing is usable for longer than its lease without being decided again.

use super::audience::Masks;
use super::edition::Edition;
use super::policy::Policy;
use super::subject::{Assigned, Subject};
use assent_contract::domain::consent::{AgeBand, ConsentStatus};
use assent_contract::domain::gate::{self, PurposeTerms};
use assent_contract::domain::outcome::Basis;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::SegmentSet;

/// What an assignment takes from the consent record.
pub struct Terms {
    pub age_band: AgeBand,
    grant_ends_at: Option<Timestamp>,
}

impl Terms {
    pub fn of(subject: &Subject, purpose: PurposeTerms) -> Option<Self> {
        let record = subject.consent.record.as_ref()?;
        let grant_ends_at = record
            .decision(purpose.name)
            .filter(|decision| decision.status == ConsentStatus::Granted)
            .and_then(|grant| grant.expires_at);
        Some(Self { age_band: record.age_band, grant_ends_at })
    }

    pub fn assign(
        &self,
        segments: SegmentSet,
        basis: Basis,
        now: Timestamp,
        lease: Span,
        edition: Edition,
    ) -> Assigned {
        Assigned { segments, basis, decided_at: now, expires_at: self.ends_at(now, lease), edition }
    }

    /// The lease's end, or the grant's where that is earlier.
    fn ends_at(&self, decided_at: Timestamp, lease: Span) -> Timestamp {
        let lease_ends_at = decided_at + lease;
        self.grant_ends_at.map_or(lease_ends_at, |end| end.min(lease_ends_at))
    }
}

/// docs/contract/rulebook.md#leases: written when its content changes or its end becomes earlier,
/// renewed at half its lease.
pub fn is_due(
    live: Option<&Assigned>,
    wanted: &Assigned,
    terms: &Terms,
    now: Timestamp,
    lease: Span,
) -> bool {
    let Some(live) = live else { return true };
    let changed = live.segments != wanted.segments
        || live.basis != wanted.basis
        || live.edition != wanted.edition;
    let ends_earlier = terms.ends_at(live.decided_at, lease) < live.expires_at;
    let renewable = now >= renews_at(live, lease) && wanted.expires_at > live.expires_at;
    changed || ends_earlier || renewable
}

/// The earliest moment after `now` at which time alone asks for a revision of the subject.
pub fn next_due(subject: &Subject, policy: &Policy, now: Timestamp) -> Timestamp {
    let retention = subject.consent.retention_ends_at();
    let purposes = policy.purposes().iter().enumerate().filter_map(|(index, judged)| {
        let state = subject.purpose(judged.terms.name)?;
        let turn = gate::next_turn(&subject.consent, judged.terms, now);
        let window = policy.rule(index).and_then(|rule| state.counters.next_change(rule, now));
        let lease = state.live.as_ref().and_then(|live| {
            let terms = Terms::of(subject, judged.terms)?;
            lease_turn(live, &terms, policy.setup.lease, subject.agenda.deferred)
        });
        turn.into_iter().chain(window).chain(lease).filter(|&at| at > now).min()
    });
    purposes.chain(retention).min().unwrap_or(Timestamp::MAX)
}

/// When a live key is renewed or, while its renewal is deferred, when it ends.
fn lease_turn(live: &Assigned, terms: &Terms, lease: Span, deferred: bool) -> Option<Timestamp> {
    if deferred {
        return Some(live.expires_at);
    }
    let renew_at = renews_at(live, lease);
    (terms.ends_at(renew_at, lease) > live.expires_at).then_some(renew_at)
}

/// Half of the lease on; of its own, where that was shorter: a lease that was made longer since must
/// not let what is live end before its turn comes.
fn renews_at(live: &Assigned, lease: Span) -> Timestamp {
    let own = live.expires_at - live.decided_at;
    live.decided_at + Span(own.0.min(lease.0) / 2)
}

/// Does what is live or counted differ from what the rules say now? After a restore: a closed gate held
/// an assignment back, the lease became shorter, or a new rulebook suspends what was only counted.
pub fn is_behind(subject: &Subject, policy: &Policy, masks: &Masks, now: Timestamp) -> bool {
    policy.purposes().iter().enumerate().any(|(index, judged)| {
        let Some(state) = subject.purpose(judged.terms.name) else { return false };
        let verdict = gate::decide_standing(&subject.consent, judged.terms, now);
        let (Some(basis), Some(terms), Some(rule)) =
            (verdict.basis(), Terms::of(subject, judged.terms), policy.rule(index))
        else {
            return state.live.is_some() || !state.counters.is_empty();
        };
        let mut segments = state.counters.segments(rule, terms.age_band, now);
        if let Some(mask) = judged.rule.and_then(|rule| masks.of_purpose(rule)) {
            segments =
                mask.of(segments, state.live.map_or(0, |live| policy.named_now(&live, rule)));
        }
        if segments == 0 {
            return state.live.is_some();
        }
        let wanted = terms.assign(segments, basis, now, policy.setup.lease, policy.edition);
        is_due(state.live.as_ref(), &wanted, &terms, now, policy.setup.lease)
    })
}
