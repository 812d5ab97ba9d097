//! A partition's state, and the life of a batch: begin, inputs, finish, then confirm or rollback.
//!
//! In-memory state must be undone when a transaction aborts, or exactly-once is broken although
//! Kafka is right: `rollback` leaves what `begin` found (INV-5, INV-10).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::ledger::Ledger;
use super::loss::{Standing, TopicIds};
use super::mandate::Mandate;
use super::pack::pack_subject;
use super::restore::{self, Refusal};
use super::roster::Roster;
use super::stats::Stats;
use super::store::BucketChunks;
use super::subject::StateToken;
use super::subjects::{BUCKETS, Subjects};
use super::timers::Timers;
use super::undo::Undo;
use super::work::Work;
use crate::domain::merge::{NameId, PurposeNames};
use crate::domain::partitioner::Partitioner;
use crate::domain::pseudonym::{KeyRing, Pseudonym};
use crate::domain::rules::Rulebook;
use crate::domain::time::{Span, Timestamp};

/// What every partition of a process decides under.
pub struct Setup {
    pub rulebook: Arc<Rulebook>,
    /// The rulebook file's bytes: kept in the state as evidence.
    pub rulebook_yaml: Arc<[u8]>,
    pub keys: Arc<KeyRing>,
    pub group_id: String,
    pub lease: Span,
    pub partitioner: Partitioner,
    /// How many partitions the clickstream and the consent changelog have: says where a subject lies.
    pub input_partitions: i32,
    /// Partition counts of segments.*, by purpose.
    pub segment_partitions: BTreeMap<String, i32>,
    /// The configured consent sources, whose last signs are kept.
    pub sources: Vec<String>,
}

impl Setup {
    /// What stands in the state for a purpose that no rulebook declares (INV-6).
    pub fn veil(&self, purpose: &str) -> String {
        format!("#{:032x}", self.keys.state_token(format!("purpose|{purpose}").as_bytes()))
    }

    /// The same with other keys, prepared for the same purposes.
    #[must_use]
    pub fn with_keys(&self, keys: Arc<KeyRing>) -> Self {
        Self {
            keys,
            rulebook: Arc::clone(&self.rulebook),
            rulebook_yaml: Arc::clone(&self.rulebook_yaml),
            group_id: self.group_id.clone(),
            lease: self.lease,
            partitioner: self.partitioner,
            input_partitions: self.input_partitions,
            segment_partitions: self.segment_partitions.clone(),
            sources: self.sources.clone(),
        }
    }
}

/// How far a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    pub next_click: i64,
    pub next_consent: i64,
    pub next_sequence: i64,
}

pub struct Partition {
    pub(super) chain: String,
    pub(super) mandate: Mandate,
    pub(super) declared: Vec<NameId>,
    pub(super) names: PurposeNames,
    /// Nothing was ever decided here.
    pub(super) fresh: bool,
    pub(super) ledger: Ledger,
    /// The clock of the last batch that was written: the state's own upkeep counts from there.
    pub(super) written_at: Timestamp,
    pub(super) subjects: Subjects,
    pub(super) chunks: BucketChunks,
    pub(super) timers: Timers,
    /// Hints, like the timers: whose assignment a closed gate held back.
    pub(super) deferred: HashSet<StateToken>,
    /// Whose live keys rest on an earlier rulebook.
    pub(super) outdated: BTreeSet<StateToken>,
    pub(super) stats: Stats,
    /// The batch at hand; none between batches.
    pub(super) work: Option<Box<Work>>,
    /// Counts the batches since the restore, from 1.
    pub(super) batch: u64,
    pub(super) undo: Option<Box<Undo>>,
}

impl Partition {
    /// How far it is; `None`: nothing was ever decided here, and [`Self::start_at`] says where to begin.
    pub fn positions(&self) -> Option<Positions> {
        (!self.fresh).then_some(Positions {
            next_click: self.ledger.next_click,
            next_consent: self.ledger.next_consent,
            next_sequence: self.ledger.next_sequence,
        })
    }

    /// The clock of the last batch: the next one's is never earlier.
    pub fn latched(&self) -> Timestamp {
        self.ledger.now
    }

    /// Where a fresh partition begins: the first offsets that the two inputs still hold.
    ///
    /// # Panics
    /// Where something was decided here before: an offset is never skipped silently.
    pub fn start_at(&mut self, next_click: i64, next_consent: i64) {
        assert!(self.fresh, "a partition with a past begins where it stopped");
        self.ledger.next_click = next_click;
        self.ledger.next_consent = next_consent;
    }

    /// Where it stands, for whoever compares it with what else is there; `None`: nothing was ever
    /// decided here.
    pub fn standing(&self) -> Option<Standing> {
        (!self.fresh).then_some(Standing {
            next_click: self.ledger.next_click,
            next_consent: self.ledger.next_consent,
            next_sequence: self.ledger.next_sequence,
            head: self.ledger.head,
            topics: self.ledger.topics,
            recovering: self.ledger.recovering,
        })
    }

    /// Which topics the inputs are: between batches, recorded with the next one. What is not known
    /// now leaves what was known before.
    pub fn note_topics(&mut self, topics: TopicIds) {
        debug_assert!(self.undo.is_none(), "topics are noted between batches");
        let known = |is, was| if is == 0 { was } else { is };
        self.ledger.topics = TopicIds {
            clicks: known(topics.clicks, self.ledger.topics.clicks),
            consent: known(topics.consent, self.ledger.topics.consent),
        };
    }

    /// The keys that it holds to be live: purpose and pseudonym.
    pub fn live_keys(&self) -> impl Iterator<Item = (&str, Pseudonym)> {
        self.subjects.iter().flat_map(|(_, subject)| &subject.purposes).filter_map(|state| {
            state.live.as_ref().map(|_| (self.names.name(state.name), state.pseudonym))
        })
    }

