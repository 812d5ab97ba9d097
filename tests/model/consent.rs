//! Section 5 of the design, read line by line: what one subject's facts add up to, and the gate.
//!
//! Knows neither the library's gate nor its merging, of which it is the judge.

use assent::domain::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision, Guardian};
use assent::domain::outcome::{Outcome, Verdict};
use assent::domain::rules::Purpose;
use assent::domain::time::{Span, Timestamp};

use super::{Fact, What};

/// Why line 2 may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Readable,
    Undecodable,
    /// Two records of one version contradict each other: only a higher version ends it.
    Contradicted,
}

/// What stands of a subject after some of its facts.
#[derive(Clone, Copy)]
pub struct Standing<'a> {
    /// The last readable one, also while a mark withholds it.
    pub record: Option<&'a ConsentRecord>,
    pub mark: Mark,
    pub signal: Option<Timestamp>,
    pub erased_at: Option<Timestamp>,
}

impl<'a> Standing<'a> {
    pub const NOTHING: Self =
        Self { record: None, mark: Mark::Readable, signal: None, erased_at: None };

    /// The outcome of a consent fact; `None` for what is not one.
    pub fn apply(&mut self, purposes: &[Purpose], fact: &Fact<'a>) -> Option<Outcome> {
        self.forget(fact.now);
        match fact.what {
            What::Looked => None,
            What::Record(record, append_time) => Some(self.read(purposes, record, append_time)),
            What::Undecodable => {
                let contradicted = self.mark == Mark::Contradicted;
                self.mark = if contradicted { self.mark } else { Mark::Undecodable };
                Some(Outcome::Unreadable)
            }
            What::Erased(append_time) => {
                *self = Self { erased_at: Some(append_time), ..Self::NOTHING };
                Some(Outcome::Erased)
            }
            What::Clicked { click, .. } => {
                if click.opt_out_signal {
                    self.bind(click.occurred_at.min(fact.now));
                }
                None
            }
        }
    }

    /// 24 months: the residue of an erasure, and the signal of a subject without a record.
    fn forget(&mut self, now: Timestamp) {
        let is_over = |time: Timestamp| now >= time + Span(731 * 86_400_000);
        self.signal = self.signal.filter(|time| self.record.is_some() || !is_over(*time));
        self.erased_at = self.erased_at.filter(|time| !is_over(*time));
    }

    fn bind(&mut self, time: Timestamp) {
        let minutes = time.0.div_euclid(60_000) + i64::from(time.0.rem_euclid(60_000) > 0);
        self.signal = self.signal.max(Some(Timestamp(minutes * 60_000)));
    }

    fn read(&mut self, purposes: &[Purpose], new: &'a ConsentRecord, append: Timestamp) -> Outcome {
        if self.erased_at.is_some_and(|erased_at| new.recorded_at <= erased_at) {
            return Outcome::Superseded;
        }
        if let Some(time) = new.opt_out_signal_at {
            self.bind(time.min(append));
        }
        let last = self.record.filter(|last| new.version <= last.version);
        let outcome = match (last, self.mark) {
            (Some(last), _) if new.version < last.version => Outcome::Superseded,
            (Some(_), Mark::Contradicted) => Outcome::Unreadable,
            (Some(last), _) if !says_the_same(purposes, last, new) => Outcome::Unreadable,
            (Some(_), Mark::Readable) => Outcome::Superseded,
            (None, _) | (Some(_), Mark::Undecodable) => Outcome::Applied,
        };
        match outcome {
            Outcome::Applied => (self.record, self.mark) = (Some(new), Mark::Readable),
            Outcome::Unreadable => self.mark = Mark::Contradicted,
            _ => {}
        }
        outcome
    }

