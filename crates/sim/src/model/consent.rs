//! docs/contract/gate.md and merging.md, read line by line: what one subject's facts add up to, and the
//! gate.
//!
//! Knows neither the library's gate nor its merging, of which it is the judge.

use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus};
use assent_contract::domain::outcome::{Outcome, Verdict};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Purpose;

use super::{Fact, What};

/// 24 months, at least.
pub const KEPT: Span = Span(731 * 86_400_000);

/// Why line 2 may hold. Of two records that contradict each other only a higher version ends it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Readable,
    Undecodable,
    Contradicted,
}

/// What stands of a subject after some of its facts.
#[derive(Clone, Copy)]
pub struct ConsentView<'a> {
    /// The last readable one, also while a mark withholds it.
    pub record: Option<&'a ConsentRecord>,
    pub mark: Mark,
    pub signal: Option<Timestamp>,
    pub erased_at: Option<Timestamp>,
}

impl<'a> ConsentView<'a> {
    pub const NOTHING: Self =
        Self { record: None, mark: Mark::Readable, signal: None, erased_at: None };

    /// The outcome of a consent fact; `None` for what is not one.
    pub fn apply(&mut self, purposes: &[Purpose], fact: &Fact<'a>) -> Option<Outcome> {
        self.forget(fact.0);
        match fact.1 {
            What::Looked => None,
            What::GaveWay(at) => {
                self.signal = self.signal.max(Some(at).filter(|_| self.is_unknown()));
                None
            }
            What::Lost(at) => {
                let is_missing = |known: Option<Timestamp>| known.is_none_or(|it| it < at);
                let may_be = is_missing(self.signal) && is_missing(self.erased_at);
                self.bind(Some(at).filter(|_| may_be));
                None
            }
            What::Doubted => {
                self.mark = self.mark.max(Mark::Undecodable);
                None
            }
            What::Record(record, append_time) => Some(self.read(purposes, record, append_time)),
            What::Undecodable => {
                self.mark = self.mark.max(Mark::Undecodable);
                Some(Outcome::Unreadable)
            }
            What::Erased(append_time) => {
                let last = self.erased_at.max(Some(append_time));
                *self = Self { erased_at: last, ..Self::NOTHING };
                Some(Outcome::Erased)
            }
            What::Clicked { click, .. } => {
                self.bind(click.opt_out_signal.map(|_| click.occurred_at.min(fact.0)));
                None
            }
        }
    }

    /// Nothing is known of the subject, unless it is a signal.
    pub fn is_unknown(&self) -> bool {
        self.record.is_none() && self.mark == Mark::Readable && self.erased_at.is_none()
    }

    /// 24 months: the residue of an erasure, and the signal of a subject of whom no record came.
    pub fn forget(&mut self, now: Timestamp) {
        let is_over = |time: Timestamp| now >= time + KEPT;
        let came = self.record.is_some() || self.mark != Mark::Readable;
        self.signal = self.signal.filter(|time| came || !is_over(*time));
        self.erased_at = self.erased_at.filter(|time| !is_over(*time));
    }

    fn bind(&mut self, time: Option<Timestamp>) {
        self.signal = self.signal.max(time.map(minute_after));
    }

    fn read(&mut self, purposes: &[Purpose], new: &'a ConsentRecord, append: Timestamp) -> Outcome {
        if self.erased_at.is_some_and(|erased_at| new.recorded_at <= erased_at) {
            return Outcome::Superseded;
        }
        self.bind(new.opt_out_signal_at.map(|time| time.min(append)));
        let last = self.record.filter(|last| new.version <= last.version);
        let outcome = match (last, self.mark) {
            (Some(last), _) if new.version < last.version => Outcome::Superseded,
            (Some(_), Mark::Contradicted) => Outcome::Unreadable,
            (Some(last), _) if said(purposes, last) != said(purposes, new) => Outcome::Unreadable,
            (Some(_), Mark::Readable) => Outcome::Superseded,
            (None, _) | (Some(_), Mark::Undecodable) => Outcome::Applied,
        };
        (self.record, self.mark) = match outcome {
            Outcome::Applied => (Some(new), Mark::Readable),
            Outcome::Unreadable => (self.record, Mark::Contradicted),
            _ => (self.record, self.mark),
        };
        outcome
    }

