//! What a subject's consent records, signals and erasures add up to (design, section 5).
//!
//! Knows neither the rulebook nor the clock. The strictest reading of anything unclear wins.

use super::consent::{AgeBand, ConsentRecord, ConsentStatus};
use super::outcome::Outcome;
use super::time::{Span, Timestamp};

/// Interned purpose ids, declared or not: a decision for a purpose that no rulebook declares yet
/// must not be lost, or the rulebook that declares it would take a denial for "never asked".
/// A name's number never changes; names are only added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurposeNames {
    names: Vec<String>,
}

/// A purpose id's number in [`PurposeNames`].
pub type NameId = u16;

impl PurposeNames {
    /// 4,096 names of at most 64 bytes: at most 256 KiB a partition, whatever the changelog holds.
    pub const MAX: usize = 4_096;

    pub fn find(&self, name: &str) -> Option<NameId> {
        self.names.iter().position(|known| known == name).map(|at| at as NameId)
    }

    /// The number of a purpose that a rulebook declares, also where decisions for it came before;
    /// `None`: the table is full.
    pub fn declare(&mut self, name: &str, veil: Veil<'_>) -> Option<NameId> {
        if self.find(name).is_none()
            && let Some(id) = self.find(&veil(name))
        {
            name.clone_into(&mut self.names[usize::from(id)]);
        }
        self.intern(name)
    }

    /// The number of a purpose that a record decides.
    fn decide(&mut self, name: &str, veil: Veil<'_>) -> Option<NameId> {
        self.find(name).or_else(|| self.intern(&veil(name)))
    }

    /// The number of a name, new or known; `None`: the table is full.
    pub fn intern(&mut self, name: &str) -> Option<NameId> {
        self.find(name).or_else(|| {
            (self.names.len() < Self::MAX).then(|| {
                self.names.push(name.to_owned());
                (self.names.len() - 1) as NameId
            })
        })
    }

    pub fn name(&self, id: NameId) -> &str {
        &self.names[usize::from(id)]
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Forgets the names added since there were `len`: undo of an aborted batch.
    pub fn truncate(&mut self, len: usize) {
        self.names.truncate(len);
    }
}

/// What stands for a purpose id that no rulebook declares: the key of a decision is whatever a producer
/// wrote, a subject's id perhaps, and no raw identifier is kept (INV-6). The same for the same id, and
/// no slug.
pub type Veil<'a> = &'a dyn Fn(&str) -> String;

/// What the gate reads of a guardian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardianTerms {
    pub verified_at: Timestamp,
    pub coppa_consent: bool,
    pub coppa_disclosure: bool,
    pub ccpa_authorization: bool,
}

/// What the gate reads of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub purpose: NameId,
    pub status: ConsentStatus,
    pub since: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// What the gate reads of the last readable record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingRecord {
    pub version: i64,
    pub age_band: AgeBand,
    pub guardian: Option<GuardianTerms>,
    pub double_opt_in_at: Option<Timestamp>,
    /// Sorted by purpose.
    pub decisions: Vec<Standing>,
}

/// All that is known of one subject's consent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectConsent {
    /// The last readable record, also while the subject is unreadable.
    pub record: Option<StandingRecord>,
    /// Another record said otherwise under the standing version: only a higher one ends it.
    pub contradicted: bool,
    /// A value could not be read: a readable record of the standing version or a higher one ends it.
    pub undecodable: bool,
    /// The binding time of the opt-out signal, to the minute, rounded up.
    pub signal_at: Option<Timestamp>,
    /// Append time of the last erasure.
    pub erased_at: Option<Timestamp>,
}

impl StandingRecord {
    /// The gate's part of a record; `None`: the table of names is full.
    fn read(record: &ConsentRecord, names: &mut PurposeNames, veil: Veil<'_>) -> Option<Self> {
        let mut decisions = Vec::with_capacity(record.decisions.len());
        for (purpose, decision) in &record.decisions {
            if super::ids::is_slug(purpose) {
                decisions.push(Standing {
                    purpose: names.decide(purpose, veil)?,
                    status: decision.status,
                    since: decision.since,
                    expires_at: decision.expires_at,
                });
            }
        }
        decisions.sort_unstable_by_key(|decision| decision.purpose);
        Some(Self {
            version: record.version,
            age_band: record.age_band,
            guardian: record.guardian.as_ref().map(|guardian| GuardianTerms {
                verified_at: guardian.verified_at,
                coppa_consent: guardian.coppa_consent,
                coppa_disclosure: guardian.coppa_disclosure,
                ccpa_authorization: guardian.ccpa_authorization,
            }),
            double_opt_in_at: record.double_opt_in_at,
            decisions,
        })
    }

