//! A partition at rest, between two batches: what it says of itself, and what may change meanwhile.
//!
//! The life of a batch: [`Partition::begin`] gives an open batch, which takes inputs; finished, it is a
//! decided one; confirmed or rolled back, that gives the partition back. Each consumes the last.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::at_hand::{After, AtHand, Packed};
use super::audience::{Heard, Hearing};
use super::batch_log::EntryBuffers;
use super::loss::{StateHead, TopicIds};
use super::pack::pack_signal;
use super::policy::Policy;
use super::refusal::{self, Refusal};
use super::setup::Setup;
use super::state::{Backlog, Schedule, State};
use super::stats::Stats;
use super::token::BUCKETS;
use assent_contract::domain::merge::NameId;
use assent_contract::domain::pseudonym::{Pseudonym, SessionKeys};
use assent_contract::domain::time::Timestamp;

/// How far a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    pub next_click: i64,
    pub next_consent: i64,
    pub next_sequence: i64,
}

/// A partition at rest: every batch so far is confirmed or undone.
#[must_use]
pub struct Partition {
    pub(super) chain: String,
    pub(super) policy: Policy,
    pub(super) state: State,
    pub(super) schedule: Schedule,
    pub(super) backlog: Backlog,
    pub(super) stats: Stats,
    pub(super) spare: Spare,
    pub(super) sessions: SessionKeys,
    pub(super) hearing: Hearing,
}

/// The memory of the last batch, empty, for the next one: each needs about what the last one did.
#[derive(Default)]
pub(super) struct Spare {
    pub at_hand: AtHand,
    pub buffers: EntryBuffers,
}

impl Partition {
    /// How far it is; `None`: nothing was ever decided here, and [`Self::start_at`] says where to begin.
    pub fn positions(&self) -> Option<Positions> {
        (!self.state.fresh).then_some(Positions {
            next_click: self.state.ledger.next_click,
            next_consent: self.state.ledger.next_consent,
            next_sequence: self.state.ledger.next_sequence,
        })
    }

    /// The clock of the last batch: the next one's is never earlier.
    pub fn latched(&self) -> Timestamp {
        self.state.ledger.now
    }

    /// Up to when consent is known to be applied; `None`: nothing was ever decided here.
    pub fn consent_synced_at(&self) -> Option<Timestamp> {
        (!self.state.fresh).then_some(self.state.ledger.consent_synced_at)
    }

    /// Where a fresh partition begins: the first offsets that the two inputs still hold.
    ///
    /// # Panics
    /// Where something was decided here before: an offset is never skipped silently.
    pub fn start_at(&mut self, next_click: i64, next_consent: i64) {
        assert!(self.state.fresh, "a partition with a past begins where it stopped");
        self.state.ledger.next_click = next_click;
        self.state.ledger.next_consent = next_consent;
    }

    /// Where it stands, for whoever compares it with what else is there; `None`: nothing was ever
    /// decided here.
    pub fn state_head(&self) -> Option<StateHead> {
        (!self.state.fresh).then_some(StateHead {
            next_click: self.state.ledger.next_click,
            next_consent: self.state.ledger.next_consent,
            next_sequence: self.state.ledger.next_sequence,
            head: self.state.ledger.head,
            topics: self.state.ledger.topics,
            recovering: self.state.ledger.recovering,
            consent_synced_at: self.state.ledger.consent_synced_at,
        })
    }

    /// Which topics the inputs are: between batches, recorded with the next one. What is not known
    /// now leaves what was known before.
    pub fn note_topics(&mut self, topics: TopicIds) {
        let known = |is, was| if is == 0 { was } else { is };
        self.state.ledger.topics = TopicIds {
            clicks: known(topics.clicks, self.state.ledger.topics.clicks),
            consent: known(topics.consent, self.state.ledger.topics.consent),
        };
    }

    /// The keys that it holds to be live: purpose and pseudonym.
    pub fn live_keys(&self) -> impl Iterator<Item = (&str, Pseudonym)> {
        let states = self.state.subjects.iter().flat_map(|(_, resting)| resting.unpack().purposes);
        states.filter_map(|state| {
            state.live.map(|_| (self.state.names.name(state.name), state.pseudonym))
        })
    }

    /// When time alone, or what a new rulebook left to do, next asks for a batch.
    pub fn next_due(&self) -> Option<Timestamp> {
        let housekeeping = self.state.ledger.cycle.due(self.state.written_at);
        let sweep = (self.backlog.outdated.len() > self.schedule.deferred.len())
            .then_some(self.state.ledger.now);
        let signals = self.state.subjects.signals.next_end();
        let signals = signals.filter(|_| !self.state.ledger.cycle.is_asked_for_pass());
        self.schedule
            .timers
            .peek()
            .into_iter()
            .chain(housekeeping)
            .chain(sweep)
            .chain(signals)
            .chain(self.hearing.due)
            .min()
    }