    /// When the grant of a purpose in the record in force ends, where it does.
    pub fn grant_ends_at(&self, of: &Purpose) -> Option<Timestamp> {
        let decision = self.record?.decisions.get(&of.id)?;
        decision.expires_at.filter(|_| decision.status == ConsentStatus::Granted)
    }

    /// Lines 2 to 12; the first that applies decides. `event_time`: `None` where there is no event.
    pub fn verdict(&self, of: &Purpose, event_time: Option<Timestamp>, now: Timestamp) -> Verdict {
        let (t, sale, record) = (event_time.unwrap_or(now).min(now), of.sale_or_share, self.record);
        let has_come = |time: Option<Timestamp>| time > self.signal && time <= Some(now);
        let decision = record.and_then(|it| it.decisions.get(&of.id));
        let is = |status| decision.is_some_and(|it| it.status == status);
        let grant = decision.filter(|_| is(ConsentStatus::Granted));
        let since = grant.map(|it| it.since);
        let second_step = record.and_then(|it| it.double_opt_in_at);
        let lifted = has_come(since) && has_come(second_step);
        let guardian = record.and_then(|it| it.guardian.as_ref());
        let authorized = guardian.is_some_and(|it| {
            it.coppa_consent && (!sale || (it.coppa_disclosure && it.ccpa_authorization))
        });
        let band = record.map_or(AgeBand::Unknown, |it| it.age_band);
        let child = matches!(band, AgeBand::Under13 | AgeBand::Unknown);
        let teen = band == AgeBand::From13To15;
        let verified_at = guardian.map(|it| it.verified_at).filter(|_| child);
        let second_step_of_sale = second_step.filter(|_| teen && sale);
        let begins = since.max(verified_at).max(second_step_of_sale).max(self.erased_at);
        let expired = grant.and_then(|it| it.expires_at).is_some_and(|end| now >= end);
        let lines = [
            (self.mark != Mark::Readable, Verdict::ConsentUnreadable),
            (record.is_none(), Verdict::NoConsentRecord),
            (of.suspended, Verdict::PurposeSuspended),
            (is(ConsentStatus::Denied) || is(ConsentStatus::Withdrawn), Verdict::OptedOut),
            (sale && self.signal.is_some() && !lifted, Verdict::OptOutSignal),
            (child && (!authorized || grant.is_none()), Verdict::GuardianConsentMissing),
            (teen && grant.is_none(), Verdict::OwnOptInMissing),
            (teen && sale && second_step.is_none(), Verdict::OwnOptInMissing),
            (of.requires_opt_in && grant.is_none(), Verdict::OptInMissing),
            (expired, Verdict::ConsentExpired),
            (Some(t) < begins, Verdict::CollectedBeforeConsent),
            (child, Verdict::GuardianOptIn),
            (grant.is_some(), Verdict::OptIn),
        ];
        lines.into_iter().find(|line| line.0).map_or(Verdict::NotOptedOut, |line| line.1)
    }
}

/// Signals are kept to the minute, rounded up.
pub fn minute_after(time: Timestamp) -> Timestamp {
    let minutes = time.0.div_euclid(60_000) + i64::from(time.0.rem_euclid(60_000) > 0);
    Timestamp(minutes * 60_000)
}

/// Every field that the gate reads. A purpose that is missing was never asked.
fn said(purposes: &[Purpose], record: &ConsentRecord) -> impl PartialEq + use<> {
    let decision = |of: &Purpose| {
        let decision = record.decisions.get(&of.id)?;
        let grant = Some((decision.since, decision.expires_at));
        let is_granted = decision.status == ConsentStatus::Granted;
        let is_asked = decision.status != ConsentStatus::NotAsked;
        is_asked.then_some((decision.status, grant.filter(|_| is_granted)))
    };
    let guardian = record
        .guardian
        .as_ref()
        .map(|it| (it.verified_at, it.coppa_consent, it.coppa_disclosure, it.ccpa_authorization));
    let decisions: Vec<_> = purposes.iter().map(decision).collect();
    (record.age_band, record.double_opt_in_at, guardian, decisions)
}
