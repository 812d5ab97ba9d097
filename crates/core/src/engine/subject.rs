//! What is kept of one subject: consent, and per purpose the counters and live keys.
//!
//! Holds no raw identifier (INV-6): the map's key is the state token. Keeps INV-11: counters exist
//! only for purposes that the gate allows.

use super::edition::Edition;
use super::signals::{self, Minute};
use super::window::Counters;
use assent_contract::domain::audit::AuditToken;
use assent_contract::domain::merge::{NameId, SubjectConsent};
use assent_contract::domain::outcome::Basis;
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::SegmentSet;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// What the audit calls this subject; absent once only an erasure's residue is left.
    pub audit_token: Option<AuditToken>,
    pub consent: SubjectConsent,
    /// Purposes that the gate allows, or may come to allow by time alone. Sorted by name.
    pub purposes: Vec<PurposeState>,
    pub agenda: Agenda,
}

/// When a subject is looked at next. Not packed: recomputed at restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agenda {
    /// An assignment is due that a closed gate defers.
    pub deferred: bool,
    /// The earliest moment at which time alone changes something.
    pub due: Timestamp,
    /// The moment of the subject's entry in the timers, if any.
    pub scheduled: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurposeState {
    pub name: NameId,
    /// Under the key version that was active when it was computed: a timer has no raw id.
    pub pseudonym: Pseudonym,
    pub counters: Counters,
    /// Of a purpose with a minimum audience: the segments that the subject is in, named or not.
    pub qualified: SegmentSet,
    /// The last committed value of `pseudonym`'s key, unless it is null.
    pub live: Option<Assigned>,
}

/// What the last assignment of a live key said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub segments: SegmentSet,
    pub basis: Basis,
    pub decided_at: Timestamp,
    pub expires_at: Timestamp,
    /// The rulebook that was applied.
    pub edition: Edition,
}

impl Default for Agenda {
    fn default() -> Self {
        Self { deferred: false, due: Timestamp::MAX, scheduled: Timestamp::MAX }
    }
}

impl Agenda {
    /// A batch at `now` is done with the subject. Only an entry of the past may have been taken by it. One
    /// that lies ahead still stands: another one, click by click, would fill the heap until its
    /// time comes.
    pub fn look_again(&mut self, due: Timestamp, now: Timestamp) {
        self.due = due;
        if self.scheduled <= now {
            self.scheduled = Timestamp::MAX;
        }
    }

    /// Does time alone, or a gate that opened, ask for a look?
    pub fn is_due(&self, now: Timestamp, gate_open: bool) -> bool {
        self.due <= now || (self.deferred && gate_open)
    }
}

impl Subject {
    pub fn purpose(&self, name: NameId) -> Option<&PurposeState> {
        self.purposes.iter().find(|state| state.name == name)
    }

    pub fn has_live(&self) -> bool {
        self.purposes.iter().any(|state| state.live.is_some())
    }

    /// Nothing is kept of it: it leaves the map.
    pub fn is_blank(&self) -> bool {
        self.purposes.is_empty() && self.consent.is_blank()
    }

    /// A subject that has only a signal. It gets its audit token when its raw id is next seen.
    pub fn of_signal(minute: Minute) -> Self {
        let mut subject = Self::default();
        subject.consent.signal_at = Some(signals::time_of(minute));
        subject
    }

    /// The signal's minute, where nothing else is kept.
    pub fn signal_only(&self) -> Option<Minute> {
        let is_alone = self.purposes.is_empty() && self.consent.is_unknown();
        signals::minute_of(self.consent.signal_at.filter(|_| is_alone)?)
    }

    /// Only that an erasure was applied, and when.
    pub fn is_residue(&self) -> bool {
        let consent = &self.consent;
        self.purposes.is_empty()
            && consent.record.is_none()
            && !consent.is_unreadable()
            && consent.signal_at.is_none()
    }
}
