//! What a segment's `when` says: conditions, their filters, windows and bounds.
//!
//! Reads one condition at a time; what depends on the purpose is `checks`'.

use super::fields::{Fields, duration, integer, items, listed, one_or_more, text};
use super::{Bound, DistinctField, Filter, Measure};
use crate::domain::consent::AgeBand;
use crate::domain::event::EventKind;
use crate::yaml::{Content, Faults, Node, Place, Placed};

pub(super) struct ConditionSpec {
    pub place: Place,
    pub kind: ConditionKind,
}

pub(super) enum ConditionKind {
    All(Vec<ConditionSpec>),
    Any(Vec<ConditionSpec>),
    Not(Box<ConditionSpec>),
    AgeBand(Vec<AgeBand>),
    Region(Vec<String>),
    Click(ClickSpec),
    Page(Filter),
    /// Its fault is named already.
    Faulty,
}

/// A condition on the clicks of a subject. `window_place`: where its window is written.
pub(super) struct ClickSpec {
    pub measure: Measure,
    pub filter: Filter,
    pub window_place: Place,
}

/// Most clicks or values that a bound may ask for: the latest N + 1 times are all that is kept.
const BOUND_MAX: i64 = 100;

const CONDITIONS: [&str; 10] =
    ["all", "any", "not", "count", "distinct", "sum", "last", "age_band", "region", "page"];
const WHERE: [&str; 4] = ["category", "product_id", "product_age_range", "region"];
const PAGE: [&str; 5] = ["kind", "category", "product_id", "product_age_range", "region"];
const COUNT: [&str; 5] = ["of", "where", "within", "at_least", "at_most"];
const FIELD: [&str; 6] = ["field", "of", "where", "within", "at_least", "at_most"];
const LAST: [&str; 4] = ["of", "where", "within", "not_within"];

const WITHIN: &str = "say how long a click counts, for example 7d";

const KINDS: [(&str, EventKind); 6] = [
    ("PAGE_VIEW", EventKind::PageView),
    ("PRODUCT_VIEW", EventKind::ProductView),
    ("SEARCH", EventKind::Search),
    ("ADD_TO_CART", EventKind::AddToCart),
    ("PURCHASE", EventKind::Purchase),
    ("OTHER", EventKind::Other),
];

impl ConditionSpec {
    pub fn faulty(place: Place) -> Self {
        Self { place, kind: ConditionKind::Faulty }
    }
}

/// The schema's symbol.
pub(super) fn kind_symbol(kind: EventKind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("OTHER", |(symbol, _)| symbol)
}

/// Reads a condition and all that it is made of.
pub(super) fn read(node: &Node, faults: &mut Faults) -> ConditionSpec {
    let kind = kind(node, faults).unwrap_or(ConditionKind::Faulty);
    ConditionSpec { place: node.place, kind }
}

fn kind(node: &Node, faults: &mut Faults) -> Option<ConditionKind> {
    Fields::of(node, "a condition", &CONDITIONS, faults)?;
    let Content::Map(entries) = &node.content else { return None };
    let [(name, body)] = entries.as_slice() else {
        let message = format!(
            "a condition must be exactly one of {}; combine several with `all` or `any`",
            listed(&CONDITIONS)
        );
        faults.add(node.place, message);
        return None;
    };
    match name.value.as_str() {
        "all" => Some(ConditionKind::All(parts(body, "all", faults))),
        "any" => Some(ConditionKind::Any(parts(body, "any", faults))),
        "not" => Some(ConditionKind::Not(Box::new(read(body, faults)))),
        "count" => count(body, faults).map(ConditionKind::Click),
        "distinct" => distinct(body, faults).map(ConditionKind::Click),
        "sum" => sum(body, faults).map(ConditionKind::Click),
        "last" => last(body, faults).map(ConditionKind::Click),
        "age_band" => age_bands(body, faults).map(ConditionKind::AgeBand),
        "region" => regions(body, faults).map(ConditionKind::Region),
        "page" => page(body, faults).map(ConditionKind::Page),
        _ => None,
    }
}

fn parts(node: &Node, name: &str, faults: &mut Faults) -> Vec<ConditionSpec> {
    items(node, name, faults).iter().map(|part| read(part, faults)).collect()
}

fn count(node: &Node, faults: &mut Faults) -> Option<ClickSpec> {
    let fields = Fields::of(node, "`count`", &COUNT, faults)?;
    let filter = filter(&fields, faults);
    let within = fields.duration("within", WITHIN, faults);
    let bound = bound(&fields, Some(BOUND_MAX), faults);
    let (within, bound) = (within?, bound?);
    let measure = Measure::Count { within: within.value, bound };
    Some(ClickSpec { measure, filter, window_place: within.place })
}

fn distinct(node: &Node, faults: &mut Faults) -> Option<ClickSpec> {
    let fields = Fields::of(node, "`distinct`", &FIELD, faults)?;
    let named = [("product_id", DistinctField::ProductId), ("category", DistinctField::Category)];
    let field = field(&fields, &named, faults);
    let filter = filter(&fields, faults);
    let within = fields.duration("within", WITHIN, faults);
    let bound = bound(&fields, Some(BOUND_MAX), faults);
    let (field, within, bound) = (field?, within?, bound?);
    let measure = Measure::Distinct { field, within: within.value, bound };
    Some(ClickSpec { measure, filter, window_place: within.place })
}

