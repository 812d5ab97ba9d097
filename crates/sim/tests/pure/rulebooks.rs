//! Random rulebooks, valid by construction, as the text that a person would write (JSON is YAML).
//!
//! Windows are few and small, so that a history of some batches crosses their edges.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

pub const CATEGORIES: [&str; 3] = ["toys", "books", "games"];
pub const PRODUCTS: [&str; 4] = ["bear", "ball", "kite", "drum"];
pub const AGE_RANGES: [&str; 2] = ["3-5", "6-8"];
pub const REGIONS: [&str; 3] = ["US-CA", "US-NY", "CA-ON"];
pub const PURPOSES: [&str; 3] = ["ads", "mail", "offers"];
const KINDS: [&str; 6] =
    ["PAGE_VIEW", "PRODUCT_VIEW", "SEARCH", "ADD_TO_CART", "PURCHASE", "OTHER"];
const BANDS: [&str; 5] = ["UNKNOWN", "UNDER_13", "FROM_13_TO_15", "FROM_16_TO_17", "FROM_18"];

/// Windows and retentions by length, in seconds.
const WINDOWS: [(&str, u64); 9] = [
    ("30s", 30),
    ("61s", 61),
    ("1h", 3_600),
    ("90m", 5_400),
    ("3h", 10_800),
    ("24h", 86_400),
    ("48h", 172_800),
    ("49h", 176_400),
    ("3d", 259_200),
];
const RETENTIONS: [(&str, u64); 4] =
    [("1h", 3_600), ("1d", 86_400), ("3d", 259_200), ("30d", 2_592_000)];

#[derive(Clone, Debug)]
struct PurposePlan {
    sale_or_share: bool,
    requires_opt_in: bool,
    suspended: bool,
    retention: usize,
    measure: Option<MeasurePlan>,
    segments: Vec<Plan>,
}

/// Kinds as a bit mask; 0: any.
#[derive(Clone, Debug)]
struct MeasurePlan {
    percent: u8,
    kinds: u8,
    window: usize,
}

/// A condition; windows are places in those that fit the purpose's retention.
#[derive(Clone, Debug)]
enum Plan {
    All(Vec<Plan>),
    Any(Vec<Plan>),
    Not(Box<Plan>),
    AgeBand(u8),
    Region(u8),
    Count(Filter, usize, Bound),
    Distinct(bool, Filter, usize, Bound),
    Sum(Filter, usize, Bound),
    Last(Filter, usize, bool),
}

/// Of kinds and of one field's values, as bit masks; 0: not asked.
#[derive(Clone, Debug)]
struct Filter {
    kinds: u8,
    field: usize,
    values: u8,
}

#[derive(Clone, Debug)]
struct Bound {
    at_least: bool,
    number: i64,
}

fn bound(most: i64) -> impl Strategy<Value = Bound> {
    (prop::bool::weighted(0.7), 0..=most).prop_map(|(at_least, number)| Bound { at_least, number })
}

fn filter() -> impl Strategy<Value = Filter> {
    let kinds = prop_oneof![2 => Just(0u8), 1 => 1u8..64];
    let values = prop_oneof![2 => Just(0u8), 1 => 1u8..16];
    (kinds, 0..4usize, values).prop_map(|(kinds, field, values)| Filter { kinds, field, values })
}

fn plan() -> impl Strategy<Value = Plan> {
    let window = || 0..WINDOWS.len();
    let leaf = prop_oneof![
        2 => (filter(), window(), bound(3)).prop_map(|(f, w, b)| Plan::Count(f, w, b)),
        1 => (any::<bool>(), filter(), window(), bound(2))
            .prop_map(|(product, f, w, b)| Plan::Distinct(product, f, w, b)),
        2 => (filter(), window(), bound(6)).prop_map(|(f, w, b)| Plan::Sum(f, w, b)),
        2 => (filter(), window(), any::<bool>()).prop_map(|(f, w, not)| Plan::Last(f, w, not)),
        1 => (1u8..32).prop_map(Plan::AgeBand),
        1 => (1u8..8).prop_map(Plan::Region),
    ];
    leaf.prop_recursive(2, 5, 3, |part| {
        prop_oneof![
            vec(part.clone(), 1..3).prop_map(Plan::All),
            vec(part.clone(), 1..3).prop_map(Plan::Any),
            part.prop_map(|part| Plan::Not(Box::new(part))),
        ]
    })
}

fn purpose() -> impl Strategy<Value = PurposePlan> {
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.05));
    let measure = prop::option::of(measure());
    (flags, 0..RETENTIONS.len(), measure, vec(plan(), 1..4)).prop_map(
        |(flags, retention, measure, segments)| {
            let (sale_or_share, requires_opt_in, suspended) = flags;
            PurposePlan { sale_or_share, requires_opt_in, suspended, retention, measure, segments }
        },
    )
}

fn measure() -> impl Strategy<Value = MeasurePlan> {
    (1u8..=50, 0u8..64, 0..WINDOWS.len()).prop_map(|(percent, kinds, window)| MeasurePlan {
        percent,
        kinds,
        window,
    })
}