    /// Starts a batch. `now` is the wall clock, but never earlier than the last batch's.
    pub fn begin(&mut self, wall: Timestamp, gate_open: bool) {
        debug_assert!(self.undo.is_none(), "the last batch was neither confirmed nor rolled back");
        if self.mandate.roster.has_left_over() {
            self.mandate.roster = self.roster();
        }
        let now = wall.max(self.ledger.now);
        self.undo = Some(Box::new(Undo::of(
            &self.ledger,
            self.written_at,
            self.names.len(),
            &self.chunks,
            self.fresh,
        )));
        let mut work = Work::new(now, gate_open, self.mandate.places().len());
        work.signals_lost_at =
            self.ledger.signals_lost_at.filter(|&lost_at| now < lost_at + Span::MONTHS_24);
        self.work = Some(Box::new(work));
        self.ledger.now = now;
        self.batch += 1;
    }

    /// The batch is committed: its past is forgotten.
    pub fn confirm(&mut self) {
        let undo = self.undo.take().expect("a batch was begun");
        let edition = self.mandate.edition;
        for (token, before) in undo.subjects {
            let after = self.subjects.get(token);
            match (&before, after) {
                (Some(before), Some(after)) => self.stats.replace(before, after, edition),
                (Some(before), None) => self.stats.remove(before, edition),
                (None, Some(after)) => self.stats.add(after, edition),
                (None, None) => {}
            }
            if after.is_none_or(|subject| !subject.deferred) {
                self.deferred.remove(&token);
            }
            if after.is_none_or(|subject| !self.mandate.is_outdated(subject)) {
                self.outdated.remove(&token);
            }
        }
        self.work = None;
    }

    /// The batch is not committed: everything is as `begin` found it.
    pub fn rollback(&mut self) {
        let undo = self.undo.take().expect("a batch was begun");
        for (token, before) in undo.subjects {
            if !before.as_ref().is_some_and(|before| before.deferred) {
                self.deferred.remove(&token);
            }
            match before {
                None => {
                    self.subjects.remove(token);
                }
                Some(before) => {
                    self.timers.reinstate(token, &before);
                    self.subjects.insert(token, before);
                }
            }
        }
        self.ledger = undo.ledger;
        self.written_at = undo.written_at;
        self.names.truncate(undo.names);
        self.chunks = undo.chunks;
        self.fresh = undo.fresh;
        self.work = None;
    }

    /// When time alone, or what a new rulebook left to do, next asks for a batch.
    pub fn next_due(&self) -> Option<Timestamp> {
        let housekeeping = self.ledger.cycle.due(self.written_at);
        let sweep = (self.outdated.len() > self.deferred.len()).then_some(self.ledger.now);
        self.timers.peek().into_iter().chain(housekeeping).chain(sweep).min()
    }

    /// Other keys from now on, between two batches: the same purposes, and no known version with
    /// another secret or missing. Live keys move as their raw ids are met, see [`Self::change_key`];
    /// of whom nobody names they end, see [`Self::end_old_keys`].
    pub fn set_keys(&mut self, setup: Arc<Setup>) -> Result<(), Refusal> {
        debug_assert!(self.undo.is_none(), "keys change between batches");
        restore::check_keys(&self.ledger, &setup)?;
        restore::note(&mut self.ledger, &setup);
        self.mandate.setup = setup;
        Ok(())
    }

    /// Every subject as it lies in the state, in the order of the tokens: what two partitions that
    /// hold the same have in common.
    pub fn pack_subjects(&self) -> Vec<u8> {
        let mut packed = Vec::new();
        for (_, subject) in (0..BUCKETS).flat_map(|bucket| self.subjects.bucket(bucket)) {
            pack_subject(subject, &mut packed);
        }
        packed
    }

    /// Is any subject's pseudonym under a key that is no longer emitted? Looks at every subject.
    pub fn has_old_keys(&self) -> bool {
        self.subjects.iter().any(|(_, subject)| self.mandate.has_old_pseudonym(subject))
    }

    /// Is anything of this subject under a key that is no longer emitted?
    pub fn has_old_keys_of(&self, subject_id: &[u8]) -> bool {
        let keys = &self.mandate.setup.keys;
        if keys.has_one_version() {
            return false;
        }
        let subject = self.subjects.get(keys.state_token(subject_id));
        subject.is_some_and(|subject| self.mandate.has_old_pseudonym(subject))
    }

    /// Partition counts of the segment topics that this partition ever wrote to, by purpose.
    pub fn segment_partitions(&self) -> &BTreeMap<String, i32> {
        &self.ledger.segment_partitions
    }

    /// Is any key of this subject live?
    pub fn has_live(&self, subject_id: &[u8]) -> bool {
        let token = self.mandate.setup.keys.state_token(subject_id);
        let subject = self.subjects.get(token);
        subject.is_some_and(|subject| subject.purposes.iter().any(|state| state.live.is_some()))
    }

    /// Does anything live rest on an earlier rulebook?
    pub fn is_outdated(&self) -> bool {
        !self.outdated.is_empty()
    }

    pub(super) fn roster(&self) -> Roster {
        let rulebook = &self.mandate.setup.rulebook;
        Roster::new(rulebook, &self.declared, &self.names, &self.stats)
    }

    /// Has a closed gate held assignments back? Then a batch is due as soon as it opens.
    pub fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Of each configured source, its last heartbeat or record here: append times.
    pub fn last_signs(&self) -> &BTreeMap<String, Timestamp> {
        &self.ledger.last_signs
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The purpose that a number in the statistics stands for.
    pub fn purpose_name(&self, id: NameId) -> &str {
        self.names.name(id)
    }
}
