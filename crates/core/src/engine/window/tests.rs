//! Every question to the counters against a history that is kept whole.

use std::fmt::Write;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use assent_contract::domain::binary::Reader;
use assent_contract::domain::event::EventKind;
use assent_contract::domain::time::Span;
use assent_contract::rulebook::{Bound, DistinctField, Measure, Slot, compile, value_hash};

/// A purpose of one segment for each of the conditions, compiled as a rulebook is.
pub(super) fn purpose(retention: &str, conditions: &[String]) -> Purpose {
    let mut yaml = format!(
        "rulebook: 1\ndefault_segment: all\npurposes:\n- {{id: offers, sale_or_share: false, \
         requires_opt_in: true, retention: {retention}}}\nsegments:\n"
    );
    for (index, condition) in conditions.iter().enumerate() {
        let of_person = condition.contains("age_band")
            || condition.contains("{region: {in")
            || condition.contains("\"region\":{\"in\"");
        let approach = if of_person { "demographic" } else { "behavioral" };
        let _ = writeln!(
            yaml,
            "- {{id: s{index:03}, why: w, owner: o, approach: {approach}, purpose: offers, when: \
             {condition}}}"
        );
    }
    compile(yaml.as_bytes()).expect("a rulebook").purposes.remove(0)
}

/// A click of the property tests: few values, so that they meet.
#[derive(Clone, Debug)]
struct Event {
    /// Before the now of its decision.
    age: i64,
    /// Since the decision before.
    wait: i64,
    kind: EventKind,
    value: usize,
    cents: Option<i64>,
}

const VALUES: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("c")];
const START: Timestamp = Timestamp(1_795_294_812_345);

impl Event {
    fn click(&self, now: Timestamp) -> Click<'static> {
        Click {
            occurred_at: Timestamp(now.0 - self.age),
            kind: self.kind,
            category: VALUES[self.value],
            product_id: VALUES[(self.value + 1) % 4],
            region: VALUES[self.value],
            value_cents: self.cents,
            ..Click::default()
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let span = prop_oneof![Just(0), 0..2_000i64, 0..30_000i64, 0..20_000_000i64];
    let kind = prop_oneof![Just(EventKind::Search), Just(EventKind::Purchase)];
    let cents = prop_oneof![Just(None), (-5..9i64).prop_map(Some)];
    (span.clone(), span, kind, 0..4usize, cents).prop_map(|(age, wait, kind, value, cents)| Event {
        age,
        wait,
        kind,
        value,
        cents,
    })
}

/// Conditions whose windows are near the distances between the clicks.
fn conditions() -> Vec<String> {
    let mut conditions = Vec::new();
    for within in ["1s", "20s", "2h", "5h"] {
        for bound in ["at_least: 0", "at_least: 1", "at_least: 3", "at_most: 0", "at_most: 2"] {
            let window = format!("within: {within}, {bound}");
            conditions.push(format!("{{count: {{of: SEARCH, {window}}}}}"));
            conditions.push(format!("{{distinct: {{field: category, {window}}}}}"));
            conditions.push(format!("{{sum: {{field: value_cents, {window}}}}}"));
        }
        conditions.push(format!("{{last: {{within: {within}}}}}"));
        conditions.push(format!("{{last: {{of: PURCHASE, not_within: {within}}}}}"));
        conditions.push(format!("{{not: {{last: {{where: {{category: a}}, within: {within}}}}}}}"));
    }
    conditions.push("{distinct: {field: product_id, within: 5h, at_least: 2}}".to_owned());
    conditions.push("{region: {in: [a, b]}}".to_owned());
    conditions.push("{all: [{age_band: {in: [UNKNOWN]}}, {not: {region: {in: [c]}}}]}".to_owned());
    conditions.push("{age_band: {in: [FROM_18]}}".to_owned());
    conditions
}

static MANY: LazyLock<Purpose> = LazyLock::new(|| purpose("6h", &conditions()));

/// Every counted click, and docs/contract/rulebook.md#time asked of all of them.
struct History<'p> {
    purpose: &'p Purpose,
    /// With the t of the decision; in the order of the offsets.
    clicks: Vec<(Timestamp, Click<'static>)>,
}

impl History<'_> {
    fn segments(&self, band: AgeBand, now: Timestamp) -> SegmentSet {
        let segments = self.purpose.segments.iter().enumerate();
        segments.fold(0, |set, (i, s)| set | u128::from(self.holds(&s.condition, band, now)) << i)
    }

