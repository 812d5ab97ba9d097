//! A batch that takes inputs. It owns its partition until it is finished, and what only a batch has.

use super::at_hand::AtHand;
use super::partition::Partition;
use super::step::Scope;
use super::undo::Undo;
use super::work::Work;
use crate::domain::time::Timestamp;

/// An open batch: takes consent, timers, moved keys and clicks, in this order, then is finished.
#[must_use = "a batch that is dropped takes its partition with it"]
pub struct OpenBatch {
    pub(super) partition: Partition,
    pub(super) at_hand: AtHand,
    pub(super) work: Work,
    pub(super) undo: Undo,
}

impl Partition {
    /// Starts a batch. `wall` is the wall clock; the batch's own clock is never earlier than the last
    /// batch's.
    pub fn begin(mut self, wall: Timestamp, gate_open: bool) -> OpenBatch {
        if self.mandate.roster.has_left_over() {
            self.mandate.roster = self.mandate.roster_of(&self.state.names, &self.stats);
        }
        let undo = Undo::of(&self.state);
        let now = wall.max(self.state.ledger.now);
        let spare = std::mem::take(&mut self.spare);
        let mut work = Work::new(now, gate_open, self.mandate.places().len(), spare.paper);
        self.state.ledger.now = now;
        work.unkept = self.state.ledger.unkept_signals();
        self.state.let_signals_go();
        OpenBatch { partition: self, at_hand: spare.at_hand, work, undo }
    }
}

impl OpenBatch {
    /// What an input about one subject may touch.
    pub(super) fn scope(&mut self) -> Scope<'_> {
        Scope {
            mandate: &self.partition.mandate,
            names: &self.partition.state.names,
            subjects: &self.partition.state.subjects,
            at_hand: &mut self.at_hand,
            work: &mut self.work,
        }
    }
}