    pub fn decision(&self, purpose: NameId) -> Option<&Standing> {
        self.decisions.iter().find(|decision| decision.purpose == purpose)
    }

    /// Does it say the same in every field that the gate reads, for the declared purposes?
    fn says_the_same(&self, other: &Self, declared: &[NameId]) -> bool {
        let terms = |record: &Self, purpose| match record.decision(purpose) {
            None => (ConsentStatus::NotAsked, None),
            Some(d) if d.status == ConsentStatus::Granted => {
                (d.status, Some((d.since, d.expires_at)))
            }
            Some(d) => (d.status, None),
        };
        self.age_band == other.age_band
            && self.guardian == other.guardian
            && self.double_opt_in_at == other.double_opt_in_at
            && declared.iter().all(|&purpose| terms(self, purpose) == terms(other, purpose))
    }
}

impl SubjectConsent {
    /// Takes a readable record in: APPLIED, SUPERSEDED or UNREADABLE.
    pub fn apply(
        &mut self,
        record: &ConsentRecord,
        append_time: Timestamp,
        names: &mut PurposeNames,
        veil: Veil<'_>,
        declared: &[NameId],
    ) -> Outcome {
        if self.erased_at.is_some_and(|erased_at| record.recorded_at <= erased_at) {
            return Outcome::Superseded;
        }
        if let Some(signal_at) = record.opt_out_signal_at {
            self.bind(signal_at.min(append_time));
        }
        if self.version().is_some_and(|standing| record.version < standing) {
            return Outcome::Superseded;
        }
        let Some(read) = StandingRecord::read(record, names, veil) else {
            self.undecodable = true;
            return Outcome::Unreadable;
        };
        self.merge(read, declared)
    }

    fn merge(&mut self, read: StandingRecord, declared: &[NameId]) -> Outcome {
        let Some(standing) = &self.record else {
            return self.stand(read);
        };
        if read.version > standing.version {
            return self.stand(read);
        }
        if self.contradicted || !standing.says_the_same(&read, declared) {
            self.contradicted = true;
            return Outcome::Unreadable;
        }
        if self.undecodable { self.stand(read) } else { Outcome::Superseded }
    }

    fn stand(&mut self, read: StandingRecord) -> Outcome {
        self.record = Some(read);
        self.contradicted = false;
        self.undecodable = false;
        Outcome::Applied
    }

    /// A signal seen at this time binds from then on. Returns whether the binding time moved.
    pub fn bind(&mut self, at: Timestamp) -> bool {
        let at = at.ceil_minute();
        let moved = self.signal_at.is_none_or(|bound| bound < at);
        if moved {
            self.signal_at = Some(at);
        }
        moved
    }

    /// Signals from before `lost_at` were lost: may one of this subject's be missing here? One that
    /// binds from then on makes up for it; an erasure since then took it.
    pub fn may_miss_signal(&self, lost_at: Timestamp) -> bool {
        self.signal_at.is_none_or(|bound| bound < lost_at)
            && self.erased_at.is_none_or(|erased_at| erased_at < lost_at)
    }

    /// Everything goes but the residue: that an erasure was applied, and when (11 CCR 7101, 7022).
    pub fn erase(&mut self, append_time: Timestamp) {
        let erased_at = self.erased_at.map_or(append_time, |before| before.max(append_time));
        *self = Self { erased_at: Some(erased_at), ..Self::default() };
    }

    pub fn mark_undecodable(&mut self) {
        self.undecodable = true;
    }

    pub fn is_unreadable(&self) -> bool {
        self.contradicted || self.undecodable
    }

    /// The last readable record's version.
    pub fn version(&self) -> Option<i64> {
        self.record.as_ref().map(|record| record.version)
    }

    /// When the next of what is kept without a record ends; the residue's end also with one.
    pub fn retention_ends_at(&self) -> Option<Timestamp> {
        let residue = self.erased_at.map(|at| at + Span::MONTHS_24);
        let signal = match (&self.record, self.is_unreadable()) {
            (None, false) => self.signal_at.map(|at| at + Span::MONTHS_24),
            _ => None,
        };
        residue.into_iter().chain(signal).min()
    }

    /// Forgets what has been kept long enough.
    pub fn expire(&mut self, now: Timestamp) {
        if self.erased_at.is_some_and(|at| at + Span::MONTHS_24 <= now) {
            self.erased_at = None;
        }
        let without_record = self.record.is_none() && !self.is_unreadable();
        if without_record && self.signal_at.is_some_and(|at| at + Span::MONTHS_24 <= now) {
            self.signal_at = None;
        }
    }

    /// Nothing is known of this subject.
    pub fn is_blank(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
