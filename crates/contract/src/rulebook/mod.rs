//! The rulebook: declared purposes and segments, versioned.
//!
//! yaml (a tree with places) → spec (what a person wrote) → checks (what no rulebook may say) →
//! compile (shared, sorted, indexed) → the [`Rulebook`] that runs → render (the documents) and diff (what
//! a change means). Evaluation over a subject's counters is `engine::window`'s.

pub mod audience;
mod canary;
mod catalog;
mod checks;
mod compare;
mod compile;
mod conditions;
pub mod diff;
mod fields;
mod readers;
pub mod render;
mod spec;
#[cfg(test)]
mod tests;
mod themes;
pub mod words;

pub use catalog::{Listed, Rule};
pub use compile::compile;
pub use readers::{Reader, ReaderKind};

use crate::domain::consent::AgeBand;
use crate::domain::event::{Click, ClickFields, EventKind};
use crate::domain::hex::hex;
use crate::domain::time::{Span, Timestamp};

/// Most segments that one purpose, or the contextual segments together, may have: the width of a
/// [`SegmentSet`].
pub const SEGMENTS_MAX: usize = 128;

/// A rulebook that passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rulebook {
    /// `rulebook:` of the file.
    pub version: String,
    /// SHA-256 of the file's bytes.
    pub sha256: [u8; 32],
    pub default_segment: String,
    /// Sorted by id; a purpose's place here is its index everywhere.
    pub purposes: Vec<Purpose>,
    /// Contextual segments, sorted by id.
    pub contextual: Vec<ContextualRule>,
    /// Which optional click fields some rule reads (INV-11).
    pub fields: ClickFields,
    /// The longest retention of a purpose, 24 h where there is none: older clicks are too late.
    pub longest_retention: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // switches of the rulebook
pub struct Purpose {
    pub id: String,
    pub title: String,
    pub sale_or_share: bool,
    pub requires_opt_in: bool,
    pub suspended: bool,
    pub retention: Span,
    /// The minimum audience ([`audience`]); `None`: there is none.
    pub min_members: Option<u32>,
    /// Sorted by id.
    pub readers: Vec<Reader>,
    /// The distinct conditions of this purpose's segments that need a counter.
    pub slots: Vec<Slot>,
    /// Sorted by id; a segment's place here is its bit in a [`SegmentSet`].
    pub segments: Vec<SegmentRule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRule {
    pub id: String,
    pub title: String,
    pub why: String,
    pub owner: String,
    pub approach: Approach,
    pub condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextualRule {
    pub id: String,
    pub title: String,
    pub why: String,
    pub owner: String,
    pub condition: PageCondition,
}

/// How much of a person a segment rests on; derived from its conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approach {
    Behavioral,
    Demographic,
    Hybrid,
    Contextual,
}

impl Approach {
    pub const ALL: [Self; 4] =
        [Self::Behavioral, Self::Demographic, Self::Hybrid, Self::Contextual];

    /// As the rulebook writes it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Behavioral => "behavioral",
            Self::Demographic => "demographic",
            Self::Hybrid => "hybrid",
            Self::Contextual => "contextual",
        }
    }
}

/// The condition of a behavioral, demographic or hybrid segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    AgeBand(Vec<AgeBand>),
    /// Of the region slot: is the latest region one of these (by [`value_hash`])?
    Region {
        slot: usize,
        hashes: Vec<u64>,
        /// The same as written, for the documents.
        names: Vec<String>,
    },
    /// A counter's own bound holds: index into [`Purpose::slots`].
    Slot(usize),
}

/// A counter that a purpose keeps per subject. Two equal conditions of a purpose share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub measure: Measure,
    pub filter: Filter,
    /// The condition as written, canonical: a slot whose text is unchanged in the next rulebook
    /// keeps its counters.
    pub canonical: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Count {
        within: Span,
        bound: Bound,
    },
    Distinct {
        field: DistinctField,
        within: Span,
        bound: Bound,
    },
    /// Of `value_cents`; by UTC hours up to 48 h, by UTC days beyond.
    Sum {
        within: Span,
        bound: Bound,
    },
    LastWithin {
        within: Span,
    },
    /// There is such a click within the purpose's retention, but none within this.
    LastNotWithin {
        not_within: Span,
    },
    /// The region of the latest allowed click that named one, within the purpose's retention.
    Region,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistinctField {
    ProductId,
    Category,
}

/// Inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    AtLeast(i64),
    AtMost(i64),
}

/// Which clicks a slot counts. `None`: any. A click that lacks a field matches no list of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub kinds: Option<Vec<EventKind>>,
    pub category: Option<Vec<String>>,
    pub product_id: Option<Vec<String>>,
    pub product_age_range: Option<Vec<String>>,
    pub region: Option<Vec<String>>,
}

/// The condition of a contextual segment: of the click at hand only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageCondition {
    All(Vec<PageCondition>),
    Any(Vec<PageCondition>),
    Not(Box<PageCondition>),
    Page(Filter),
}

/// Bit `i`: the purpose's segment `i` holds.
pub type SegmentSet = u128;

impl Filter {
    pub fn matches(&self, click: &Click<'_>) -> bool {
        let listed = |list: &Option<Vec<String>>, value: Option<&str>| {
            list.as_ref().is_none_or(|list| value.is_some_and(|v| list.iter().any(|l| l == v)))
        };
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&click.kind))
            && listed(&self.category, click.category)
            && listed(&self.product_id, click.product_id)
            && listed(&self.product_age_range, click.product_age_range)
            && listed(&self.region, click.region)
    }
}

impl PageCondition {
    pub fn holds(&self, click: &Click<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(click)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(click)),
            Self::Not(part) => !part.holds(click),
            Self::Page(filter) => filter.matches(click),
        }
    }
}

impl Purpose {
    /// Does any counter of this purpose take the click?
    pub fn counts(&self, click: &Click<'_>) -> bool {
        self.slots.iter().any(|slot| slot.filter.matches(click))
    }
}

impl Rulebook {
    pub fn purpose_index(&self, id: &str) -> Option<usize> {
        self.purposes.binary_search_by(|purpose| purpose.id.as_str().cmp(id)).ok()
    }

    /// Lower case, as sha256sum prints it.
    pub fn sha256_hex(&self) -> String {
        hex(&self.sha256)
    }

    /// Is a click of this time older than every purpose keeps one?
    pub fn is_too_late(&self, occurred_at: Timestamp, now: Timestamp) -> bool {
        now - occurred_at > self.longest_retention
    }
}

/// What stands for a value (a region, a product id, a category) where only equality is asked:
/// FNV-1a, 64 bit, stable for ever since it is kept in the state.
pub fn value_hash(value: &str) -> u64 {
    value.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
