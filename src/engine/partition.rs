//! A partition's state, and the life of a batch: begin, inputs, finish, then confirm or rollback.
//!
//! In-memory state must be undone when a transaction aborts, or exactly-once is broken although
//! Kafka is right: `rollback` leaves what `begin` found (INV-5, INV-10).

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use super::at_hand::{After, AtHand, Handled, Left, Packed};
use super::ledger::Ledger;
use super::loss::{Standing, TopicIds};
use super::mandate::Mandate;
use super::pack::pack_signal;
use super::refusal::{self, Refusal};
use super::restore;
use super::roster::Roster;
use super::signals::Recount;
use super::stats::{Counted, Stats};
use super::store::BucketChunks;
use super::subject::{StateToken, Subject};
use super::subjects::{BUCKETS, Resting, Subjects};
use super::timers::Timers;
use super::undo::Undo;
use super::work::{Paper, Work};
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
    /// What must stay as it is while the state lives, by configuration key: topics and group.
    pub made_with: BTreeMap<String, String>,
    /// Of so many subjects, of whom nothing else is kept, a signal is kept; more, and the oldest give
    /// way. Applied at the end of a batch, so it decides nothing by itself: what gave way is in the state.
    pub signals_max: usize,
}

impl Setup {
    /// What stands in the state for a purpose that no rulebook declares (INV-6).
    pub fn veil(&self, purpose: &str) -> u128 {
        self.keys.state_token(format!("purpose|{purpose}").as_bytes())
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
            made_with: self.made_with.clone(),
            signals_max: self.signals_max,
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
    /// As of the last committed batch, but for when the timers have them.
    pub(super) subjects: Subjects,
    pub(super) at_hand: AtHand,
    pub(super) chunks: BucketChunks,
    pub(super) timers: Timers,
    /// Hints, like the timers: whose assignment a closed gate held back.
    pub(super) deferred: HashSet<StateToken>,
    /// Whom a rotation's sweep can't name: some may have moved since they were listed.
    pub(super) unnamed: VecDeque<StateToken>,
    /// Whose live keys rest on an earlier rulebook.
    pub(super) outdated: BTreeSet<StateToken>,
    pub(super) stats: Stats,
    /// The batch at hand; none between batches.
    pub(super) work: Option<Box<Work>>,
    pub(super) undo: Option<Box<Undo>>,
    pub(super) paper: Paper,
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
        let states = self.subjects.iter().flat_map(|(_, resting)| resting.unpack().purposes);
        states
            .filter_map(|state| state.live.map(|_| (self.names.name(state.name), state.pseudonym)))
    }

    /// Starts a batch. `now` is the wall clock, but never earlier than the last batch's.
    pub fn begin(&mut self, wall: Timestamp, gate_open: bool) {
        debug_assert!(self.undo.is_none(), "the last batch was neither confirmed nor rolled back");
        if self.mandate.roster.has_left_over() {
            self.mandate.roster = self.roster();
        }
        let now = wall.max(self.ledger.now);
        self.undo = Some(Box::new(Undo {
            ledger: self.ledger.clone(),
            written_at: self.written_at,
            chunks: self.chunks.clone(),
            fresh: self.fresh,
            signals: Recount::default(),
        }));
        let paper = std::mem::take(&mut self.paper);
        let mut work = Work::new(now, gate_open, self.mandate.places().len(), paper);
        self.ledger.now = now;
        work.unkept = self.ledger.unkept_signals();
        self.work = Some(Box::new(work));
        self.let_signals_go();
    }

    /// What gave way, was lost, or was kept for long enough, is not there.
    pub(super) fn let_signals_go(&mut self) {
        let floor = self.ledger.unkept_signals().of_unknown();
        self.subjects.signals.let_go(floor, self.ledger.now);
    }

    /// The batch is committed: what it made of its subjects is what they are.
    pub fn confirm(&mut self) {
        self.undo.take().expect("a batch was begun");
        let mut at_hand = std::mem::take(&mut self.at_hand);
        for handled in at_hand.drain() {
            self.put_back(handled);
        }
        at_hand.shrink();
        self.at_hand = at_hand;
        self.subjects.signals.clear_away();
        self.stats.signals = self.subjects.signals.len() as i64;
        self.clear_desk();
    }

