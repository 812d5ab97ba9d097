//! The raw ids whose keys a rotation moves (docs/contract/pseudonyms.md#rotation): held from the changelog
//! that is read again, until a batch with an open gate has moved them.

use std::collections::VecDeque;

use super::barrier::Barrier;
use super::{Bounds, Task};
use assent_contract::domain::time::Moment;

impl Task {
    /// A subject whose live keys are to be moved to the active key.
    pub fn hold_id(&mut self, id: &[u8]) {
        self.ids_to_rotate.push_back(id.into());
    }

    pub fn ids_to_rotate(&self) -> &VecDeque<Box<[u8]>> {
        &self.ids_to_rotate
    }

    /// The changelog was read from its first record to where it ended when that began, under the keys
    /// that are in use, and every id in it was held.
    pub fn complete_ids(&mut self, now: Moment) {
        self.ids_complete_at = Some(now.uptime);
    }

    /// Ids had no room while the gate was closed, and it is open: the changelog is to be read once more.
    pub fn take_lack_of_ids(&mut self, bounds: &Bounds, now: Moment) -> bool {
        self.lacks_ids && self.gate_open(bounds, now) && std::mem::take(&mut self.lacks_ids)
    }

    /// Are keys still to be moved, or to be ended, by what was read of the changelog?
    pub fn moves_keys(&self) -> bool {
        !self.ids_to_rotate.is_empty() || self.ids_complete_at.is_some()
    }

    /// Is every id of the changelog known? A subject whose record was compacted away during the read is
    /// named only by its newer record: wait until consent is applied up to the end seen when the read
    /// finished.
    pub(super) fn knows_all_ids(&self, ahead: &Barrier) -> bool {
        self.ids_complete_at.is_some_and(|at| ahead.has_reached_since(at))
    }
}
