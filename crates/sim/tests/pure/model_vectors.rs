//! The contract's vectors (`gate`, `merge`, `windows`) pass in the reference model.

use assent_contract::domain::consent::{AgeBand, ConsentRecord};
use assent_contract::domain::event::{Click, EventKind, SignalSource};
use assent_contract::domain::outcome::Outcome;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::{Purpose, Rulebook, compile};
use serde_json::{Value, json};

use crate::model::consent::{ConsentView, Mark};
use crate::model::windows::Question;
use crate::model::{Fact, What};

/// The cases of one section of the vectors, each with its id.
fn cases(section: &str) -> Vec<(String, Value)> {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/vectors.json")).unwrap();
    let cases = vectors[section]["cases"].as_array().unwrap();
    cases.iter().map(|case| (case["id"].as_str().unwrap().to_owned(), case.clone())).collect()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_i64().map(Timestamp)
}

fn record(value: &Value) -> Option<ConsentRecord> {
    serde_json::from_value(value.clone()).unwrap()
}

fn purpose(sale_or_share: bool, requires_opt_in: bool, suspended: bool) -> Purpose {
    Purpose {
        readers: vec![],
        id: "p".to_owned(),
        title: "P".to_owned(),
        sale_or_share,
        requires_opt_in,
        suspended,
        retention: Span(30 * Span::DAY.0),
        min_members: None,
        slots: Vec::new(),
        segments: Vec::new(),
    }
}

#[test]
fn the_gate_says_what_the_vectors_say() {
    let cases = cases("gate");
    assert!(cases.len() > 40, "the vectors are there");
    for (id, case) in cases {
        // Line 1 is the model's own, asked before anybody's consent.
        if case["line_1_holds"] == true {
            assert_eq!(case["verdict"], "CONSENT_STALE", "{id}");
            continue;
        }
        let flag = |name: &str| case["purpose"][name].as_bool().unwrap();
        let purpose = purpose(flag("sale_or_share"), flag("requires_opt_in"), flag("suspended"));
        let record = record(&case["record"]);
        let view = ConsentView {
            record: record.as_ref(),
            mark: if case["unreadable"] == true { Mark::Undecodable } else { Mark::Readable },
            signal: time(&case["signal_at"]),
            erased_at: time(&case["erased_at"]),
        };
        let now = time(&case["now"]).unwrap();
        let verdict = view.verdict(&purpose, time(&case["event_time"]), now);
        assert_eq!(verdict.symbol(), case["verdict"], "{id}: {}", case["about"]);
    }
}

#[test]
fn facts_add_up_to_what_the_vectors_say() {
    let purposes = [purpose(false, true, false)];
    for (id, case) in cases("merge") {
        let facts = case["facts"].as_array().unwrap();
        let records: Vec<_> = facts.iter().map(|fact| record(&fact["record"])).collect();
        let mut view = ConsentView::NOTHING;
        let mut outcomes = Vec::new();
        for (fact, record) in facts.iter().zip(&records) {
            let outcome = view.apply(&purposes, &fact_of(fact, record.as_ref()));
            outcomes.push(outcome.map(Outcome::symbol));
        }
        assert_eq!(json!(outcomes), case["outcomes"], "{id}: {}", case["about"]);
        assert_eq!(state_of(&view), case["state"], "{id}: {}", case["about"]);
    }
}

fn fact_of<'a>(fact: &Value, record: Option<&'a ConsentRecord>) -> Fact<'a> {
    let append_time = time(&fact["append_time"]);
    let now = time(&fact["now"]).or(append_time).unwrap();
    let what = match fact["kind"].as_str().unwrap() {
        "record" => What::Record(record.unwrap(), append_time.unwrap()),
        "erasure" => What::Erased(append_time.unwrap()),
        "value that can't be decoded" => What::Undecodable,
        "click with an opt-out signal" => What::Clicked {
            click: Click {
                occurred_at: time(&fact["occurred_at"]).unwrap(),
                opt_out_signal: Some(SignalSource::Gpc),
                ..Click::default()
            },
            counts: false,
        },
        other => panic!("unknown kind of fact: {other}"),
    };
    (now, what)
}

fn state_of(view: &ConsentView<'_>) -> Value {
    let readable = view.record.filter(|_| view.mark == Mark::Readable);
    let consent = match (view.mark, view.record, view.erased_at) {
        (Mark::Undecodable | Mark::Contradicted, ..) => "unreadable",
        (_, Some(_), _) => "record",
        (_, None, Some(_)) => "erased",
        (_, None, None) => "none",
    };
    let decision = readable.and_then(|record| record.decisions.get("p"));
    json!({
        "consent": consent,
        "version": view.record.map(|record| record.version),
        "status": decision.map(|decision| decision.status),
        "signal_at": view.signal,
        "erased_at": view.erased_at,
    })
}

#[test]
fn windows_hold_where_the_vectors_say() {
    let cases = cases("windows");
    assert!(cases.len() > 15, "the vectors are there");
    for (id, case) in cases {
        let rulebook = rulebook_of(&case["condition"], case["retention_ms"].as_i64().unwrap());
        let purpose = &rulebook.purposes[0];
        let clicks: Vec<ClickCase> = serde_json::from_value(case["clicks"].clone()).unwrap();
        let counted: Vec<_> =
            clicks.iter().map(|it| (it.occurred_at.floor_second(), it.click())).collect();
        let now = time(&case["now"]).unwrap();
        let age_band = AgeBand::From18;
        let question = Question { purpose, clicks: &counted, age_band, now };
        let holds = question.holds(&purpose.segments[0].condition);
        assert_eq!(case["holds"], holds, "{id}: {}", case["about"]);
    }
}

/// A click of the vectors.
#[derive(serde::Deserialize)]
struct ClickCase {
    occurred_at: Timestamp,
    kind: EventKind,
    category: Option<String>,
    product_id: Option<String>,
    product_age_range: Option<String>,
    region: Option<String>,
    value_cents: Option<i64>,
}

impl ClickCase {
    fn click(&self) -> Click<'_> {
        Click {
            occurred_at: self.occurred_at,
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

/// One purpose with one segment of this condition. JSON is YAML.
fn rulebook_of(condition: &Value, retention_ms: i64) -> Rulebook {
    let demographic = condition.get("region").is_some();
    let file = json!({
        "rulebook": "vectors",
        "default_segment": "all",
        "purposes": [{
            "id": "p", "title": "P", "sale_or_share": false, "requires_opt_in": true,
            "retention": format!("{}d", retention_ms / Span::DAY.0),
        }],
        "segments": [{
            "id": "s", "title": "S", "why": "to test", "owner": "o", "purpose": "p",
            "approach": if demographic { "demographic" } else { "behavioral" },
            "when": condition,
        }],
    });
    compile(file.to_string().as_bytes()).expect("the vectors' conditions compile")
}