/// The text of a rulebook of one to three purposes.
pub fn text() -> impl Strategy<Value = String> {
    (vec(purpose(), 1..=PURPOSES.len()), vec(filter(), 0..3)).prop_map(|(purposes, pages)| {
        let mut segments = Vec::new();
        let mut declared = Vec::new();
        for (plan, id) in purposes.iter().zip(PURPOSES) {
            declared.push(json!({
                "id": id, "title": format!("Purpose {id}"), "retention": RETENTIONS[plan.retention].0,
                "sale_or_share": plan.sale_or_share, "requires_opt_in": plan.requires_opt_in,
                "suspended": plan.suspended,
            }));
            if let Some(measure) = &plan.measure {
                let declared = declared.last_mut().expect("just declared");
                declared["measure"] = measure.render(RETENTIONS[plan.retention].1);
            }
            for (at, condition) in plan.segments.iter().enumerate() {
                let mut segment = segment(&format!("{id}-s{at}"), condition.approach());
                segment["purpose"] = json!(id);
                segment["when"] = condition.render(RETENTIONS[plan.retention].1);
                segments.push(segment);
            }
        }
        for (at, page) in pages.iter().enumerate() {
            let mut segment = segment(&format!("page-s{at}"), "contextual");
            segment["when"] = json!({"page": page.page()});
            segments.push(segment);
        }
        json!({"rulebook": "r-1", "default_segment": "all", "purposes": declared, "segments": segments})
            .to_string()
    })
}

fn segment(id: &str, approach: &str) -> Value {
    json!({"id": id, "title": "Some", "why": "to test", "owner": "tests", "approach": approach})
}

impl MeasurePlan {
    fn render(&self, retention: u64) -> Value {
        let kinds = (0..KINDS.len()).filter(|at| self.kinds >> at & 1 == 1).map(|at| KINDS[at]);
        let kinds: Vec<&str> = kinds.collect();
        let of = if kinds.is_empty() { json!("any") } else { json!(kinds) };
        let within = fitting(self.window, retention);
        json!({"holdout": format!("{}%", self.percent), "of": of, "within": within})
    }
}

/// One of the windows that are no longer than the retention.
fn fitting(at: usize, retention: u64) -> &'static str {
    let fitting = WINDOWS.iter().filter(|window| window.1 <= retention).count();
    WINDOWS[at % fitting].0
}

impl Plan {
    fn render(&self, retention: u64) -> Value {
        let window = |at: &usize| fitting(*at, retention);
        let parts = |parts: &[Plan]| -> Vec<Value> {
            parts.iter().map(|part| part.render(retention)).collect()
        };
        match self {
            Self::All(all) => json!({"all": parts(all)}),
            Self::Any(any) => json!({"any": parts(any)}),
            Self::Not(part) => json!({"not": part.render(retention)}),
            Self::AgeBand(bands) => json!({"age_band": {"in": masked(*bands, &BANDS)}}),
            Self::Region(regions) => json!({"region": {"in": masked(*regions, &REGIONS)}}),
            Self::Count(filter, within, bound) => {
                json!({"count": bound.into(filter.clicks(), window(within), 1)})
            }
            Self::Distinct(product, filter, within, bound) => {
                let mut body = filter.clicks();
                let field = if *product { "product_id" } else { "category" };
                body.insert("field".to_owned(), json!(field));
                json!({"distinct": bound.into(body, window(within), 1)})
            }
            Self::Sum(filter, within, bound) => {
                let mut body = filter.clicks();
                body.insert("field".to_owned(), json!("value_cents"));
                json!({"sum": bound.into(body, window(within), 100)})
            }
            Self::Last(filter, within, not) => {
                let mut body = filter.clicks();
                let name = if *not { "not_within" } else { "within" };
                body.insert(name.to_owned(), json!(window(within)));
                json!({"last": body})
            }
        }
    }

    fn approach(&self) -> &'static str {
        match self.parts() {
            (true, true) => "hybrid",
            (true, false) => "behavioral",
            _ => "demographic",
        }
    }

    /// Does it rest on clicks, on age or region?
    fn parts(&self) -> (bool, bool) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts
                .iter()
                .map(Self::parts)
                .fold((false, false), |all, part| (all.0 || part.0, all.1 || part.1)),
            Self::Not(part) => part.parts(),
            Self::AgeBand(_) | Self::Region(_) => (false, true),
            _ => (true, false),
        }
    }
}

impl Filter {
    /// `of` and `where`.
    fn clicks(&self) -> Map<String, Value> {
        let mut body = Map::new();
        if self.kinds != 0 {
            body.insert("of".to_owned(), json!(masked(self.kinds, &KINDS)));
        }
        if let Some((field, values)) = self.values() {
            body.insert("where".to_owned(), json!({field: values}));
        }
        body
    }

    fn page(&self) -> Value {
        let mut body = Map::new();
        if self.kinds != 0 {
            body.insert("kind".to_owned(), json!(masked(self.kinds, &KINDS)));
        }
        if let Some((field, values)) = self.values() {
            body.insert(field.to_owned(), json!(values));
        }
        Value::Object(body)
    }

    fn values(&self) -> Option<(&'static str, Vec<&'static str>)> {
        let (field, all): (_, &[&str]) = match self.field {
            0 => ("category", &CATEGORIES),
            1 => ("product_id", &PRODUCTS),
            2 => ("product_age_range", &AGE_RANGES),
            _ => ("region", &REGIONS),
        };
        let values = masked(self.values, all);
        (!values.is_empty()).then_some((field, values))
    }
}

impl Bound {
    fn into(&self, mut body: Map<String, Value>, within: &str, unit: i64) -> Map<String, Value> {
        let name = if self.at_least { "at_least" } else { "at_most" };
        body.insert(name.to_owned(), json!(self.number * unit));
        body.insert("within".to_owned(), json!(within));
        body
    }
}

fn masked(mask: u8, all: &[&'static str]) -> Vec<&'static str> {
    all.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1).map(|(_, it)| *it).collect()
}
