//! A rulebook's conditions, windows and bands in plain words.
//!
//! Reads the compiled conditions, the ones that run; says nothing that they don't.

use super::{
    Bound, Condition, DistinctField, Filter, Holdout, Measure, PageCondition, Purpose, Slot,
};
use crate::domain::consent::AgeBand;
use crate::domain::event::EventKind;
use crate::domain::time::Span;

/// A sentence and what it consists of: `all of these hold`, with its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    pub text: String,
    pub parts: Vec<Phrase>,
}

impl Phrase {
    fn leaf(text: impl Into<String>) -> Self {
        Self { text: text.into(), parts: Vec::new() }
    }

    fn of(text: &str, parts: Vec<Self>) -> Self {
        Self { text: text.to_owned(), parts }
    }

    /// On one line: `all of these hold: (…; …)`.
    pub fn on_one_line(&self) -> String {
        if self.parts.is_empty() {
            return self.text.clone();
        }
        let parts: Vec<String> = self.parts.iter().map(Self::on_one_line).collect();
        format!("{}: ({})", self.text, parts.join("; "))
    }
}

const ALL: &str = "all of these hold";
const ANY: &str = "at least one of these holds";
const NOT: &str = "this does not hold";

/// `purpose`: whose slots the condition names.
pub(super) fn condition(purpose: &Purpose, of: &Condition) -> Phrase {
    let each = |parts: &[Condition]| parts.iter().map(|part| condition(purpose, part)).collect();
    match of {
        Condition::All(parts) => Phrase::of(ALL, each(parts)),
        Condition::Any(parts) => Phrase::of(ANY, each(parts)),
        Condition::Not(part) => Phrase::of(NOT, vec![condition(purpose, part)]),
        Condition::AgeBand(bands) => Phrase::leaf(age_bands(bands)),
        Condition::Region { names, .. } => Phrase::leaf(format!(
            "the region of the latest click with a region, within the last {}, is {}",
            span(purpose.retention),
            quoted(names)
        )),
        Condition::Slot(slot) => Phrase::leaf(slot_words(&purpose.slots[*slot], purpose.retention)),
    }
}

pub(super) fn page_condition(of: &PageCondition) -> Phrase {
    let each = |parts: &[PageCondition]| parts.iter().map(page_condition).collect();
    match of {
        PageCondition::All(parts) => Phrase::of(ALL, each(parts)),
        PageCondition::Any(parts) => Phrase::of(ANY, each(parts)),
        PageCondition::Not(part) => Phrase::of(NOT, vec![page_condition(part)]),
        PageCondition::Page(filter) => {
            let kinds = filter.kinds.as_deref().map(|kinds| nouns(kinds, true));
            let kinds = kinds.unwrap_or_else(|| "click of any kind".to_owned());
            Phrase::leaf(format!("the current click is a {kinds}{}", matching(filter)))
        }
    }
}

fn age_bands(bands: &[AgeBand]) -> String {
    let names: Vec<&str> = bands.iter().map(|band| age_band(*band)).collect();
    format!("the age band of the consent record is {}", joined(&names))
}

pub(super) fn age_band(band: AgeBand) -> &'static str {
    match band {
        AgeBand::Unknown => "unknown",
        AgeBand::Under13 => "under 13",
        AgeBand::From13To15 => "13 to 15",
        AgeBand::From16To17 => "16 to 17",
        AgeBand::From18 => "18 or older",
    }
}

