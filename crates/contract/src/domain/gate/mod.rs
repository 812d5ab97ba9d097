//! May this event be used for this purpose, for this subject, now? (docs/contract/gate.md)
//!
//! The table's twelve lines in the table's order; the first that applies decides. Keeps INV-1, INV-3.

pub mod table;

use super::consent::{AgeBand, ConsentStatus};
use super::merge::{DecisionInForce, NameId, RecordInForce, SubjectConsent};
use super::outcome::Verdict;
use super::time::Timestamp;

/// What the gate asks of a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // the rulebook's switches
pub struct PurposeTerms {
    pub name: NameId,
    pub sale_or_share: bool,
    pub requires_opt_in: bool,
    pub suspended: bool,
}

/// Line 1 for a click, then lines 2 to 12 at the click's time.
pub fn decide_click(
    line_1_holds: bool,
    consent: Option<&SubjectConsent>,
    purpose: PurposeTerms,
    occurred_at: Timestamp,
    now: Timestamp,
) -> Verdict {
    if line_1_holds {
        return Verdict::ConsentStale;
    }
    decide(consent, purpose, occurred_at.min(now), now)
}

/// Lines 2 to 12 where there is no event: the standing verdict of a subject and purpose.
pub fn decide_standing(consent: &SubjectConsent, purpose: PurposeTerms, now: Timestamp) -> Verdict {
    decide(Some(consent), purpose, now, now)
}

fn decide(
    consent: Option<&SubjectConsent>,
    purpose: PurposeTerms,
    t: Timestamp,
    now: Timestamp,
) -> Verdict {
    let Some(consent) = consent else { return Verdict::NoConsentRecord };
    if consent.is_unreadable() {
        return Verdict::ConsentUnreadable;
    }
    let Some(record) = &consent.record else { return Verdict::NoConsentRecord };
    let decision = record.decision(purpose.name);
    let status = decision.map_or(ConsentStatus::NotAsked, |decision| decision.status);
    if purpose.suspended {
        return Verdict::PurposeSuspended;
    }
    if matches!(status, ConsentStatus::Denied | ConsentStatus::Withdrawn) {
        return Verdict::OptedOut;
    }
    if purpose.sale_or_share && signal_binds(consent, record, decision, now) {
        return Verdict::OptOutSignal;
    }
    if let Some(missing) = opt_in_missing(record, purpose, status) {
        return missing;
    }
    let granted = decision.filter(|decision| decision.status == ConsentStatus::Granted);
    if granted.and_then(|grant| grant.expires_at).is_some_and(|end| now >= end) {
        return Verdict::ConsentExpired;
    }
    if begins_at(consent, record, purpose, granted).any(|begins| t < begins) {
        return Verdict::CollectedBeforeConsent;
    }
    match (is_child(record.age_band), granted) {
        (true, _) => Verdict::GuardianOptIn,
        (false, Some(_)) => Verdict::OptIn,
        (false, None) => Verdict::NotOptedOut,
    }
}

/// Line 6: until its lifting has come.
fn signal_binds(
    consent: &SubjectConsent,
    record: &RecordInForce,
    decision: Option<&DecisionInForce>,
    now: Timestamp,
) -> bool {
    let Some(signal_at) = consent.signal_at else { return false };
    lifted_at(signal_at, record, decision).is_none_or(|at| now < at)
}

/// When a signal is lifted: by a grant whose `since` and second step are both later (11 CCR 7028(a)), and
/// not before either.
fn lifted_at(
    signal_at: Timestamp,
    record: &RecordInForce,
    decision: Option<&DecisionInForce>,
) -> Option<Timestamp> {
    let granted = decision.filter(|decision| decision.status == ConsentStatus::Granted)?;
    let (since, second_step) = (granted.since, record.double_opt_in_at?);
    (since > signal_at && second_step > signal_at).then(|| since.max(second_step))
}

/// Lines 7 to 9.
fn opt_in_missing(
    record: &RecordInForce,
    purpose: PurposeTerms,
    status: ConsentStatus,
) -> Option<Verdict> {
    let granted = status == ConsentStatus::Granted;
    match record.age_band {
        AgeBand::Under13 | AgeBand::Unknown => {
            let guardian_allows = record.guardian.is_some_and(|guardian| {
                let sale = guardian.coppa_disclosure && guardian.ccpa_authorization;
                guardian.coppa_consent && (!purpose.sale_or_share || sale)
            });
            (!guardian_allows || !granted).then_some(Verdict::GuardianConsentMissing)
        }
        AgeBand::From13To15 => {
            let second_step = !purpose.sale_or_share || record.double_opt_in_at.is_some();
            (!granted || !second_step).then_some(Verdict::OwnOptInMissing)
        }
        AgeBand::From16To17 | AgeBand::From18 => {
            (purpose.requires_opt_in && !granted).then_some(Verdict::OptInMissing)
        }
    }
}

/// Line 11: what an event must not be older than (16 CFR 312.5: consent comes before collection).
fn begins_at(
    consent: &SubjectConsent,
    record: &RecordInForce,
    purpose: PurposeTerms,
    granted: Option<&DecisionInForce>,
) -> impl Iterator<Item = Timestamp> {
    let since = granted.map(|grant| grant.since);
    let verified = if is_child(record.age_band) {
        record.guardian.map(|guardian| guardian.verified_at)
    } else {
        None
    };
    let second_step = if record.age_band == AgeBand::From13To15 && purpose.sale_or_share {
        record.double_opt_in_at
    } else {
        None
    };
    [since, verified, second_step, consent.erased_at].into_iter().flatten()
}

fn is_child(age_band: AgeBand) -> bool {
    matches!(age_band, AgeBand::Under13 | AgeBand::Unknown)
}

/// May a purpose that is withheld now come to be allowed by time alone? A grant that lies ahead, or a
/// second step that does.
pub fn is_lifted_by_time(
    verdict: Verdict,
    consent: &SubjectConsent,
    purpose: PurposeTerms,
) -> bool {
    let lifts = |(record, signal_at): (&RecordInForce, Timestamp)| {
        lifted_at(signal_at, record, record.decision(purpose.name)).is_some()
    };
    match verdict {
        Verdict::CollectedBeforeConsent => true,
        Verdict::OptOutSignal => consent.record.as_ref().zip(consent.signal_at).is_some_and(lifts),
        _ => false,
    }
}

/// The earliest moment after `now` at which the standing verdict may change by time alone: a grant
/// begins or ends, a guardian's verification, a second step or an erasure lies ahead.
pub fn next_turn(
    consent: &SubjectConsent,
    purpose: PurposeTerms,
    now: Timestamp,
) -> Option<Timestamp> {
    let record = consent.record.as_ref()?;
    let granted = record.decision(purpose.name).filter(|d| d.status == ConsentStatus::Granted);
    let end = granted.and_then(|grant| grant.expires_at);
    let lifted = consent.signal_at.filter(|_| purpose.sale_or_share);
    let lifted = lifted.and_then(|signal_at| lifted_at(signal_at, record, granted));
    let turns = begins_at(consent, record, purpose, granted).chain(end).chain(lifted);
    turns.filter(|&at| at > now).min()
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
