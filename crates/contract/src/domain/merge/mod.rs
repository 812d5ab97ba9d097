//! What a subject's consent records, signals and erasures add up to (docs/contract/merging.md).
//!
//! Knows neither the rulebook nor the clock. The strictest reading of anything unclear wins.

use super::consent::{AgeBand, ConsentRecord, ConsentStatus};
use super::outcome::Outcome;
use super::time::{Span, Timestamp};

/// The purpose ids that a rulebook ever declared, numbered. A name's number never changes; names are
/// only added, by rulebooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurposeNames {
    names: Vec<String>,
}

/// A purpose id's number in [`PurposeNames`].
pub type NameId = u16;

/// Gives the token of a purpose id that no rulebook declares: a keyed hash, the same for the same id. The
/// key of a decision is whatever a producer wrote, perhaps a subject's id, and no raw identifier is kept
/// (INV-6).
pub type UndeclaredToken<'a> = &'a dyn Fn(&str) -> u128;

/// The part of the token that a record keeps: enough to tell apart the at most 256 ids of a record.
pub type ShortToken = u64;

pub fn short_token(undeclared_token: u128) -> ShortToken {
    (undeclared_token >> 64) as u64
}

/// Format 1 of the state kept undeclared ids in this table, too, as `#` and the token in hex.
const FORMER_MARK: char = '#';

impl PurposeNames {
    pub fn find(&self, name: &str) -> Option<NameId> {
        self.names.iter().position(|known| known == name).map(|at| at as NameId)
    }

    /// The number of a purpose that a rulebook declares, also where decisions for it came before;
    /// `None`: 65,536 were declared.
    pub fn declare(&mut self, name: &str, undeclared_token: UndeclaredToken<'_>) -> Option<NameId> {
        if let Some(id) = self.find(name) {
            return Some(id);
        }
        let former = format!("{FORMER_MARK}{:032x}", undeclared_token(name));
        let id = self.find(&former).or_else(|| NameId::try_from(self.names.len()).ok())?;
        self.place(id, name);
        Some(id)
    }

    /// Gives a number its name, as the state has it.
    pub fn place(&mut self, id: NameId, name: &str) {
        let at = usize::from(id);
        if self.names.len() <= at {
            self.names.resize(at + 1, String::new());
        }
        name.clone_into(&mut self.names[at]);
    }

    /// An undeclared id of format 1; one that was declared since keeps its name.
    pub fn place_former(&mut self, id: NameId, undeclared_token: u128) {
        if self.names.get(usize::from(id)).is_none_or(String::is_empty) {
            self.place(id, &format!("{FORMER_MARK}{undeclared_token:032x}"));
        }
    }

    /// The undeclared ids of format 1.
    pub fn formers(&self) -> impl Iterator<Item = (NameId, u128)> {
        let undeclared_token =
            |name: &String| u128::from_str_radix(name.strip_prefix(FORMER_MARK)?, 16).ok();
        self.names.iter().zip(0..).filter_map(move |(name, id)| Some((id, undeclared_token(name)?)))
    }

    /// The others.
    pub fn declared(&self) -> impl Iterator<Item = (NameId, &str)> {
        let names = self.names.iter().map(String::as_str).zip(0..).map(|(name, id)| (id, name));
        names.filter(|(_, name)| !name.is_empty() && !name.starts_with(FORMER_MARK))
    }

    pub fn name(&self, id: NameId) -> &str {
        &self.names[usize::from(id)]
    }

    fn former_veil(&self, id: NameId) -> Option<u128> {
        let name = self.names.get(usize::from(id))?;
        u128::from_str_radix(name.strip_prefix(FORMER_MARK)?, 16).ok()
    }
}

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
pub struct DecisionInForce {
    pub purpose: NameId,
    pub status: ConsentStatus,
    pub since: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// A decision for a purpose that no rulebook declares yet: the one that does must not take a denial for
/// "never asked". It costs about as much as it takes in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Undeclared {
    pub purpose: ShortToken,
    pub status: ConsentStatus,
    /// Of a grant: from when, until when.
    pub term: Option<(Timestamp, Option<Timestamp>)>,
}

/// What the gate reads of the last readable record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordInForce {
    pub version: i64,
    pub age_band: AgeBand,
    pub guardian: Option<GuardianTerms>,
    pub double_opt_in_at: Option<Timestamp>,
    /// Sorted by purpose.
    pub decisions: Vec<DecisionInForce>,
    /// Sorted by purpose.
    pub undeclared: Vec<Undeclared>,
}

/// All that is known of one subject's consent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectConsent {
    /// The last readable record, also while the subject is unreadable.
    pub record: Option<RecordInForce>,
    /// Another record said otherwise under the version in force: only a higher one ends it.
    pub contradicted: bool,
    /// A value could not be read: a readable record of the version in force or a higher one ends it.
    pub undecodable: bool,
    /// The binding time of the opt-out signal, to the minute, rounded up.
    pub signal_at: Option<Timestamp>,
    /// Append time of the last erasure.
    pub erased_at: Option<Timestamp>,
}

