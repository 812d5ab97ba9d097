//! What is kept of one subject: consent, and per purpose the counters and live keys.
//!
//! Holds no raw identifier (INV-6): the map's key is the state token. Keeps INV-11: counters exist
//! only for purposes that the gate allows.

use super::mandate::Edition;
use super::window::Counters;
use crate::domain::audit::AuditToken;
use crate::domain::merge::{NameId, Standing, StandingRecord, SubjectConsent};
use crate::domain::outcome::Basis;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::rules::SegmentSet;
use crate::domain::time::Timestamp;

/// Pseudonym of the reserved purpose `state`: 16 bytes of HMAC, big-endian.
pub type StateToken = u128;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What the audit calls this subject; absent once only an erasure's residue is left.
    pub audit_token: Option<AuditToken>,
    pub consent: SubjectConsent,
    /// Purposes that the gate allows, or may come to allow by time alone. Sorted by name.
    pub purposes: Vec<PurposeState>,
    /// An assignment is due that a closed gate holds back. Not packed: recomputed at restore.
    pub deferred: bool,
    /// The earliest moment at which time alone changes something. Not packed: recomputed.
    pub due: Timestamp,
    /// The moment of this subject's entry in the timers, if any. Not packed.
    pub scheduled: Timestamp,
    /// The number of the batch that last touched it. Not packed.
    pub touched: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurposeState {
    pub name: NameId,
    /// Under the key version that was active when it was computed: a timer has no raw id.
    pub pseudonym: Pseudonym,
    pub counters: Counters,
    /// The last committed value of `pseudonym`'s key, unless it is null. Boxed: few keys are live.
    pub live: Option<Box<Assigned>>,
}

/// What the last assignment of a live key said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub segments: SegmentSet,
    pub basis: Basis,
    pub consent_version: i64,
    pub decided_at: Timestamp,
    pub expires_at: Timestamp,
    /// The rulebook that was applied.
    pub edition: Edition,
}

impl Default for Subject {
    fn default() -> Self {
        Self {
            audit_token: None,
            consent: SubjectConsent::default(),
            purposes: Vec::new(),
            deferred: false,
            due: Timestamp::MAX,
            scheduled: Timestamp::MAX,
            touched: 0,
        }
    }
}

impl Subject {
    pub fn purpose(&self, name: NameId) -> Option<&PurposeState> {
        self.purposes.iter().find(|state| state.name == name)
    }

    /// Adds what is kept of a purpose, in its place by name. Most subjects have as many as there are
    /// purposes and stay so: room for one more each time, instead of the four that a list begins with.
    pub fn insert_purpose(&mut self, at: usize, state: PurposeState) {
        self.purposes.reserve_exact(1);
        self.purposes.insert(at, state);
    }

    /// Memory that it takes in its map, in bytes.
    pub fn footprint(&self) -> usize {
        let record = self.consent.record.as_ref().map_or(0, |record| {
            size_of::<StandingRecord>() + size_of_val::<[Standing]>(&record.decisions)
        });
        let counters: usize = self.purposes.iter().map(|state| state.counters.footprint()).sum();
        let live = self.purposes.iter().filter(|state| state.live.is_some()).count();
        let purposes = size_of_val::<[PurposeState]>(&self.purposes) + live * size_of::<Assigned>();
        size_of::<(StateToken, Self)>() + record + purposes + counters
    }

    /// Does time alone, or a gate that opened, ask for a look at it?
    pub fn is_due(&self, now: Timestamp, gate_open: bool) -> bool {
        self.due <= now || (self.deferred && gate_open)
    }

    /// Is what is packed of the two the same?
    pub fn is_kept_like(&self, other: &Self) -> bool {
        self.audit_token == other.audit_token
            && self.consent == other.consent
            && self.purposes == other.purposes
    }

    /// Nothing is kept of it: it leaves the map.
    pub fn is_blank(&self) -> bool {
        self.purposes.is_empty() && self.consent.is_blank()
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
