//! What one slot keeps: few dated items, oldest first, and when the slot's answer turns.
//!
//! An item counts while now < its start + the slot's span. A slot that asks for at least N keeps the
//! latest N, one that asks for at most N the latest N + 1: more can't change its answer.

use super::HeldItem;
use assent_contract::domain::event::Click;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::{Bound, DistinctField, Measure, Purpose, Slot, value_hash};

/// Longest window of a sum that goes by UTC hours; a longer one goes by UTC days
/// (docs/contract/rulebook.md#time).
const HOURLY_SUM_MAX: Span = Span(48 * Span::HOUR.0);

/// A slot's measure at the moment of a decision.
#[derive(Clone, Copy)]
pub(super) struct Window {
    measure: Measure,
    retention: Span,
    now: Timestamp,
}

/// An allowed click as it is counted. `t`: the earlier of its time and now.
pub(super) struct Seen<'c> {
    pub click: &'c Click<'c>,
    pub t: Timestamp,
    pub offset: i64,
}

/// Sorted, oldest first. Times are seconds since 1970, rounded down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// `count` and `last`.
    Times(Box<[u32]>),
    /// `distinct`: the latest time of each value.
    Values(Box<[ValueAt]>),
    /// `sum`: one bucket an hour or day, none of them zero.
    Sums(Box<[Bucket]>),
    /// The latest only.
    Regions(Box<[RegionAt]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ValueAt {
    pub second: u32,
    pub hash: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bucket {
    /// The second at which its hour or day begins.
    pub start: u32,
    pub cents: i128,
}

/// Ordered by t, whole seconds, then by the click's offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RegionAt {
    pub second: u32,
    pub offset: i64,
    pub hash: u64,
}

/// What counts from a moment on.
pub(super) trait Dated: Copy + Ord {
    fn start(&self) -> Timestamp;
}

impl Dated for u32 {
    fn start(&self) -> Timestamp {
        Timestamp(i64::from(*self) * Span::SECOND.0)
    }
}

impl Dated for ValueAt {
    fn start(&self) -> Timestamp {
        self.second.start()
    }
}

impl Dated for Bucket {
    fn start(&self) -> Timestamp {
        self.start.start()
    }
}

impl Dated for RegionAt {
    fn start(&self) -> Timestamp {
        self.second.start()
    }
}

impl Window {
    pub fn of(slot: &Slot, purpose: &Purpose, now: Timestamp) -> Self {
        Self { measure: slot.measure, retention: purpose.retention, now }
    }

    /// How long an item of this slot may count, and is kept.
    fn span(self) -> Span {
        match self.measure {
            Measure::Count { within, .. }
            | Measure::Distinct { within, .. }
            | Measure::Sum { within, .. }
            | Measure::LastWithin { within } => within.min(self.retention),
            Measure::LastNotWithin { .. } | Measure::Region => self.retention,
        }
    }

    fn end(self, item: impl Dated) -> Timestamp {
        item.start() + self.span()
    }

    fn counts(self, item: impl Dated) -> bool {
        self.now < self.end(item)
    }

    fn live<T: Dated>(self, items: &[T]) -> &[T] {
        &items[items.partition_point(|item| !self.counts(*item))..]
    }

    /// How many of the latest items can decide the bound.
    fn kept_max(self) -> usize {
        match self.measure {
            Measure::Count { bound, .. } | Measure::Distinct { bound, .. } => turning_number(bound),
            Measure::LastWithin { .. } | Measure::LastNotWithin { .. } | Measure::Region => 1,
            Measure::Sum { .. } => usize::MAX,
        }
    }
}

impl Kept {
    /// All of it, oldest first.
    pub fn held(&self) -> Vec<HeldItem> {
        let item = |at: Timestamp, value| HeldItem { at, value, cents: None };
        match self {
            Self::Times(times) => times.iter().map(|it| item(it.start(), None)).collect(),
            Self::Values(values) => {
                values.iter().map(|it| item(it.start(), Some(it.hash))).collect()
            }
            Self::Sums(sums) => sums
                .iter()
                .map(|it| HeldItem { at: it.start(), value: None, cents: Some(it.cents) })
                .collect(),
            Self::Regions(regions) => {
                regions.iter().map(|it| item(it.start(), Some(it.hash))).collect()
            }
        }
    }

    /// What a slot without clicks keeps; it owns no memory.
    pub fn empty(window: Window) -> Self {
        match window.measure {
            Measure::Count { .. } | Measure::LastWithin { .. } | Measure::LastNotWithin { .. } => {
                Self::Times(Box::default())
            }
            Measure::Distinct { .. } => Self::Values(Box::default()),
            Measure::Sum { .. } => Self::Sums(Box::default()),
            Measure::Region => Self::Regions(Box::default()),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::Times(items) => items.is_empty(),
            Self::Values(items) => items.is_empty(),
            Self::Sums(items) => items.is_empty(),
            Self::Regions(items) => items.is_empty(),
        }
    }

    /// Counts a click that passed the slot's filter. Did anything change?
    pub fn add(&mut self, window: Window, seen: &Seen<'_>) -> bool {
        match self {
            Self::Times(times) => second_of(seen.t).is_some_and(|second| {
                window.counts(second) && insert(times, second, window.kept_max())
            }),
            Self::Values(values) => value_at(window, seen)
                .is_some_and(|value| window.counts(value) && insert_value(values, value, window)),
            Self::Sums(buckets) => bucket_of(window, seen).is_some_and(|bucket| {
                window.counts(bucket) && add_to_bucket(buckets, bucket, window)
            }),
            Self::Regions(regions) => region_at(seen)
                .is_some_and(|region| window.counts(region) && insert(regions, region, 1)),
        }
    }

    /// Does the slot's own bound hold? A region's is asked with [`Self::region`].
    pub fn holds(&self, window: Window) -> bool {
        match window.measure {
            Measure::Count { bound, .. } | Measure::Distinct { bound, .. } => {
                within_bound(bound, self.live_items(window) as i128)
            }
            Measure::Sum { bound, .. } => within_bound(bound, self.sum(window)),
            Measure::LastWithin { .. } => self.live_items(window) > 0,
            Measure::LastNotWithin { not_within } => {
                self.live_items(window) > 0
                    && self.latest().is_some_and(|latest| window.now >= latest + not_within)
            }
            Measure::Region => false,
        }
    }

    /// The region that counts now.
    pub fn region(&self, window: Window) -> Option<u64> {
        match self {
            Self::Regions(regions) => window.live(regions).last().map(|region| region.hash),
            _ => None,
        }
    }

    /// The next moment after now at which the answer turns or nothing is left that counts.
    pub fn next_change(&self, window: Window) -> Option<Timestamp> {
        let end = self.latest().map(|latest| latest + window.span());
        [end, self.turn(window)].into_iter().flatten().filter(|at| *at > window.now).min()
    }

    pub fn prune(&mut self, window: Window) {
        match self {
            Self::Times(items) => drop_ended(items, window),
            Self::Values(items) => drop_ended(items, window),
            Self::Sums(items) => drop_ended(items, window),
            Self::Regions(items) => drop_ended(items, window),
        }
    }

    /// When the slot's answer turns before its last item ends.
    fn turn(&self, window: Window) -> Option<Timestamp> {
        match (self, window.measure) {
            (Self::Times(items), Measure::Count { bound, .. }) => bound_turn(items, bound, window),
            (Self::Values(items), Measure::Distinct { bound, .. }) => {
                bound_turn(items, bound, window)
            }
            (Self::Sums(buckets), Measure::Sum { bound, .. }) => sum_turn(buckets, bound, window),
            (_, Measure::LastNotWithin { not_within }) => self.latest().map(|at| at + not_within),
            _ => None,
        }
    }

    fn live_items(&self, window: Window) -> usize {
        match self {
            Self::Times(items) => window.live(items).len(),
            Self::Values(items) => window.live(items).len(),
            Self::Sums(items) => window.live(items).len(),
            Self::Regions(items) => window.live(items).len(),
        }
    }

    fn sum(&self, window: Window) -> i128 {
        match self {
            Self::Sums(buckets) => total(window.live(buckets)),
            _ => 0,
        }
    }

    fn latest(&self) -> Option<Timestamp> {
        match self {
            Self::Times(items) => items.last().map(Dated::start),
            Self::Values(items) => items.last().map(Dated::start),
            Self::Sums(items) => items.last().map(Dated::start),
            Self::Regions(items) => items.last().map(Dated::start),
        }
    }
}

/// With this many items the bound's answer is not what it is with one less.
fn turning_number(bound: Bound) -> usize {
    let number = match bound {
        Bound::AtLeast(least) => least,
        Bound::AtMost(most) => most.saturating_add(1),
    };
    usize::try_from(number).unwrap_or(0)
}

fn within_bound(bound: Bound, value: i128) -> bool {
    match bound {
        Bound::AtLeast(least) => value >= i128::from(least),
        Bound::AtMost(most) => value <= i128::from(most),
    }
}

fn bound_turn<T: Dated>(items: &[T], bound: Bound, window: Window) -> Option<Timestamp> {
    let turning = items.len().checked_sub(turning_number(bound))?;
    items.get(turning).map(|item| window.end(*item))
}

/// The end of the first live bucket without which the answer is another.
fn sum_turn(buckets: &[Bucket], bound: Bound, window: Window) -> Option<Timestamp> {
    let live = window.live(buckets);
    let holds = within_bound(bound, total(live));
    let turns = |first_left: usize| within_bound(bound, total(&live[first_left..])) != holds;
    (0..live.len()).find(|ended| turns(ended + 1)).map(|ended| window.end(live[ended]))
}

fn total(buckets: &[Bucket]) -> i128 {
    buckets.iter().fold(0, |sum: i128, bucket| sum.saturating_add(bucket.cents))
}

/// `None`: before 1970 or after 2105, where no click counts.
fn second_of(t: Timestamp) -> Option<u32> {
    u32::try_from(t.0.div_euclid(Span::SECOND.0)).ok()
}

fn value_at(window: Window, seen: &Seen<'_>) -> Option<ValueAt> {
    let value = match window.measure {
        Measure::Distinct { field: DistinctField::ProductId, .. } => seen.click.product_id,
        Measure::Distinct { field: DistinctField::Category, .. } => seen.click.category,
        _ => None,
    };
    Some(ValueAt { second: second_of(seen.t)?, hash: value_hash(value?) })
}

fn bucket_of(window: Window, seen: &Seen<'_>) -> Option<Bucket> {
    let Measure::Sum { within, .. } = window.measure else { return None };
    let unit = if within <= HOURLY_SUM_MAX { Span::HOUR } else { Span::DAY };
    let cents = i128::from(seen.click.value_cents?);
    let second = second_of(seen.t)?;
    Some(Bucket { start: second - second % (unit.0 / Span::SECOND.0) as u32, cents })
}

fn region_at(seen: &Seen<'_>) -> Option<RegionAt> {
    let hash = value_hash(seen.click.region?);
    Some(RegionAt { second: second_of(seen.t)?, offset: seen.offset, hash })
}

/// Keeps the latest `max` items.
fn insert<T: Dated>(items: &mut Box<[T]>, item: T, max: usize) -> bool {
    if items.len() < max {
        insert_sorted(items, item);
        return true;
    }
    if items.first().is_none_or(|oldest| item <= *oldest) {
        return false;
    }
    replace(items, 0, item);
    true
}

fn insert_sorted<T: Dated>(items: &mut Box<[T]>, item: T) {
    let at = items.partition_point(|other| *other <= item);
    rebuild(items, |items| {
        items.reserve_exact(1);
        items.insert(at, item);
    });
}

/// Puts a later item in the place of the one at `old`, keeping the order.
fn replace<T: Dated>(items: &mut [T], old: usize, item: T) {
    let end = items.partition_point(|other| *other <= item);
    items[old..end].rotate_left(1);
    items[end - 1] = item;
}

fn insert_value(values: &mut Box<[ValueAt]>, value: ValueAt, window: Window) -> bool {
    match values.iter().position(|kept| kept.hash == value.hash) {
        Some(at) if values[at].second >= value.second => false,
        Some(at) => {
            replace(values, at, value);
            true
        }
        None => insert(values, value, window.kept_max()),
    }
}

fn add_to_bucket(buckets: &mut Box<[Bucket]>, added: Bucket, window: Window) -> bool {
    if added.cents == 0 {
        return false;
    }
    if let Ok(at) = buckets.binary_search_by_key(&added.start, |bucket| bucket.start) {
        buckets[at].cents = buckets[at].cents.saturating_add(added.cents);
        if buckets[at].cents == 0 {
            rebuild(buckets, |buckets| {
                buckets.remove(at);
            });
        }
    } else {
        drop_ended(buckets, window);
        insert_sorted(buckets, added);
    }
    true
}

fn drop_ended<T: Dated>(items: &mut Box<[T]>, window: Window) {
    let ended = items.len() - window.live(items).len();
    if ended > 0 {
        rebuild(items, |items| drop(items.drain(..ended)));
    }
}

/// Changes a boxed slice as a vector, and gives back what memory it no longer needs.
pub(super) fn rebuild<T>(items: &mut Box<[T]>, change: impl FnOnce(&mut Vec<T>)) {
    let mut list = std::mem::take(items).into_vec();
    change(&mut list);
    *items = list.into_boxed_slice();
}
