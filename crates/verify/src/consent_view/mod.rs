//! docs/contract/gate.md and merging.md, read line by line: what one subject's facts add up to, and the
//! gate.
//!
//! Knows neither `domain::gate` nor `domain::merge`, of which it is the judge; it shares the plain
//! types only. It says of itself what it can't know: compaction takes what was superseded.

use assent_contract::domain::consent::{AgeBand, ConsentRecord, ConsentStatus};
use assent_contract::domain::outcome::{Outcome, Verdict};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Rulebook;

/// What the gate reads of a consent record, for the purposes that there are; and no identifier.
#[derive(Clone)]
pub struct Kept {
    pub version: i64,
    recorded_at: Timestamp,
    age_band: AgeBand,
    guardian: Option<Guardian>,
    double_opt_in_at: Option<Timestamp>,
    signal_at: Option<Timestamp>,
    decisions: Box<[Decision]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Guardian {
    verified_at: Timestamp,
    coppa_consent: bool,
    for_sale: bool,
    /// Both of `for_sale`, apart: records that differ here contradict each other.
    parts: (bool, bool),
}

#[derive(Clone, Copy)]
struct Decision {
    /// Index into all purposes that there are.
    purpose: u16,
    status: ConsentStatus,
    since: Timestamp,
    expires_at: Option<Timestamp>,
}

impl Kept {
    /// `purposes`: all that there are.
    pub fn of(record: &ConsentRecord, purposes: &[String]) -> Self {
        let decisions = purposes.iter().enumerate().filter_map(|(at, id)| {
            let decision = record.decisions.get(id)?;
            let (status, since, expires_at) =
                (decision.status, decision.since, decision.expires_at);
            Some(Decision { purpose: at as u16, status, since, expires_at })
        });
        Self {
            version: record.version,
            recorded_at: record.recorded_at,
            age_band: record.age_band,
            guardian: record.guardian.as_ref().map(|it| Guardian {
                verified_at: it.verified_at,
                coppa_consent: it.coppa_consent,
                for_sale: it.coppa_disclosure && it.ccpa_authorization,
                parts: (it.coppa_disclosure, it.ccpa_authorization),
            }),
            double_opt_in_at: record.double_opt_in_at,
            signal_at: record.opt_out_signal_at,
            decisions: decisions.collect(),
        }
    }

    fn decision(&self, purpose: usize) -> Option<Decision> {
        self.decisions.iter().copied().find(|it| usize::from(it.purpose) == purpose)
    }

    /// Does it say the same in every field that the gate reads, for the declared purposes?
    fn says_the_same(&self, other: &Self, declared: &[usize]) -> bool {
        self.age_band == other.age_band
            && self.double_opt_in_at == other.double_opt_in_at
            && self.guardian == other.guardian
            && declared.iter().all(|&at| self.said(at) == other.said(at))
    }

    /// A purpose that is missing was never asked.
    fn said(&self, purpose: usize) -> impl PartialEq + use<> {
        let decision = self.decision(purpose).filter(|it| it.status != ConsentStatus::NotAsked);
        let granted = decision.filter(|it| it.status == ConsentStatus::Granted);
        (decision.map(|it| it.status), granted.map(|it| (it.since, it.expires_at)))
    }
}

/// Why line 2 may hold. Of two records that contradict each other only a higher version ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Readable,
    Undecodable,
    Contradicted,
}

/// The record that stands.
#[derive(Clone, Default)]
pub enum Held {
    /// There is none.
    #[default]
    Nothing,
    /// This one, as far as the topic still tells: where `sure` is false, one of a higher version may
    /// have stood before it and been compacted away.
    Record { record: Box<Kept>, sure: bool },
    /// There is one that the topic no longer has, or that is not decided yet.
    Lost,
}

/// What stands of a subject after some of its facts.
#[derive(Clone)]
pub struct ConsentView {
    pub held: Held,
    pub mark: Mark,
    /// At least: clicks and records that said so may be gone.
    pub signal: Option<Timestamp>,
    pub erased_at: Option<Timestamp>,
    /// There was an erasure whose record compaction took: nobody can tell when.
    erased_unseen: bool,
}