fn slot_words(slot: &Slot, retention: Span) -> String {
    let filter = &slot.filter;
    match slot.measure {
        Measure::Count { within, bound } => {
            let (bound, number) = limit(bound);
            format!("{bound} {}, {}", clicks(number, filter), last(within))
        }
        Measure::Distinct { field, within, bound } => {
            let (bound, number) = limit(bound);
            let field = match (field, number) {
                (DistinctField::ProductId, 1) => "product",
                (DistinctField::ProductId, _) => "different products",
                (DistinctField::Category, 1) => "category",
                (DistinctField::Category, _) => "different categories",
            };
            format!("{bound} {number} {field} among {}, {}", all_clicks(filter), last(within))
        }
        Measure::Sum { within, bound } => {
            let (bound, cents) = limit(bound);
            let step = if within <= Span(48 * Span::HOUR.0) { "hours" } else { "days" };
            let (amount, clicks) = (money(cents), all_clicks(filter));
            let last = last(within);
            format!("{bound} {amount} together over {clicks}, {last} (counted by UTC {step})")
        }
        Measure::LastWithin { within } => {
            format!("at least {}, {}", clicks(1, filter), last(within))
        }
        Measure::LastNotWithin { not_within } => {
            let (clicks, kept) = (clicks(1, filter), last(retention));
            format!("at least {clicks}, {kept}, but none {}", last(not_within))
        }
        Measure::Region => {
            format!("the region of the latest click with a region, {}", last(retention))
        }
    }
}

/// `purchases`: what is counted where people are held out.
pub(super) fn conversions(holdout: &Holdout) -> String {
    all_clicks(&holdout.of)
}

fn limit(bound: Bound) -> (&'static str, i64) {
    match bound {
        Bound::AtLeast(number) => ("at least", number),
        Bound::AtMost(number) => ("at most", number),
    }
}

fn last(within: Span) -> String {
    format!("within the last {}", span(within))
}

/// `3 product views in category “toys”`.
fn clicks(number: i64, filter: &Filter) -> String {
    let one = number == 1;
    let any = if one { "click of any kind" } else { "clicks of any kind" };
    let kinds = filter.kinds.as_deref().map_or(any.to_owned(), |kinds| nouns(kinds, one));
    format!("{number} {kinds}{}", matching(filter))
}

fn all_clicks(filter: &Filter) -> String {
    let kinds = filter.kinds.as_deref().map(|kinds| nouns(kinds, false));
    format!("{}{}", kinds.unwrap_or_else(|| "clicks of any kind".to_owned()), matching(filter))
}

fn nouns(kinds: &[EventKind], one: bool) -> String {
    let noun = |kind: &EventKind| match (kind, one) {
        (EventKind::PageView, true) => "page view",
        (EventKind::PageView, false) => "page views",
        (EventKind::ProductView, true) => "product view",
        (EventKind::ProductView, false) => "product views",
        (EventKind::Search, true) => "search",
        (EventKind::Search, false) => "searches",
        (EventKind::AddToCart, true) => "addition to the cart",
        (EventKind::AddToCart, false) => "additions to the cart",
        (EventKind::Purchase, true) => "purchase",
        (EventKind::Purchase, false) => "purchases",
        (EventKind::Other, true) => "click of another kind",
        (EventKind::Other, false) => "clicks of other kinds",
    };
    joined(&kinds.iter().map(noun).collect::<Vec<_>>())
}

/// `, in category “toys” or “books”, from region “US-CA”`; empty where nothing is asked.
fn matching(filter: &Filter) -> String {
    let asked = [
        (" in category ", &filter.category),
        (" of product ", &filter.product_id),
        (" of a product made for the ages ", &filter.product_age_range),
        (" from region ", &filter.region),
    ];
    let asked = asked.into_iter().filter_map(|(what, values)| Some((what, values.as_ref()?)));
    asked.fold(String::new(), |text, (what, values)| text + what + &quoted(values))
}

fn quoted(values: &[String]) -> String {
    joined(&values.iter().map(|value| format!("“{value}”")).collect::<Vec<_>>())
}

/// `a, b or c`.
fn joined(values: &[impl AsRef<str>]) -> String {
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    match values.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => "nothing".to_owned(),
    }
}

