//! A batch that is decided, while its transaction runs: it ends confirmed or rolled back, and gives its
//! partition back.
//!
//! In-memory state must be undone when a transaction aborts, or exactly-once is broken although
//! Kafka is right: `rollback` leaves what `begin` found (INV-5, INV-10).

use std::sync::Arc;

use super::at_hand::{AtHand, Handled, Left};
use super::audience::Heard;
use super::batch_log::EntryBuffers;
use super::partition::{Partition, Spare};
use super::refusal::Refusal;
use super::setup::Setup;
use super::stats::Counted;
use super::undo::Undo;

/// A decided batch. Its output is to be written as one transaction, or not at all.
#[must_use = "a batch that is dropped takes its partition with it"]
pub struct Decided {
    /// As the batch leaves it; its subjects as the batch found them.
    pub(super) partition: Partition,
    pub(super) at_hand: AtHand,
    pub(super) undo: Undo,
    pub(super) buffers: EntryBuffers,
}

impl Decided {
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Is any key of this subject live, before the batch or after it?
    pub fn has_live(&self, subject_id: &[u8]) -> bool {
        let token = self.partition.policy.setup.keys.state_token(subject_id);
        self.partition.has_live(subject_id)
            || self.at_hand.get(token).is_some_and(|handled| handled.subject.has_live())
    }

    /// Other keys from now on, whether the batch is confirmed or rolled back.
    pub fn set_keys(&mut self, setup: Arc<Setup>) -> Result<(), Refusal> {
        let noted = Arc::clone(&setup);
        self.partition.set_keys(setup)?;
        self.undo.note(&noted);
        Ok(())
    }

    /// What the partitions say of their audiences, from the next batch on.
    pub fn hear(&mut self, heard: Option<&Arc<Heard>>) {
        self.partition.hear(heard);
    }

    /// The batch is committed: what it made of its subjects is what they are.
    pub fn confirm(mut self) -> Partition {
        for handled in self.at_hand.drain() {
            put_back(&mut self.partition, handled);
        }
        let Partition { state, stats, .. } = &mut self.partition;
        state.subjects.signals.clear_away();
        stats.note_bytes(state.subjects.bytes());
        stats.signals = state.subjects.signals.len() as i64;
        self.partition.look_at_audiences();
        end(self.partition, self.at_hand, self.buffers)
    }

    /// The batch is not committed: everything is as `begin` found it.
    pub fn rollback(mut self) -> Partition {
        let Partition { state, schedule, .. } = &mut self.partition;
        for Handled { token, .. } in self.at_hand.drain() {
            let agenda =
                state.subjects.get(token).map(|resting| resting.agenda).unwrap_or_default();
            if !agenda.deferred {
                schedule.deferred.remove(&token);
            }
            schedule.timers.reinstate(token, &agenda);
        }
        self.undo.put_back(state);
        self.partition.look_at_audiences();
        end(self.partition, self.at_hand, self.buffers)
    }
}

fn end(mut partition: Partition, mut at_hand: AtHand, buffers: EntryBuffers) -> Partition {
    at_hand.shrink();
    partition.spare = Spare { at_hand, buffers };
    partition
}

fn put_back(partition: &mut Partition, handled: Handled) {
    let Partition { policy, state, schedule, backlog, stats, .. } = partition;
    let Handled { token, subject, before, left, .. } = handled;
    let is_there = matches!(left, Left::AsItWas | Left::Packed(_));
    if !is_there || !subject.agenda.deferred {
        schedule.deferred.remove(&token);
    }
    if !is_there || !policy.is_outdated(&subject) {
        backlog.outdated.remove(&token);
    }
    let subjects = &mut state.subjects;
    match left {
        Left::AsItWas => return subjects.set_agenda(token, subject.agenda),
        Left::Packed(packed) => {
            subjects.signals.remove(token);
            subjects.insert(token, &packed, subject.agenda);
        }
        Left::Signal(minute) => {
            subjects.signals.put(token, minute);
            subjects.remove(token);
        }
        Left::Nothing => {
            subjects.signals.remove(token);
            subjects.remove(token);
        }
    }
    let after = is_there.then(|| Counted::of(&subject, policy.is_canary(token)));
    stats.replace(before.as_ref(), after.as_ref(), policy.edition);
}