    fn holds(&self, condition: &Condition, band: AgeBand, now: Timestamp) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(|part| self.holds(part, band, now)),
            Condition::Any(parts) => parts.iter().any(|part| self.holds(part, band, now)),
            Condition::Not(part) => !self.holds(part, band, now),
            Condition::AgeBand(bands) => bands.contains(&band),
            Condition::Slot(slot) => self.slot_holds(&self.purpose.slots[*slot], now),
            Condition::Region { hashes, .. } => {
                let named = self.clicks.iter().filter(|(_, click)| click.region.is_some());
                let latest = named.max_by_key(|(t, _)| t.floor_second()); // the last of equal ones
                latest.is_some_and(|(t, click)| {
                    now < t.floor_second() + self.purpose.retention
                        && hashes.contains(&value_hash(click.region.expect("a region")))
                })
            }
        }
    }

    fn slot_holds(&self, slot: &Slot, now: Timestamp) -> bool {
        let matching = || self.clicks.iter().filter(|(_, click)| slot.filter.matches(click));
        let inside = |span: Span| {
            matching().filter(move |(t, _)| now < t.floor_second() + span).map(|(_, click)| click)
        };
        match slot.measure {
            Measure::Count { within, bound } => bounded(bound, inside(within).count() as i128),
            Measure::Distinct { field, within, bound } => {
                let value = |click: &&Click<'static>| match field {
                    DistinctField::ProductId => click.product_id,
                    DistinctField::Category => click.category,
                };
                let values: std::collections::BTreeSet<_> =
                    inside(within).filter_map(|click| value(&click)).collect();
                bounded(bound, values.len() as i128)
            }
            Measure::Sum { within, bound } => {
                let hour = |t: &Timestamp| Timestamp(t.0 - t.0.rem_euclid(Span::HOUR.0));
                let live = matching().filter(|(t, _)| now < hour(t) + within);
                bounded(
                    bound,
                    live.filter_map(|(_, click)| click.value_cents).map(i128::from).sum(),
                )
            }
            Measure::LastWithin { within } => inside(within).next().is_some(),
            Measure::LastNotWithin { not_within } => {
                inside(self.purpose.retention).next().is_some()
                    && inside(not_within).next().is_none()
            }
            Measure::Region => unreachable!("asked by its condition"),
        }
    }
}

fn bounded(bound: Bound, value: i128) -> bool {
    match bound {
        Bound::AtLeast(least) => value >= i128::from(least),
        Bound::AtMost(most) => value <= i128::from(most),
    }
}

/// Counts the events one after the other; gives what was kept, the whole history, and the last now.
fn play<'p>(purpose: &'p Purpose, events: &[Event]) -> (Counters, History<'p>, Timestamp) {
    let mut counters = Counters::default();
    let mut history = History { purpose, clicks: Vec::new() };
    let mut now = START;
    for (offset, event) in (0..).zip(events) {
        now = now + Span(event.wait);
        let click = event.click(now);
        let before = counters.clone();
        let changed = counters.observe(purpose, &click, click.occurred_at, offset, now);
        assert!(changed || counters == before);
        if event.wait % 3 == 0 {
            counters.prune(purpose, now);
        }
        history.clicks.push((click.occurred_at, click));
        assert_eq!(
            counters.segments(purpose, AgeBand::Unknown, now),
            history.segments(AgeBand::Unknown, now)
        );
    }
    (counters, history, now)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn counters_answer_as_the_whole_history_does_until_nothing_is_left(
        events in proptest::collection::vec(event(), 0..25)
    ) {
        let purpose = &*MANY;
        let (mut counters, history, mut now) = play(purpose, &events);
        let mut steps = 0;
        while let Some(next) = counters.next_change(purpose, now) {
            prop_assert!(next > now);
            let answer = counters.segments(purpose, AgeBand::Unknown, now);
            // Nothing turns in between: asked at both ends of the gap and inside it.
            for at in [now.0 + 1, i64::midpoint(now.0, next.0), next.0 - 1000, next.0 - 1] {
                let at = Timestamp(at.clamp(now.0, next.0 - 1));
                prop_assert_eq!(history.segments(AgeBand::Unknown, at), answer);
                prop_assert_eq!(counters.segments(purpose, AgeBand::Unknown, at), answer);
            }
            now = next;
            let unpruned = counters.segments(purpose, AgeBand::Unknown, now);
            counters.prune(purpose, now);
            prop_assert_eq!(counters.segments(purpose, AgeBand::Unknown, now), unpruned);
            prop_assert_eq!(history.segments(AgeBand::Unknown, now), unpruned);
            steps += 1;
            prop_assert!(steps < 10_000);
        }
        counters.prune(purpose, now);
        prop_assert!(counters.is_empty());
        prop_assert_eq!(counters, Counters::default());
    }

    #[test]
    fn packed_counters_come_back_as_they_were(
        events in proptest::collection::vec(event(), 0..25)
    ) {
        let purpose = &*MANY;
        let (counters, ..) = play(purpose, &events);
        let mut packed = Vec::new();
        counters.pack(&mut packed);
        let mut reader = Reader::new(&packed);
        prop_assert_eq!(Counters::unpack(&mut reader, purpose.slots.len()), Ok(counters.clone()));
        prop_assert!(reader.is_empty());
        for cut in 0..packed.len() {
            prop_assert!(Counters::unpack(&mut Reader::new(&packed[..cut]), 128).is_err());
        }
        if !counters.is_empty() {
            prop_assert!(Counters::unpack(&mut Reader::new(&packed), 0).is_err());
        }
    }

    #[test]
    fn no_bytes_break_unpacking_or_what_is_asked_of_it(
        bytes in proptest::collection::vec(prop_oneof![0..8u8, any::<u8>()], 0..60)
    ) {
        let purpose = purpose("6h", &["{last: {within: 1s}}".to_owned(), "{region: {in: [a]}}".to_owned(),
            "{sum: {field: value_cents, within: 5h, at_least: 1}}".to_owned()]);
        if let Ok(mut counters) = Counters::unpack(&mut Reader::new(&bytes), 3) {
            let event = Event { age: 0, wait: 0, kind: EventKind::Search, value: 1, cents: Some(1) };
            counters.segments(&purpose, AgeBand::Unknown, START);
            counters.next_change(&purpose, START);
            counters.observe(&purpose, &event.click(START), START, 0, START);
            counters.prune(&purpose, START);
        }
    }
}

