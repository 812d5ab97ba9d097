//! What comes in: clicks, in a turn and during a commit, and what ended the receiving of an input.

use std::collections::BTreeMap;

use super::room::{self, Room};
use super::settings::Limits;
use crate::task::Task;
use assent_contract::domain::time::{Moment, Span};

/// Why a burst of receiving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Drained,
    Full,
    /// The next one has to wait until something of what is held is committed.
    NoRoom,
    /// The log does not hold the next offset.
    OutOfRange,
    /// The consumer can't go on.
    Gone,
}

/// What clicks go through on their way in: also while a batch of the same partitions is on its way to the
/// broker. What comes in then is behind everything that the batch covers, so whether that commits or is
/// undone, it is the next batch's (INV-5).
pub struct Intake {
    limits: Limits,
    pub(super) tasks: BTreeMap<i32, Task>,
    /// Uptime: while memory is full, no click is polled before.
    trickle_until: Span,
    /// With so many bytes held, the last click found no room.
    full_at: usize,
    /// An input that can't be received from, to be followed up.
    pub(super) met: Option<Ended>,
}

impl Intake {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            tasks: BTreeMap::new(),
            trickle_until: Span(i64::MIN),
            full_at: usize::MAX,
            met: None,
        }
    }

    /// Room for a burst of clicks.
    pub fn room_for_clicks(&mut self, now: Moment) -> Room {
        let until = &mut self.trickle_until;
        room::for_clicks(&self.limits, &self.tasks, self.full_at, until, now)
    }

    /// The same, during a commit: none where there is something to be followed up first.
    pub fn room_during_commit(&mut self, now: Moment) -> Option<Room> {
        let may = self.met.is_none() && !self.tasks.is_empty();
        may.then(|| self.room_for_clicks(now))
    }

    /// What a click of this partition goes to; `None`: it is not owned any more.
    pub fn task_mut(&mut self, partition: i32) -> Option<&mut Task> {
        self.tasks.get_mut(&partition)
    }

    /// How a burst of clicks ended. Where the next one has no room, what the group decides queues behind it:
    /// memory counts as full until something of it is committed.
    pub fn clicks_ended(&mut self, ended: Ended) {
        let held = room::held_clicks(&self.tasks);
        self.full_at = if ended == Ended::NoRoom { held } else { usize::MAX };
        self.ended(ended);
    }

    /// How a burst ended.
    pub(super) fn ended(&mut self, ended: Ended) {
        if matches!(ended, Ended::OutOfRange | Ended::Gone) {
            self.met.get_or_insert(ended);
        }
    }

    /// The partitions are gone.
    pub(super) fn forget(&mut self) {
        self.tasks.clear();
        self.full_at = usize::MAX;
        self.met = None;
    }
}
