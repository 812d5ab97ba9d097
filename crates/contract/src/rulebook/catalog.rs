//! Every segment of a rulebook in one view, whether it rests on a person or on a page.

use std::collections::BTreeSet;

use super::{
    Approach, Condition, ContextualRule, Measure, Purpose, Rulebook, SegmentRule, Slot, compile,
    words,
};
use crate::domain::consent::AgeBand;
use crate::domain::event::ClickFields;
use crate::domain::time::Span;

/// A segment as the documents list it.
#[derive(Clone, Copy)]
pub struct Listed<'r> {
    pub id: &'r str,
    pub title: &'r str,
    pub why: &'r str,
    pub owner: &'r str,
    pub rule: Rule<'r>,
}

/// What a segment rests on.
#[derive(Clone, Copy)]
pub enum Rule<'r> {
    /// A person's data, for a purpose.
    Person(&'r Purpose, &'r SegmentRule),
    /// The page at hand.
    Page(&'r ContextualRule),
}

impl Rulebook {
    /// By purpose and id; the contextual ones last.
    pub fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        self.declared()
            .flat_map(Purpose::listed)
            .chain(self.contextual.iter().map(ContextualRule::listed))
    }
}

impl Purpose {
    pub fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        self.segments.iter().map(|segment| Listed {
            id: &segment.id,
            title: &segment.title,
            why: &segment.why,
            owner: &segment.owner,
            rule: Rule::Person(self, segment),
        })
    }
}

impl ContextualRule {
    pub fn listed(&self) -> Listed<'_> {
        let Self { id, title, why, owner, .. } = self;
        Listed { id, title, why, owner, rule: Rule::Page(self) }
    }
}

impl<'r> Listed<'r> {
    pub fn purpose(&self) -> Option<&'r Purpose> {
        match self.rule {
            Rule::Person(purpose, _) => Some(purpose),
            Rule::Page(_) => None,
        }
    }

    pub fn approach(&self) -> Approach {
        match self.rule {
            Rule::Person(_, segment) => segment.approach,
            Rule::Page(_) => Approach::Contextual,
        }
    }

    /// Which optional click fields it reads; the union over all segments, and what is measured, is
    /// [`Rulebook::fields`].
    pub fn fields(&self) -> ClickFields {
        let mut fields = ClickFields::default();
        match self.rule {
            Rule::Person(purpose, segment) => {
                each_slot(&segment.condition, &purpose.slots, &mut |slot| {
                    compile::add_slot(slot, &mut fields);
                });
            }
            Rule::Page(rule) => compile::add_page(&rule.condition, &mut fields),
        }
        fields
    }

    /// The counters that it needs, each once, as [`Slot::canonical`] writes them.
    pub fn counters(&self) -> BTreeSet<&'r str> {
        let mut counters = BTreeSet::new();
        if let Rule::Person(purpose, segment) = self.rule {
            each_slot(&segment.condition, &purpose.slots, &mut |slot| {
                counters.insert(slot.canonical.as_str());
            });
        }
        counters
    }

    /// Does it read the age band of the consent record?
    pub fn reads_age_band(&self) -> bool {
        !self.age_bands().is_empty()
    }

    /// The age bands that its condition names, whatever it says of them.
    pub fn age_bands(&self) -> BTreeSet<AgeBand> {
        let mut bands = BTreeSet::new();
        if let Rule::Person(_, segment) = self.rule {
            each_age_band(&segment.condition, &mut |band| {
                bands.insert(band);
            });
        }
        bands
    }

    /// How far back its counters look; zero: it needs none.
    pub fn looks_back(&self) -> Span {
        let mut longest = Span::default();
        if let Rule::Person(purpose, segment) = self.rule {
            each_slot(&segment.condition, &purpose.slots, &mut |slot| {
                longest = longest.max(slot.measure.window().unwrap_or(purpose.retention));
            });
        }
        longest
    }

    /// Its condition in plain words.
    pub fn condition(&self) -> words::Phrase {
        match self.rule {
            Rule::Person(purpose, segment) => words::condition(purpose, &segment.condition),
            Rule::Page(rule) => words::page_condition(&rule.condition),
        }
    }

    /// Is it the same for everyone who is in it?
    pub fn rests_on_the_same(&self, other: &Listed<'_>) -> bool {
        match (self.rule, other.rule) {
            (Rule::Person(own, old), Rule::Person(others, new)) => {
                old.rests_on_the_same(own, new, others)
            }
            (Rule::Page(old), Rule::Page(new)) => old.condition == new.condition,
            _ => false,
        }
    }
}

fn each_slot<'r>(condition: &'r Condition, slots: &'r [Slot], visit: &mut impl FnMut(&'r Slot)) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                each_slot(part, slots, visit);
            }
        }
        Condition::Not(part) => each_slot(part, slots, visit),
        Condition::AgeBand(_) => {}
        Condition::Region { slot, .. } | Condition::Slot(slot) => visit(&slots[*slot]),
    }
}

fn each_age_band(condition: &Condition, visit: &mut impl FnMut(AgeBand)) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            for part in parts {
                each_age_band(part, visit);
            }
        }
        Condition::Not(part) => each_age_band(part, visit),
        Condition::AgeBand(bands) => bands.iter().copied().for_each(visit),
        Condition::Region { .. } | Condition::Slot(_) => {}
    }
}

impl Measure {
    /// `None`: as long as the purpose keeps clicks.
    fn window(self) -> Option<Span> {
        match self {
            Self::Count { within, .. }
            | Self::Distinct { within, .. }
            | Self::Sum { within, .. }
            | Self::LastWithin { within } => Some(within),
            Self::LastNotWithin { .. } | Self::Region => None,
        }
    }
}