/// What the gate asks of a purpose; one that the rulebook lacks is suspended.
#[derive(Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // the rulebook's switches
pub struct Terms {
    /// Index into all purposes that there are.
    pub purpose: usize,
    sale_or_share: bool,
    requires_opt_in: bool,
    suspended: bool,
}

impl Terms {
    pub fn of(rulebook: &Rulebook, purposes: &[String], purpose: usize) -> Self {
        let of = rulebook.purposes.iter().find(|it| it.id == purposes[purpose]);
        Self {
            purpose,
            sale_or_share: of.is_some_and(|it| it.sale_or_share),
            requires_opt_in: of.is_some_and(|it| it.requires_opt_in),
            suspended: of.is_none_or(|it| it.suspended),
        }
    }
}

impl ConsentView {
    pub const NOTHING: Self = Self {
        held: Held::Nothing,
        mark: Mark::Readable,
        signal: None,
        erased_at: None,
        erased_unseen: false,
    };

    /// After an erasure whose record is gone.
    pub const ERASED_UNSEEN: Self = Self { erased_unseen: true, ..Self::NOTHING };

    /// A subject whose earlier facts the topics no longer tell.
    pub const LOST: Self = Self { held: Held::Lost, ..Self::NOTHING };

    /// The version of the record in force; `None`: there is none, or it is lost.
    pub fn version(&self) -> Option<i64> {
        match &self.held {
            Held::Record { record, .. } => Some(record.version),
            _ => None,
        }
    }

    /// When the grant of the purpose in the record in force ends, where it does.
    pub fn grant_ends_at(&self, purpose: usize) -> Option<Timestamp> {
        let Held::Record { record, .. } = &self.held else { return None };
        let decision = record.decision(purpose)?;
        decision.expires_at.filter(|_| decision.status == ConsentStatus::Granted)
    }

    /// Does the topic tell for sure what stands?
    pub fn is_sure(&self) -> bool {
        match &self.held {
            Held::Nothing => true,
            Held::Record { sure, .. } => *sure,
            Held::Lost => false,
        }
    }

    /// After 24 months: drops the residue of an erasure, and the signal of a subject without a record.
    pub fn forget(&mut self, now: Timestamp) {
        let is_over = |time: Timestamp| now >= time + Span(731 * 86_400_000);
        let came = !matches!(self.held, Held::Nothing) || self.mark != Mark::Readable;
        self.signal = self.signal.filter(|time| came || !is_over(*time));
        self.erased_at = self.erased_at.filter(|time| !is_over(*time));
    }

    /// A signal binds from the minute on that follows it, and is never lifted by an earlier one.
    pub fn bind(&mut self, time: Timestamp) {
        let minutes = time.0.div_euclid(60_000) + i64::from(time.0.rem_euclid(60_000) > 0);
        self.signal = self.signal.max(Some(Timestamp(minutes.saturating_mul(60_000))));
    }

    pub fn erase(&mut self, append_time: Timestamp) {
        let erased_at = self.erased_at.max(Some(append_time));
        *self = Self { erased_at, ..Self::NOTHING };
    }

    /// A value that can't be read; `contradicted`: one that says otherwise under the same version.
    pub fn withhold(&mut self, mark: Mark) {
        self.mark = self.mark.max(mark);
    }

    /// What becomes of a readable record; `None`: the topic no longer tells. Changes nothing yet.
    pub fn outcome(&self, declared: &[usize], new: &Kept) -> Option<Outcome> {
        if self.is_outdated(new) {
            return Some(Outcome::Superseded);
        }
        if self.erased_unseen {
            return None;
        }
        let last = match &self.held {
            Held::Nothing => return Some(Outcome::Applied),
            Held::Record { record, sure: true } => record,
            Held::Record { .. } | Held::Lost => return None,
        };
        if new.version != last.version {
            let higher = new.version > last.version;
            return Some(if higher { Outcome::Applied } else { Outcome::Superseded });
        }
        let says_otherwise = !last.says_the_same(new, declared);
        Some(match self.mark {
            Mark::Contradicted => Outcome::Unreadable,
            _ if says_otherwise => Outcome::Unreadable,
            Mark::Readable => Outcome::Superseded,
            Mark::Undecodable => Outcome::Applied,
        })
    }