fn sum(node: &Node, faults: &mut Faults) -> Option<ClickSpec> {
    let fields = Fields::of(node, "`sum`", &FIELD, faults)?;
    let field = field(&fields, &[("value_cents", ())], faults);
    let filter = filter(&fields, faults);
    let within = fields.duration("within", WITHIN, faults);
    let bound = bound(&fields, None, faults);
    let ((), within, bound) = (field?, within?, bound?);
    let measure = Measure::Sum { within: within.value, bound };
    Some(ClickSpec { measure, filter, window_place: within.place })
}

fn last(node: &Node, faults: &mut Faults) -> Option<ClickSpec> {
    let fields = Fields::of(node, "`last`", &LAST, faults)?;
    let filter = filter(&fields, faults);
    let (measure, window_place) = match (fields.find("within"), fields.find("not_within")) {
        (Some(node), None) => {
            let within = duration(node, "within", faults)?;
            (Measure::LastWithin { within: within.value }, within.place)
        }
        (None, Some(node)) => {
            let not_within = duration(node, "not_within", faults)?;
            (Measure::LastNotWithin { not_within: not_within.value }, not_within.place)
        }
        _ => {
            let message = "`last` needs exactly one of `within` and `not_within`; write one of \
                them";
            faults.add(fields.place, message);
            return None;
        }
    };
    Some(ClickSpec { measure, filter, window_place })
}

/// `most`: the bound's own limits are 0 and this.
fn bound(fields: &Fields<'_>, most: Option<i64>, faults: &mut Faults) -> Option<Bound> {
    let (node, name, bound): (_, _, fn(i64) -> Bound) =
        match (fields.find("at_least"), fields.find("at_most")) {
            (Some(node), None) => (node, "at_least", Bound::AtLeast),
            (None, Some(node)) => (node, "at_most", Bound::AtMost),
            _ => {
                let message = "the condition needs exactly one of `at_least` and `at_most`; write \
                    one of them";
                faults.add(fields.place, message);
                return None;
            }
        };
    let number = integer(node, name, faults)?;
    if most.is_some_and(|most| !(0..=most).contains(&number.value)) {
        let message = format!("`{name}` is {}; write 0 to {BOUND_MAX}", number.value);
        faults.add(number.place, message);
        return None;
    }
    Some(bound(number.value))
}

fn field<T: Copy>(fields: &Fields<'_>, known: &[(&str, T)], faults: &mut Faults) -> Option<T> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let node = fields.required("field", &format!("name one of {}", listed(&names)), faults)?;
    symbol(node, "field", known, faults)
}

/// `of` and `where`.
fn filter(fields: &Fields<'_>, faults: &mut Faults) -> Filter {
    let kinds = fields.find("of").and_then(|node| kinds(node, "of", faults));
    let conditions =
        fields.find("where").and_then(|node| Fields::of(node, "`where`", &WHERE, faults));
    match conditions {
        None => Filter { kinds, ..Filter::default() },
        Some(conditions) => Filter { kinds, ..listed_values(&conditions, faults) },
    }
}

fn page(node: &Node, faults: &mut Faults) -> Option<Filter> {
    let fields = Fields::of(node, "`page`", &PAGE, faults)?;
    let kinds = fields.find("kind").and_then(|node| kinds(node, "kind", faults));
    Some(Filter { kinds, ..listed_values(&fields, faults) })
}

fn listed_values(fields: &Fields<'_>, faults: &mut Faults) -> Filter {
    let mut values = |name| fields.find(name).map(|node| values(node, name, faults));
    Filter {
        kinds: None,
        category: values("category"),
        product_id: values("product_id"),
        product_age_range: values("product_age_range"),
        region: values("region"),
    }
}

/// A value, or a list of them; sorted, each once.
fn values(node: &Node, name: &str, faults: &mut Faults) -> Vec<String> {
    let values = one_or_more(node, name, faults).iter();
    sorted(values.map(|node| text(node, name, "name at least one value", faults).value).collect())
}

/// `None`: any kind.
pub(super) fn kinds(node: &Node, name: &str, faults: &mut Faults) -> Option<Vec<EventKind>> {
    if matches!(&node.content, Content::Text { text, .. } if text == "any") {
        return None;
    }
    let listed = one_or_more(node, name, faults).iter();
    Some(sorted(listed.filter_map(|node| symbol(node, name, &KINDS, faults)).collect()))
}

fn age_bands(node: &Node, faults: &mut Faults) -> Option<Vec<AgeBand>> {
    let fields = Fields::of(node, "`age_band`", &["in"], faults)?;
    let bands = fields.required("in", "list age bands, for example [UNDER_13]", faults)?;
    let listed = items(bands, "in", faults).iter();
    let known = AgeBand::ALL.map(|band| (band.symbol(), band));
    Some(sorted(listed.filter_map(|node| symbol(node, "in", &known, faults)).collect()))
}

fn regions(node: &Node, faults: &mut Faults) -> Option<Vec<String>> {
    let fields = Fields::of(node, "`region`", &["in"], faults)?;
    let regions = fields.required("in", "list regions, for example [US-CA]", faults)?;
    let listed = items(regions, "in", faults).iter();
    Some(sorted(listed.map(|node| text(node, "in", "name a region", faults).value).collect()))
}

/// One of a closed set.
fn symbol<T: Copy>(node: &Node, name: &str, known: &[(&str, T)], faults: &mut Faults) -> Option<T> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let Placed { place, value } =
        text(node, name, &format!("name one of {}", listed(&names)), faults);
    let found = known.iter().find(|(symbol, _)| *symbol == value).map(|(_, meaning)| *meaning);
    if found.is_none() && !value.is_empty() {
        faults.add(place, format!("`{value}` is unknown; write one of {}", listed(&names)));
    }
    found
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values.dedup();
    values
}
