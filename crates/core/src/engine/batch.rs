//! A batch that takes inputs. It owns its partition until it is finished, and what only a batch has.

use super::at_hand::AtHand;
use super::batch_log::BatchLog;
use super::partition::Partition;
use super::step::Scope;
use super::undo::Undo;
use assent_contract::domain::time::Timestamp;

/// An open batch: takes consent, timers, moved keys and clicks, in this order, then is finished.
#[must_use = "a batch that is dropped takes its partition with it"]
pub struct OpenBatch {
    pub(super) partition: Partition,
    pub(super) at_hand: AtHand,
    pub(super) log: BatchLog,
    pub(super) undo: Undo,
}

impl Partition {
    /// Starts a batch. `wall` is the wall clock; the batch's own clock is never earlier than the last
    /// batch's.
    pub fn begin(mut self, wall: Timestamp, gate_open: bool) -> OpenBatch {
        if self.policy.judged.has_left_over() {
            self.policy.judged = self.policy.judged_purposes(&self.state.names, &self.stats);
        }
        let undo = Undo::of(&self.state);
        let now = wall.max(self.state.ledger.now);
        let spare = std::mem::take(&mut self.spare);
        let mut log = BatchLog::new(now, gate_open, self.policy.purposes().len(), spare.buffers);
        self.state.ledger.now = now;
        log.unkept = self.state.ledger.unkept_signals();
        self.state.let_signals_go();
        let (heard, rulebook) = (self.hearing.heard.as_deref(), &self.policy.setup.rulebook);
        log.statement = self.state.audiences.advance(heard, rulebook, now);
        log.masks = self.state.audiences.masks(rulebook);
        OpenBatch { partition: self, at_hand: spare.at_hand, log, undo }
    }
}

impl OpenBatch {
    /// What an input about one subject may touch.
    pub(super) fn scope(&mut self) -> Scope<'_> {
        Scope {
            policy: &self.partition.policy,
            sessions: &mut self.partition.sessions,
            names: &self.partition.state.names,
            subjects: &self.partition.state.subjects,
            at_hand: &mut self.at_hand,
            log: &mut self.log,
        }
    }
}
