//! Does a segment of one rulebook rest on the same conditions as one of another?
//!
//! The engine asks it when it sweeps (what changed ends with `rulebook_changed`), and `diff` when it
//! says so beforehand: one answer for both.

use super::{Condition, Purpose, SegmentRule};

impl SegmentRule {
    /// `own` and `others`: the purposes that the two segments belong to. Titles don't count.
    pub fn rests_on_the_same(&self, own: &Purpose, other: &Self, others: &Purpose) -> bool {
        same_condition(own, &self.condition, others, &other.condition)
    }
}

/// Slots are compared by what they say, not by their place.
fn same_condition(before: &Purpose, old: &Condition, now: &Purpose, new: &Condition) -> bool {
    let each = |old: &[Condition], new: &[Condition]| {
        old.len() == new.len()
            && old.iter().zip(new).all(|(old, new)| same_condition(before, old, now, new))
    };
    match (old, new) {
        (Condition::All(old), Condition::All(new)) | (Condition::Any(old), Condition::Any(new)) => {
            each(old, new)
        }
        (Condition::Not(old), Condition::Not(new)) => same_condition(before, old, now, new),
        (Condition::AgeBand(old), Condition::AgeBand(new)) => old == new,
        (Condition::Region { hashes: old, .. }, Condition::Region { hashes: new, .. }) => {
            old == new
        }
        (Condition::Slot(old), Condition::Slot(new)) => {
            before.slots[*old].canonical == now.slots[*new].canonical
        }
        _ => false,
    }
}