#[test]
fn a_subject_without_clicks_keeps_nothing_and_may_be_in_segments() {
    let purpose = purpose("6h", &conditions());
    let counters = Counters::default();
    let history = History { purpose: &purpose, clicks: Vec::new() };
    for band in [AgeBand::Unknown, AgeBand::From18] {
        let set = counters.segments(&purpose, band, START);
        assert_ne!(set, 0);
        assert_eq!(set, history.segments(band, START));
    }
    assert_eq!(counters.next_change(&purpose, START), None);
    let mut packed = Vec::new();
    counters.pack(&mut packed);
    assert_eq!(packed, [0]);
}

#[test]
fn a_sum_goes_by_days_beyond_48_hours() {
    let condition =
        |within: &str| format!("{{sum: {{field: value_cents, within: {within}, at_least: 1}}}}");
    let purpose = purpose("9d", &[condition("48h"), condition("49h")]);
    let mut counters = Counters::default();
    let midnight = Timestamp(START.0 - START.0.rem_euclid(Span::DAY.0));
    let t = midnight + Span(13 * Span::HOUR.0 + 59 * Span::MINUTE.0);
    let click = Click { value_cents: Some(5), ..Click::default() };
    assert!(counters.observe(&purpose, &click, t, 0, t));
    let turns = counters.next_change(&purpose, t).expect("the end of the day's bucket");
    assert_eq!(turns, midnight + Span(49 * Span::HOUR.0));
    assert_eq!(counters.segments(&purpose, AgeBand::Unknown, turns), 0b01);
    let turns = counters.next_change(&purpose, turns).expect("the end of the hour's bucket");
    assert_eq!(turns, midnight + Span((13 + 48) * Span::HOUR.0));
    assert_eq!(counters.segments(&purpose, AgeBand::Unknown, turns), 0);
}

#[test]
fn sums_beyond_64_bits_stay_exact() {
    let condition = "{sum: {field: value_cents, within: 2h, at_least: 1}}".to_owned();
    let purpose = purpose("9d", &[condition]);
    let mut counters = Counters::default();
    for cents in [i64::MAX, i64::MAX, i64::MIN, i64::MIN, 3] {
        let click = Click { value_cents: Some(cents), ..Click::default() };
        counters.observe(&purpose, &click, START, 0, START);
        let mut packed = Vec::new();
        counters.pack(&mut packed);
        counters = Counters::unpack(&mut Reader::new(&packed), 1).expect("what was packed");
    }
    assert_eq!(counters.segments(&purpose, AgeBand::Unknown, START), 1);
}

#[test]
fn a_changed_rulebook_keeps_the_counters_of_unchanged_conditions() {
    let of = |list: &[&str]| {
        purpose(
            "6h",
            &list
                .iter()
                .map(|within| format!("{{last: {{within: {within}}}}}"))
                .collect::<Vec<_>>(),
        )
    };
    let (old, new) = (of(&["1h", "2h", "3h"]), of(&["3h", "4h", "1h"]));
    let mut counters = Counters::default();
    counters.observe(&old, &Click::default(), START, 0, START);
    let index = |slot: &Slot| new.slots.iter().position(|s| s.canonical == slot.canonical);
    let map: Vec<Option<usize>> = old.slots.iter().map(index).collect();
    let counters = counters.remap(&map, new.slots.len());
    assert_eq!(counters.segments(&new, AgeBand::Unknown, START), 0b101);
    assert!(counters.remap(&[None, None, None], 0).is_empty());
}

#[test]
fn a_click_that_can_not_count_any_more_is_not_kept() {
    let purpose = purpose("6h", &conditions());
    let mut counters = Counters::default();
    let click =
        Event { age: 0, wait: 0, kind: EventKind::Search, value: 1, cents: Some(1) }.click(START);
    for age in [Span(7 * Span::HOUR.0), Span(i64::MAX)] {
        assert!(!counters.observe(&purpose, &click, START - age, 0, START));
        assert!(counters.is_empty());
    }
}