    /// Switches to other keys, between two batches. They must cover the same purposes, and every known
    /// version must be there with its secret. Live keys migrate when their raw id is next seen (see
    /// [`super::OpenBatch::change_key`]); keys of subjects that the changelog no longer names are removed
    /// (see [`super::OpenBatch::end_old_keys`]).
    pub fn set_keys(&mut self, setup: Arc<Setup>) -> Result<(), Refusal> {
        refusal::check_keys(&self.state.ledger, &setup)?;
        refusal::note(&mut self.state.ledger, &setup);
        self.policy.setup = setup;
        self.backlog.unresolved.clear();
        Ok(())
    }

    /// Does any purpose have a minimum audience, so that other partitions' counts are asked for?
    pub fn has_audiences(&self) -> bool {
        !self.state.audiences.is_empty()
    }

    /// What the partitions say of their audiences, from now on; `None`: nothing is known.
    pub fn hear(&mut self, heard: Option<&Arc<Heard>>) {
        let is_new = match (&self.hearing.heard, heard) {
            (Some(before), Some(now)) => !Arc::ptr_eq(before, now),
            (before, now) => before.is_some() != now.is_some(),
        };
        if is_new {
            self.hearing.heard = heard.cloned();
            self.look_at_audiences();
        }
    }

    /// What it was told last of all partitions' audiences.
    pub fn heard(&self) -> Option<&Arc<Heard>> {
        self.hearing.heard.as_ref()
    }

    /// When the audiences ask for a batch.
    pub(super) fn look_at_audiences(&mut self) {
        let Self { policy, state, hearing, .. } = self;
        if !state.audiences.is_empty() {
            let (heard, rulebook) = (hearing.heard.as_deref(), &policy.setup.rulebook);
            hearing.due = Some(state.audiences.due(heard, rulebook, state.ledger.now));
        }
    }

    /// Every subject as it lies in the state, in the order of the tokens: what two partitions that
    /// hold the same have in common.
    pub fn pack_subjects(&self) -> Vec<u8> {
        let at_hand = AtHand::default();
        let after = After { subjects: &self.state.subjects, at_hand: &at_hand, changed: &[] };
        let all = (0..BUCKETS).flat_map(|bucket| after.bucket(bucket));
        let mut bytes = Vec::new();
        for (_, packed) in all {
            match packed {
                Packed::Bytes(packed) => bytes.extend_from_slice(packed),
                Packed::Signal(minute) => pack_signal(minute, &mut bytes),
            }
        }
        bytes
    }

    /// Is any subject's pseudonym under a key that is no longer emitted?
    pub fn has_old_keys(&self) -> bool {
        self.stats.has_pseudonyms_but(self.policy.setup.keys.active())
    }

    /// Is anything of this subject under a key that is no longer emitted?
    pub fn has_old_keys_of(&self, subject_id: &[u8]) -> bool {
        let keys = &self.policy.setup.keys;
        if keys.has_one_version() {
            return false;
        }
        let subject = self.state.subjects.get(keys.state_token(subject_id));
        subject.is_some_and(|resting| self.policy.has_old_pseudonym(&resting.unpack()))
    }

    /// Partition counts of the segment topics that this partition ever wrote to, by purpose.
    pub fn segment_partitions(&self) -> &BTreeMap<String, i32> {
        &self.state.ledger.segment_partitions
    }

    /// Is any key of this subject live?
    pub fn has_live(&self, subject_id: &[u8]) -> bool {
        let token = self.policy.setup.keys.state_token(subject_id);
        self.state.subjects.get(token).is_some_and(|resting| resting.unpack().has_live())
    }

    /// Does anything live rest on an earlier rulebook?
    pub fn is_outdated(&self) -> bool {
        !self.backlog.outdated.is_empty()
    }

    /// Has a closed gate held assignments back? Then a batch is due as soon as it opens.
    pub fn has_deferred(&self) -> bool {
        !self.schedule.deferred.is_empty()
    }

    /// Of each configured source, its last heartbeat or record here: append times.
    pub fn last_signs(&self) -> &BTreeMap<String, Timestamp> {
        &self.state.ledger.last_signs
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The purpose that a number in the statistics stands for.
    pub fn purpose_name(&self, id: NameId) -> &str {
        self.state.names.name(id)
    }
}