/// `90 days`, `36 hours`: in the largest unit that is exact.
pub(super) fn span(span: Span) -> String {
    let units = [(Span::DAY, "day"), (Span::HOUR, "hour"), (Span::MINUTE, "minute")];
    let exact = units.into_iter().find(|(unit, _)| span.0 % unit.0 == 0);
    let (unit, name) = exact.unwrap_or((Span::SECOND, "second"));
    match span.0 / unit.0 {
        1 => format!("1 {name}"),
        number => format!("{number} {name}s"),
    }
}

/// `$150.00`, from cents.
fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}${}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rulebook::compile;

    fn check(approach: &str, when: &str, expected: &str) {
        let purpose = if approach == "contextual" { "" } else { "purpose: offers, " };
        let yaml = format!(
            "rulebook: 1\ndefault_segment: all\npurposes:\n- {{id: offers, sale_or_share: false, \
             requires_opt_in: true, retention: 90d}}\nsegments:\n- {{id: a, why: w, owner: o, \
             approach: behavioral, purpose: offers, when: {{last: {{within: 1d}}}}}}\n- {{id: b, \
             why: w, owner: o, approach: {approach}, {purpose}when: {when}}}\n"
        );
        let rulebook = compile(yaml.as_bytes()).expect("a rulebook");
        let segment = rulebook.listed().find(|segment| segment.id == "b").expect("listed");
        assert_eq!(segment.condition().on_one_line(), expected);
    }

    #[test]
    fn conditions_read_as_a_person_says_them() {
        for (when, expected) in [
            (
                "{count: {of: PRODUCT_VIEW, where: {category: toys}, within: 7d, at_least: 3}}",
                "at least 3 product views in category “toys”, within the last 7 days",
            ),
            (
                "{count: {of: [SEARCH, PURCHASE], within: 1h, at_most: 1}}",
                "at most 1 search or purchase, within the last 1 hour",
            ),
            (
                "{distinct: {field: product_id, where: {category: [bikes, toys]}, within: 14d, \
                 at_least: 2}}",
                "at least 2 different products among clicks of any kind in category “bikes” or \
                 “toys”, within the last 14 days",
            ),
            (
                "{sum: {field: value_cents, of: PURCHASE, within: 90d, at_least: 15000}}",
                "at least $150.00 together over purchases, within the last 90 days (counted by UTC \
                 days)",
            ),
            (
                "{last: {not_within: 30d}}",
                "at least 1 click of any kind, within the last 90 days, but none within the last \
                 30 days",
            ),
            (
                "{all: [{last: {of: ADD_TO_CART, within: 3d}}, {not: {last: {of: PURCHASE, \
                 within: 3d}}}]}",
                "all of these hold: (at least 1 addition to the cart, within the last 3 days; this \
                 does not hold: (at least 1 purchase, within the last 3 days))",
            ),
        ] {
            check("behavioral", when, expected);
        }
    }

    #[test]
    fn bands_regions_and_pages_are_named() {
        check(
            "demographic",
            "{any: [{age_band: {in: [FROM_13_TO_15, FROM_18]}}, {region: {in: [US-CA, US-OR]}}]}",
            "at least one of these holds: (the age band of the consent record is 13 to 15 or 18 or \
             older; the region of the latest click with a region, within the last 90 days, is \
             “US-CA” or “US-OR”)",
        );
        check(
            "contextual",
            "{page: {kind: [PAGE_VIEW, PRODUCT_VIEW], product_age_range: [\"0-2\", \"3-5\"]}}",
            "the current click is a page view or product view of a product made for the ages “0-2” \
             or “3-5”",
        );
        check("contextual", "{page: {}}", "the current click is a click of any kind");
    }

    #[test]
    fn money_and_spans_are_exact() {
        assert_eq!((money(5), money(-15_001)), ("$0.05".to_owned(), "-$150.01".to_owned()));
        assert_eq!(money(i64::MIN), "-$92233720368547758.08");
        assert_eq!((span(Span::DAY), span(Span(5_400_000))), ("1 day".into(), "90 minutes".into()));
    }
}
