//! When the changelog is read again for a rotation (docs/contract/pseudonyms.md#rotation): state and audit
//! hold no raw ids, so whose keys are to be moved only the changelog says.

use std::collections::BTreeMap;

use super::request::Request;
use crate::task::{Bounds, IDS_HELD, Task};
use assent_contract::domain::time::{Moment, Span};

/// Between two tries to read the changelog again.
const RETRY: Span = Span(2_000);

/// A reader that brings nothing for so long, although there is room and more to read, is given up.
const STALL_MAX: Span = Span(30_000);

/// How reading the changelog again went, for one turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swept {
    /// There is no room for more ids now.
    Full,
    /// Nothing more has come.
    Nothing,
    /// It was read to where it ended when it began.
    Over,
    /// The changelog moved under it: to be begun again.
    Broken,
}

#[derive(Debug, Default)]
pub struct Sweep {
    /// Live keys may be under a key that is no longer emitted.
    is_wanted: bool,
    /// Uptime.
    not_before: Option<Span>,
    reading: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    partitions: Vec<i32>,
    /// Uptime at which it brought something, or had no room.
    moved_at: Span,
}

impl Sweep {
    /// Whom it has named may be under an old key again.
    pub fn begin_anew(&mut self) {
        self.reading = None;
        self.is_wanted = true;
    }

    /// The partitions that are to be read again now.
    pub fn next(
        &mut self,
        tasks: &mut BTreeMap<i32, Task>,
        bounds: &Bounds,
        now: Moment,
    ) -> Option<Request> {
        self.is_wanted |= tasks.values_mut().any(|task| task.take_lack_of_ids(bounds, now));
        if !self.is_wanted || self.not_before.is_some_and(|at| now.uptime < at) {
            return None;
        }
        let old = tasks.iter().filter(|(_, task)| task.engine.has_old_keys());
        let partitions: Vec<i32> = old.map(|(&partition, _)| partition).collect();
        self.is_wanted = !partitions.is_empty();
        self.is_wanted.then_some(Request::StartSweep(partitions))
    }

    pub fn begins(&mut self, partitions: Vec<i32>, now: Moment) {
        self.is_wanted = false;
        self.reading = Some(Reading { partitions, moved_at: now.uptime });
    }

    /// Old keys stay live, and removable, until the next try.
    pub fn put_off(&mut self, now: Moment) {
        self.is_wanted = true;
        self.not_before = Some(now.uptime + RETRY);
    }

    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Is the changelog still to be read, or to be read on?
    pub fn is_to_come(&self) -> bool {
        self.is_wanted || self.is_reading()
    }

    /// Is there room for more ids?
    pub fn has_room(&self, tasks: &BTreeMap<i32, Task>) -> bool {
        let mut of = self.reading.iter().flat_map(|reading| &reading.partitions);
        of.all(|it| tasks.get(it).is_none_or(|task| task.ids_to_rotate().len() < IDS_HELD))
    }

    pub fn swept(
        &mut self,
        tasks: &mut BTreeMap<i32, Task>,
        swept: Swept,
        brought: bool,
        now: Moment,
    ) {
        let Some(reading) = &mut self.reading else { return };
        match swept {
            Swept::Over => {
                for partition in &reading.partitions {
                    if let Some(task) = tasks.get_mut(partition) {
                        task.complete_ids(now);
                    }
                }
                self.reading = None;
            }
            Swept::Full | Swept::Nothing if brought || swept == Swept::Full => {
                reading.moved_at = now.uptime;
            }
            Swept::Nothing if now.uptime - reading.moved_at <= STALL_MAX => {}
            Swept::Full | Swept::Nothing | Swept::Broken => {
                self.reading = None;
                self.put_off(now);
            }
        }
    }

    /// The partitions are gone.
    pub fn forget(&mut self) {
        self.reading = None;
    }
}