impl RecordInForce {
    /// The gate's part of a record.
    fn read(
        record: &ConsentRecord,
        names: &PurposeNames,
        undeclared_token: UndeclaredToken<'_>,
    ) -> Self {
        let (mut decisions, mut undeclared) = (Vec::new(), Vec::new());
        for (purpose, decision) in &record.decisions {
            let (status, since) = (decision.status, decision.since);
            let expires_at = decision.expires_at;
            if let Some(purpose) = names.find(purpose) {
                decisions.push(DecisionInForce { purpose, status, since, expires_at });
            } else if super::ids::is_slug(purpose) {
                let current = DecisionInForce { purpose: 0, status, since, expires_at };
                undeclared.extend(Undeclared::of(short_token(undeclared_token(purpose)), &current));
            }
        }
        decisions.sort_unstable_by_key(|decision| decision.purpose);
        undeclared.sort_unstable();
        Self {
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
            undeclared,
        }
    }

    /// Decisions come under the names that there are now: those for a purpose that was declared since, and
    /// those that format 1 kept under a number although nothing declared them. `declared`: the rulebook's
    /// purposes, by what stood for them. Returns whether anything changed.
    pub fn recognize(&mut self, names: &PurposeNames, declared: &[(ShortToken, NameId)]) -> bool {
        let before = (self.decisions.len(), self.undeclared.len());
        let undeclared = &mut self.undeclared;
        self.decisions.retain(|decision| match names.former_veil(decision.purpose) {
            Some(undeclared_token) => {
                undeclared.extend(Undeclared::of(short_token(undeclared_token), decision));
                false
            }
            None => true,
        });
        self.undeclared.retain(|decision| {
            let now = declared.iter().find(|(short_token, _)| *short_token == decision.purpose);
            now.map(|(_, id)| self.decisions.push(decision.as_standing(*id))).is_none()
        });
        let is_changed = before != (self.decisions.len(), self.undeclared.len());
        if is_changed {
            self.decisions.sort_unstable_by_key(|decision| decision.purpose);
            self.undeclared.sort_unstable();
        }
        is_changed
    }

    pub fn decision(&self, purpose: NameId) -> Option<&DecisionInForce> {
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

impl Undeclared {
    /// `None`: as good as a decision that is not there.
    fn of(purpose: ShortToken, decision: &DecisionInForce) -> Option<Self> {
        let status = decision.status;
        let is_granted = status == ConsentStatus::Granted;
        let term = is_granted.then_some((decision.since, decision.expires_at));
        (status != ConsentStatus::NotAsked).then_some(Self { purpose, status, term })
    }

    /// Of what is no grant nobody asks since when.
    fn as_standing(self, purpose: NameId) -> DecisionInForce {
        let (since, expires_at) = self.term.unwrap_or((Timestamp(0), None));
        DecisionInForce { purpose, status: self.status, since, expires_at }
    }
}

impl SubjectConsent {
    /// Takes a readable record in: APPLIED, SUPERSEDED or UNREADABLE.
    pub fn apply(
        &mut self,
        record: &ConsentRecord,
        append_time: Timestamp,
        names: &PurposeNames,
        undeclared_token: UndeclaredToken<'_>,
        declared: &[NameId],
    ) -> Outcome {
        if self.is_outdated(record) {
            return Outcome::Superseded;
        }
        if let Some(signal_at) = record.opt_out_signal_at {
            self.bind(signal_at.min(append_time));
        }
        if self.version().is_some_and(|current| record.version < current) {
            return Outcome::Superseded;
        }
        self.merge(RecordInForce::read(record, names, undeclared_token), declared)
    }

    /// Is the record from before the last erasure? Then nothing of it counts.
    pub fn is_outdated(&self, record: &ConsentRecord) -> bool {
        self.erased_at.is_some_and(|erased_at| record.recorded_at <= erased_at)
    }

    fn merge(&mut self, read: RecordInForce, declared: &[NameId]) -> Outcome {
        let Some(current) = &self.record else {
            return self.stand(read);
        };
        if read.version > current.version {
            return self.stand(read);
        }
        if self.contradicted || !current.says_the_same(&read, declared) {
            self.contradicted = true;
            return Outcome::Unreadable;
        }
        if self.undecodable { self.stand(read) } else { Outcome::Superseded }
    }

    fn stand(&mut self, read: RecordInForce) -> Outcome {
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

    /// Nothing is kept of this subject, unless it is a signal.
    pub fn is_unknown(&self) -> bool {
        self.record.is_none() && !self.is_unreadable() && self.erased_at.is_none()
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

pub mod unkept;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
