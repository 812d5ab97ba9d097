//! The conditions as the contract's test vectors have them.

use serde::Deserialize;

use super::Counters;
use super::tests::purpose;
use assent_contract::domain::consent::AgeBand;
use assent_contract::domain::event::{Click, EventKind};
use assent_contract::domain::time::Timestamp;

#[derive(Deserialize)]
struct File {
    windows: Windows,
}

#[derive(Deserialize)]
struct Windows {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    condition: serde_json::Value,
    retention_ms: i64,
    clicks: Vec<CaseClick>,
    now: i64,
    holds: bool,
}

#[derive(Deserialize)]
struct CaseClick {
    occurred_at: i64,
    kind: EventKind,
    category: Option<String>,
    product_id: Option<String>,
    product_age_range: Option<String>,
    region: Option<String>,
    value_cents: Option<i64>,
}

#[test]
fn the_contracts_windows_hold() {
    let file = include_str!("../../../../../tests/vectors/vectors.json");
    let file: File = serde_json::from_str(file).expect("the vectors");
    assert!(!file.windows.cases.is_empty());
    for case in file.windows.cases {
        let retention = format!("{}s", case.retention_ms / 1_000);
        let purpose = purpose(&retention, &[case.condition.to_string()]);
        let mut counters = Counters::default();
        for (offset, click) in (0..).zip(&case.clicks) {
            let t = Timestamp(click.occurred_at);
            counters.observe(&purpose, &click.borrowed(), t, offset, t);
        }
        let set = counters.segments(&purpose, AgeBand::Unknown, Timestamp(case.now));
        assert_eq!(set == 1, case.holds, "{}", case.id);
    }
}

impl CaseClick {
    fn borrowed(&self) -> Click<'_> {
        Click {
            occurred_at: Timestamp(self.occurred_at),
            kind: self.kind,
            category: self.category.as_deref(),
            product_id: self.product_id.as_deref(),
            product_age_range: self.product_age_range.as_deref(),
            region: self.region.as_deref(),
            value_cents: self.value_cents,
            ..Click::default()
        }
    }
}