    /// Lines 2 to 12. `event_time`: of a click; `None` where there is no event.
    pub fn verdict(&self, of: &Purpose, event_time: Option<Timestamp>, now: Timestamp) -> Verdict {
        let t = event_time.map_or(now, |time| time.min(now));
        if self.mark != Mark::Readable {
            return Verdict::ConsentUnreadable;
        }
        let Some(record) = self.record else { return Verdict::NoConsentRecord };
        if of.suspended {
            return Verdict::PurposeSuspended;
        }
        let decision = record.decisions.get(&of.id);
        let is = |status| move |decision: &&Decision| decision.status == status;
        if decision.filter(is(ConsentStatus::Denied)).is_some()
            || decision.filter(is(ConsentStatus::Withdrawn)).is_some()
        {
            return Verdict::OptedOut;
        }
        let grant = decision.filter(is(ConsentStatus::Granted));
        if of.sale_or_share && self.signal_binds(record, grant) {
            return Verdict::OptOutSignal;
        }
        if let Some(verdict) = missing(of, record, grant) {
            return verdict;
        }
        if grant.and_then(|grant| grant.expires_at).is_some_and(|end| now >= end) {
            return Verdict::ConsentExpired;
        }
        if self.begins(of, record, grant).is_some_and(|beginning| t < beginning) {
            return Verdict::CollectedBeforeConsent;
        }
        match (record.age_band, grant) {
            (AgeBand::Under13 | AgeBand::Unknown, _) => Verdict::GuardianOptIn,
            (_, Some(_)) => Verdict::OptIn,
            (_, None) => Verdict::NotOptedOut,
        }
    }

    /// Line 6. Lifted only by a grant and a second step that are both later.
    fn signal_binds(&self, record: &ConsentRecord, grant: Option<&Decision>) -> bool {
        let later = |time: Option<Timestamp>| time.is_some() && time > self.signal;
        let lifted = later(grant.map(|grant| grant.since)) && later(record.double_opt_in_at);
        self.signal.is_some() && !lifted
    }

    /// Line 11: the latest of what must come before the event.
    fn begins(
        &self,
        of: &Purpose,
        record: &ConsentRecord,
        grant: Option<&Decision>,
    ) -> Option<Timestamp> {
        let guardian = record.guardian.as_ref().map(|guardian| guardian.verified_at);
        let own = match record.age_band {
            AgeBand::Under13 | AgeBand::Unknown => guardian,
            AgeBand::From13To15 if of.sale_or_share => record.double_opt_in_at,
            _ => None,
        };
        grant.map(|grant| grant.since).max(own).max(self.erased_at)
    }
}

/// Lines 7 to 9: who must have said what.
fn missing(of: &Purpose, record: &ConsentRecord, grant: Option<&Decision>) -> Option<Verdict> {
    let withheld = match record.age_band {
        AgeBand::Under13 | AgeBand::Unknown => {
            let enough = record.guardian.as_ref().is_some_and(|guardian| {
                let sale = guardian.coppa_disclosure && guardian.ccpa_authorization;
                guardian.coppa_consent && (!of.sale_or_share || sale)
            });
            (!enough || grant.is_none(), Verdict::GuardianConsentMissing)
        }
        AgeBand::From13To15 => {
            let second_step = !of.sale_or_share || record.double_opt_in_at.is_some();
            (!second_step || grant.is_none(), Verdict::OwnOptInMissing)
        }
        AgeBand::From16To17 | AgeBand::From18 => {
            (of.requires_opt_in && grant.is_none(), Verdict::OptInMissing)
        }
    };
    withheld.0.then_some(withheld.1)
}

/// Equal in every field that the gate reads. A purpose that is missing was never asked.
fn says_the_same(purposes: &[Purpose], one: &ConsentRecord, other: &ConsentRecord) -> bool {
    let guardian = |it: &Guardian| {
        (it.verified_at, it.coppa_consent, it.coppa_disclosure, it.ccpa_authorization)
    };
    let decision = |record: &ConsentRecord, of: &Purpose| {
        let decision = record.decisions.get(&of.id)?;
        let grant = (Some(decision.since), decision.expires_at);
        match decision.status {
            ConsentStatus::NotAsked => None,
            ConsentStatus::Granted => Some((decision.status, grant)),
            ConsentStatus::Denied | ConsentStatus::Withdrawn => Some((decision.status, (None, None))),
        }
    };
    one.age_band == other.age_band
        && one.double_opt_in_at == other.double_opt_in_at
        && one.guardian.as_ref().map(guardian) == other.guardian.as_ref().map(guardian)
        && purposes.iter().all(|of| decision(one, of) == decision(other, of))
}