    fn put_back(&mut self, handled: Handled) {
        let Handled { token, subject, before, left, .. } = handled;
        let is_there = matches!(left, Left::AsItWas | Left::Packed(_));
        if !is_there || !subject.agenda.deferred {
            self.deferred.remove(&token);
        }
        if !is_there || !self.mandate.is_outdated(&subject) {
            self.outdated.remove(&token);
        }
        let replaced = match left {
            Left::AsItWas => {
                if let Some(resting) = self.subjects.get_mut(token) {
                    resting.agenda = subject.agenda;
                }
                return;
            }
            Left::Packed(packed) => {
                let resting = Resting { packed, agenda: subject.agenda };
                self.stats.add_bytes(resting.footprint() as i64);
                self.subjects.signals.remove(token);
                self.subjects.insert(token, resting)
            }
            Left::Signal(minute) => {
                self.subjects.signals.put(token, minute);
                self.subjects.remove(token)
            }
            Left::Nothing => {
                self.subjects.signals.remove(token);
                self.subjects.remove(token)
            }
        };
        self.stats.add_bytes(-replaced.map_or(0, |replaced| replaced.footprint() as i64));
        let after = is_there.then(|| Counted::of(&subject));
        self.stats.replace(before.as_ref(), after.as_ref(), self.mandate.edition);
    }

    /// The batch is not committed: everything is as `begin` found it.
    pub fn rollback(&mut self) {
        let undo = self.undo.take().expect("a batch was begun");
        for Handled { token, .. } in self.at_hand.drain() {
            let agenda = self.subjects.get(token).map(|resting| resting.agenda).unwrap_or_default();
            if !agenda.deferred {
                self.deferred.remove(&token);
            }
            self.timers.reinstate(token, &agenda);
        }
        self.at_hand.shrink();
        self.ledger = undo.ledger;
        self.subjects.signals.take_back(undo.signals);
        self.let_signals_go();
        self.written_at = undo.written_at;
        self.chunks = undo.chunks;
        self.fresh = undo.fresh;
        self.clear_desk();
    }

    fn clear_desk(&mut self) {
        self.paper = self.work.take().map(|work| work.clear()).unwrap_or_default();
    }

    /// When time alone, or what a new rulebook left to do, next asks for a batch.
    pub fn next_due(&self) -> Option<Timestamp> {
        let housekeeping = self.ledger.cycle.due(self.written_at);
        let sweep = (self.outdated.len() > self.deferred.len()).then_some(self.ledger.now);
        let signals = self.subjects.signals.next_end();
        let signals = signals.filter(|_| !self.ledger.cycle.is_asked_for_pass());
        self.timers.peek().into_iter().chain(housekeeping).chain(sweep).chain(signals).min()
    }

    /// Other keys from now on, between two batches: the same purposes, and no known version with
    /// another secret or missing. Live keys move as their raw ids are met, see [`Self::change_key`];
    /// of whom nobody names they end, see [`Self::end_old_keys`].
    pub fn set_keys(&mut self, setup: Arc<Setup>) -> Result<(), Refusal> {
        debug_assert!(self.undo.is_none(), "keys change between batches");
        refusal::check_keys(&self.ledger, &setup)?;
        restore::note(&mut self.ledger, &setup);
        self.mandate.setup = setup;
        self.unnamed.clear();
        Ok(())
    }

    /// Every subject as it lies in the state, in the order of the tokens: what two partitions that
    /// hold the same have in common.
    pub fn pack_subjects(&self) -> Vec<u8> {
        let after = After { subjects: &self.subjects, at_hand: &self.at_hand, changed: &[] };
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
        self.stats.has_pseudonyms_but(self.mandate.setup.keys.active())
    }

    /// Is anything of this subject under a key that is no longer emitted?
    pub fn has_old_keys_of(&self, subject_id: &[u8]) -> bool {
        let keys = &self.mandate.setup.keys;
        if keys.has_one_version() {
            return false;
        }
        let subject = self.subjects.get(keys.state_token(subject_id));
        subject.is_some_and(|resting| self.mandate.has_old_pseudonym(&resting.unpack()))
    }

    /// Partition counts of the segment topics that this partition ever wrote to, by purpose.
    pub fn segment_partitions(&self) -> &BTreeMap<String, i32> {
        &self.ledger.segment_partitions
    }

    /// Is any key of this subject live, or with the batch at hand?
    pub fn has_live(&self, subject_id: &[u8]) -> bool {
        let token = self.mandate.setup.keys.state_token(subject_id);
        let is_live = |subject: &Subject| subject.purposes.iter().any(|state| state.live.is_some());
        self.subjects.get(token).is_some_and(|resting| is_live(&resting.unpack()))
            || self.at_hand.get(token).is_some_and(|handled| is_live(&handled.subject))
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
