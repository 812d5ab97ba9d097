//! Who may be named in which segments, as sets of the segments of each purpose.

use assent_contract::rulebook::audience::Standing;
use assent_contract::rulebook::{Rulebook, SegmentSet};

/// Of one purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Everybody who is in one of these may be named in it.
    open: SegmentSet,
    /// Who is named in one of these may stay so.
    held: SegmentSet,
}

/// By the rulebook's purposes; `None` of those without a minimum audience.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masks(Vec<Option<Mask>>);

impl Mask {
    /// Of the segments that somebody is in, those that an assignment may name. `named`: what it names now.
    pub fn of(self, qualified: SegmentSet, named: SegmentSet) -> SegmentSet {
        qualified & (self.open | (self.held & named))
    }
}

impl Masks {
    /// Of these purposes, everything closed.
    pub fn none(rulebook: &Rulebook) -> Self {
        let each = rulebook.purposes.iter();
        Self(each.map(|purpose| purpose.min_members.map(|_| Mask::default())).collect())
    }

    /// No purpose has a minimum audience.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn of_purpose(&self, rule: usize) -> Option<Mask> {
        self.0.get(rule).copied().flatten()
    }

    pub fn put(&mut self, rule: usize, bit: usize, standing: Standing) {
        let Some(Some(mask)) = self.0.get_mut(rule) else { return };
        match standing {
            Standing::Closed => {}
            Standing::Held { .. } => mask.held |= 1 << bit,
            Standing::Open => mask.open |= 1 << bit,
        }
    }
}
