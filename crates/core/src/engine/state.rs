//! A partition's state in memory, in three parts: what assent-state holds, what is looked at when, and
//! what a change of rulebook or keys has left to do.

use std::collections::{BTreeSet, VecDeque};

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use super::audience::Audiences;
use super::ledger::Ledger;
use super::store::BucketChunks;
use super::subjects::Subjects;
use super::timers::Timers;
use super::token::StateToken;
use assent_contract::domain::merge::PurposeNames;
use assent_contract::domain::time::Timestamp;

/// What assent-state holds of a partition.
pub struct State {
    /// Nothing was ever decided here.
    pub fresh: bool,
    pub ledger: Ledger,
    /// The clock of the last batch that was written: the state's own upkeep counts from there.
    pub written_at: Timestamp,
    pub names: PurposeNames,
    /// As of the last committed batch, but for when the timers have them.
    pub subjects: Subjects,
    pub chunks: BucketChunks,
    pub audiences: Audiences,
}

/// When subjects are looked at. All of it are hints: a subject's own agenda says what counts.
#[derive(Default)]
pub struct Schedule {
    pub timers: Timers,
    /// Subjects with an assignment that is due, but waits for the gate to open.
    pub deferred: HashSet<StateToken, FixedState>,
}

/// What a change of rulebook or keys has left to do, some in every batch.
#[derive(Default)]
pub struct Backlog {
    /// Subjects whose live keys rest on an earlier rulebook.
    pub outdated: BTreeSet<StateToken>,
    /// Subjects under an old key whose id the changelog no longer holds. Some may have moved since they
    /// were listed.
    pub unresolved: VecDeque<StateToken>,
}

impl State {
    /// A signal that gave way, was lost, or was kept for long enough, is not there.
    pub fn let_signals_go(&mut self) {
        let floor = self.ledger.unkept_signals().of_unknown();
        self.subjects.signals.let_go(floor, self.ledger.now);
    }

    /// Does the upkeep of the state topic need a transaction of its own?
    pub fn housekeeping_is_due(&self, now: Timestamp) -> bool {
        self.ledger.cycle.due(self.written_at).is_some_and(|due| due <= now)
    }
}
