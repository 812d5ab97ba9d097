//! Sliding windows: what a purpose keeps of one subject's allowed clicks, and what holds by it.
//!
//! Never reads a clock: `now` is the decision's. Keeps only what a live condition needs, only while
//! it may still count (INV-11), and nothing at all for a subject without such a click.

mod codec;
mod kept;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use kept::{Kept, Seen, Window};

use assent_contract::domain::consent::AgeBand;
use assent_contract::domain::event::Click;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::{Condition, Purpose, SegmentSet};

/// All counters of one purpose for one subject. Empty, it owns no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By slot, each at most once, none empty.
    slots: Box<[SlotState]>,
}

/// One thing that a counter keeps of a click, for whoever asks what is held of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldItem {
    /// When the click was, to the second; of a sum, when its hour or day begins.
    pub at: Timestamp,
    /// The hash of a product, category or region.
    pub value: Option<u64>,
    /// Of a sum.
    pub cents: Option<i128>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SlotState {
    /// Index into the purpose's slots.
    slot: u16,
    kept: Kept,
}

impl Counters {
    /// Counts an allowed click in every slot whose filter it passes. `t` is the earlier of the
    /// click's time and `now`. Did anything that is kept change?
    pub fn observe(
        &mut self,
        purpose: &Purpose,
        click: &Click<'_>,
        t: Timestamp,
        offset: i64,
        now: Timestamp,
    ) -> bool {
        let seen = Seen { click, t, offset };
        let mut changed = false;
        for (index, slot) in purpose.slots.iter().enumerate() {
            if slot.filter.matches(click) {
                changed |= self.count(index, Window::of(slot, purpose, now), &seen);
            }
        }
        changed
    }

    /// Which of the purpose's segments hold now. Without a click, too, some may.
    pub fn segments(&self, purpose: &Purpose, age_band: AgeBand, now: Timestamp) -> SegmentSet {
        let question = Question { counters: self, purpose, age_band, now };
        let holding =
            purpose.segments.iter().enumerate().filter(|(_, s)| question.holds(&s.condition));
        holding.fold(0, |set, (index, _)| set | 1 << index)
    }

    /// The earliest moment after `now` at which, without a click, [`Self::segments`] may answer
    /// otherwise or a slot has nothing left that counts. `None`: never.
    pub fn next_change(&self, purpose: &Purpose, now: Timestamp) -> Option<Timestamp> {
        let windows = self.slots.iter().filter_map(|state| {
            let slot = purpose.slots.get(usize::from(state.slot))?;
            state.kept.next_change(Window::of(slot, purpose, now))
        });
        windows.min()
    }

    /// Drops what no longer counts.
    pub fn prune(&mut self, purpose: &Purpose, now: Timestamp) {
        let mut emptied = false;
        for state in &mut self.slots {
            if let Some(slot) = purpose.slots.get(usize::from(state.slot)) {
                state.kept.prune(Window::of(slot, purpose, now));
            }
            emptied |= state.kept.is_empty();
        }
        if emptied {
            self.rebuild(|slots| slots.retain(|state| !state.kept.is_empty()));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Every slot that keeps something, and what.
    pub fn held(&self) -> impl Iterator<Item = (usize, Vec<HeldItem>)> {
        self.slots.iter().map(|state| (usize::from(state.slot), state.kept.held()))
    }

    /// The same counters under another rulebook: `old_to_new` names each slot's new index, or none
    /// where the condition is gone. The new purpose has `new_len` slots.
    #[must_use]
    pub fn remap(mut self, old_to_new: &[Option<usize>], new_len: usize) -> Self {
        let new_slot = |old: u16| {
            let new = old_to_new.get(usize::from(old)).copied().flatten();
            new.filter(|new| *new < new_len).and_then(|new| u16::try_from(new).ok())
        };
        self.rebuild(|slots| {
            slots.retain_mut(|state| new_slot(state.slot).map(|new| state.slot = new).is_some());
            slots.sort_by_key(|state| state.slot);
            slots.dedup_by_key(|state| state.slot);
        });
        self
    }

    fn count(&mut self, index: usize, window: Window, seen: &Seen<'_>) -> bool {
        let slot = index as u16; // the compiler's limit on a rulebook's size keeps it below 2^16
        match self.slots.binary_search_by_key(&slot, |state| state.slot) {
            Ok(at) => {
                let changed = self.slots[at].kept.add(window, seen);
                if self.slots[at].kept.is_empty() {
                    self.rebuild(|slots| drop(slots.remove(at)));
                }
                changed
            }
            Err(at) => {
                let mut kept = Kept::empty(window);
                let changed = kept.add(window, seen);
                if changed {
                    self.rebuild(|slots| {
                        slots.reserve_exact(1);
                        slots.insert(at, SlotState { slot, kept });
                    });
                }
                changed
            }
        }
    }

    fn kept(&self, slot: usize) -> Option<&Kept> {
        let found = self.slots.binary_search_by_key(&slot, |state| usize::from(state.slot));
        found.ok().map(|at| &self.slots[at].kept)
    }

    fn rebuild(&mut self, change: impl FnOnce(&mut Vec<SlotState>)) {
        kept::rebuild(&mut self.slots, change);
    }
}

/// What holds for one subject, one purpose, at one moment?
struct Question<'q> {
    counters: &'q Counters,
    purpose: &'q Purpose,
    age_band: AgeBand,
    now: Timestamp,
}

impl Question<'_> {
    fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(|part| self.holds(part)),
            Condition::Any(parts) => parts.iter().any(|part| self.holds(part)),
            Condition::Not(part) => !self.holds(part),
            Condition::AgeBand(bands) => bands.contains(&self.age_band),
            Condition::Region { slot, hashes, .. } => {
                self.region(*slot).is_some_and(|region| hashes.contains(&region))
            }
            Condition::Slot(slot) => {
                self.window(*slot).is_some_and(|window| match self.counters.kept(*slot) {
                    Some(kept) => kept.holds(window),
                    None => Kept::empty(window).holds(window),
                })
            }
        }
    }

    fn region(&self, slot: usize) -> Option<u64> {
        self.counters.kept(slot)?.region(self.window(slot)?)
    }

    fn window(&self, slot: usize) -> Option<Window> {
        let slot = self.purpose.slots.get(slot)?;
        Some(Window::of(slot, self.purpose, self.now))
    }
}