    /// Is the record from before the subject's last erasure?
    fn is_outdated(&self, new: &Kept) -> bool {
        self.erased_at.is_some_and(|erased_at| new.recorded_at <= erased_at)
    }

    /// Takes a readable record in, whose outcome is known.
    pub fn take(&mut self, new: Kept, append_time: Timestamp, outcome: Outcome) {
        // Nobody can tell whether it came before an erasure that is gone.
        let may_be_outdated = self.erased_unseen && outcome == Outcome::Superseded;
        if may_be_outdated || self.is_outdated(&new) {
            return;
        }
        if let Some(time) = new.signal_at {
            self.bind(time.min(append_time));
        }
        match outcome {
            Outcome::Applied => {
                self.held = Held::Record { record: Box::new(new), sure: true };
                self.mark = Mark::Readable;
            }
            Outcome::Unreadable => self.withhold(Mark::Contradicted),
            _ => {}
        }
    }

    /// Takes in a record whose outcome nobody tells any more: the highest version of those that the
    /// topic still has stands, as far as that goes.
    pub fn take_unsure(&mut self, declared: &[usize], new: Kept, append: Timestamp) {
        let outcome = match &self.held {
            Held::Record { record, .. } if record.version > new.version => Outcome::Superseded,
            Held::Record { record, .. } if record.version == new.version => {
                let same = record.says_the_same(&new, declared);
                if same { Outcome::Applied } else { Outcome::Unreadable }
            }
            _ => Outcome::Applied,
        };
        if self.mark == Mark::Contradicted && self.version() == Some(new.version) {
            return;
        }
        let erased_before = matches!(self.held, Held::Nothing) && self.erased_at.is_some();
        self.take(new, append, outcome);
        if let Held::Record { sure, .. } = &mut self.held
            && outcome == Outcome::Applied
        {
            *sure = erased_before;
        }
    }

    /// Lines 2 to 12; the first that applies decides. `event_time`: `None` where there is no event.
    /// `None`: the topic no longer tells.
    pub fn verdict(
        &self,
        of: Terms,
        event_time: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Verdict> {
        if self.mark != Mark::Readable {
            return Some(Verdict::ConsentUnreadable);
        }
        match &self.held {
            Held::Nothing => Some(Verdict::NoConsentRecord),
            Held::Lost => None,
            Held::Record { record, .. } => {
                Some(self.verdict_on(record, of, event_time.unwrap_or(now).min(now), now))
            }
        }
    }

    fn verdict_on(&self, record: &Kept, of: Terms, t: Timestamp, now: Timestamp) -> Verdict {
        let sale = of.sale_or_share;
        let decision = record.decision(of.purpose);
        let is = |status| decision.is_some_and(|it| it.status == status);
        let grant = decision.filter(|_| is(ConsentStatus::Granted));
        let since = grant.map(|it| it.since);
        let second_step = record.double_opt_in_at;
        let has_come = |time: Option<Timestamp>| time > self.signal && time <= Some(now);
        let lifted = has_come(since) && has_come(second_step);
        let guardian = record.guardian;
        let authorized = guardian.is_some_and(|it| it.coppa_consent && (!sale || it.for_sale));
        let child = matches!(record.age_band, AgeBand::Under13 | AgeBand::Unknown);
        let teen = record.age_band == AgeBand::From13To15;
        let verified_at = guardian.map(|it| it.verified_at).filter(|_| child);
        let second_step_of_sale = second_step.filter(|_| teen && sale);
        let begins = since.max(verified_at).max(second_step_of_sale).max(self.erased_at);
        let expired = grant.and_then(|it| it.expires_at).is_some_and(|end| now >= end);
        let lines = [
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

#[cfg(test)]
mod tests;
