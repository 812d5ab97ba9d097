//! The conditions of docs/contract/rulebook.md by brute force: no counters, no latest-N lists, every
//! click each time.

use std::collections::BTreeSet;

use assent_contract::domain::consent::AgeBand;
use assent_contract::domain::event::Click;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::{
    Bound, Condition, DistinctField, Measure, Purpose, Slot, value_hash,
};

/// A click that a purpose counts, and before it its t: `min(occurred_at, now)` in whole seconds.
pub type Counted<'a> = (Timestamp, Click<'a>);

/// What a condition is asked about; `clicks` in the order of their offsets.
pub struct Question<'a> {
    pub purpose: &'a Purpose,
    pub clicks: &'a [Counted<'a>],
    pub age_band: AgeBand,
    pub now: Timestamp,
}

impl Question<'_> {
    pub fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(|part| self.holds(part)),
            Condition::Any(parts) => parts.iter().any(|part| self.holds(part)),
            Condition::Not(part) => !self.holds(part),
            Condition::AgeBand(bands) => bands.contains(&self.age_band),
            Condition::Region { hashes, .. } => {
                self.region().is_some_and(|region| hashes.contains(&value_hash(region)))
            }
            Condition::Slot(slot) => self.measure(&self.purpose.slots[*slot]),
        }
    }

    fn region(&self) -> Option<&str> {
        let recent = self.clicks.iter().filter(|it| self.now < it.0 + self.purpose.retention);
        // `max_by_key` keeps the last of equals: the higher offset.
        recent.filter(|it| it.1.region.is_some()).max_by_key(|it| it.0)?.1.region
    }

    fn measure(&self, slot: &Slot) -> bool {
        let matching = || self.clicks.iter().filter(|it| slot.filter.matches(&it.1));
        let during = |span: Span| matching().filter(move |it| self.now < it.0 + span);
        match slot.measure {
            Measure::Count { within, bound } => is_in(bound, during(within).count() as i64),
            Measure::Distinct { field, within, bound } => {
                let values = during(within).filter_map(|it| match field {
                    DistinctField::ProductId => it.1.product_id,
                    DistinctField::Category => it.1.category,
                });
                is_in(bound, values.collect::<BTreeSet<_>>().len() as i64)
            }
            Measure::Sum { within, bound } => {
                // The only edge by which a click counts no longer than `within` and no shorter than
                // `within` less one unit, wherever in its unit it lies.
                let unit = if within.0 <= 48 * 3_600_000 { 3_600_000 } else { 86_400_000 };
                let start = |t: Timestamp| Timestamp(t.0.div_euclid(unit) * unit);
                let counted = matching().filter(|it| self.now < start(it.0) + within);
                is_in(bound, counted.filter_map(|it| it.1.value_cents).sum())
            }
            Measure::LastWithin { within } => during(within).count() > 0,
            Measure::LastNotWithin { not_within } => {
                during(self.purpose.retention).count() > 0 && during(not_within).count() == 0
            }
            Measure::Region => unreachable!("a region has its own condition"),
        }
    }
}

fn is_in(bound: Bound, value: i64) -> bool {
    match bound {
        Bound::AtLeast(least) => value >= least,
        Bound::AtMost(most) => value <= most,
    }
}
