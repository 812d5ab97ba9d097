//! The contract's vectors of the gate, asked as questions, and what merging does before the gate is asked.

use serde_json::{Value, json};

use super::*;
use crate::domain::gate::table::LINES;
use crate::rulebook::compile;

/// One purpose `p` with these switches.
fn rulebook(sale_or_share: bool, requires_opt_in: bool, suspended: bool) -> Rulebook {
    let yaml = format!(
        "rulebook: one\ndefault_segment: all\npurposes:\n  - {{id: p, title: P, sale_or_share: \
         {sale_or_share}, requires_opt_in: {requires_opt_in}, suspended: {suspended}, retention: \
         30d}}\nsegments:\n  - {{id: s, title: S, why: w, owner: o, approach: behavioral, purpose: \
         p, when: {{last: {{within: 7d}}}}}}\n"
    );
    compile(yaml.as_bytes()).expect("it compiles")
}

fn ask(question: &Value, rulebook: &Rulebook) -> Answer {
    let question: Question = serde_json::from_value(question.clone()).expect("a question");
    judge(&question, rulebook).expect("a declared purpose")
}

#[test]
fn the_contracts_vectors() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/vectors.json")).unwrap();
    let cases = vectors["gate"]["cases"].as_array().expect("cases");
    assert!(cases.len() >= 41);
    for case in cases {
        let switch = |name: &str| case["purpose"][name].as_bool().expect("a switch");
        let rulebook =
            rulebook(switch("sale_or_share"), switch("requires_opt_in"), switch("suspended"));
        let question = json!({
            "purpose": "p", "record": case["record"], "unreadable": case["unreadable"],
            "signal_at": case["signal_at"], "erased_at": case["erased_at"],
            "occurred_at": case["event_time"], "now": case["now"], "stale": case["line_1_holds"],
        });
        let answer = ask(&question, &rulebook);
        assert_eq!(answer.verdict.symbol(), case["verdict"], "case {}", case["id"]);
        let line = &LINES[usize::from(answer.line) - 1];
        assert!(line.verdicts.contains(&answer.verdict), "case {}", case["id"]);
        assert_eq!((answer.rule, answer.cite), (line.when, line.why), "case {}", case["id"]);
    }
}

fn adult(changes: &Value) -> Value {
    let mut record = json!({
        "subject_id": "s", "version": 1, "recorded_at": 600_000, "age_band": "FROM_18",
        "decisions": {"p": {"status": "GRANTED", "since": 600_000}},
    });
    for (field, value) in changes.as_object().into_iter().flatten() {
        record[field] = value.clone();
    }
    record
}

#[test]
fn an_answer_has_the_line_its_rule_and_its_citation() {
    let denied = adult(&json!({"decisions": {"p": {"status": "DENIED", "since": 1}}}));
    let question = json!({"purpose": "p", "record": denied, "now": 700_000});
    let answer = ask(&question, &rulebook(true, true, false));
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        r#"{"verdict":"OPTED_OUT","allowed":false,"line":5,"rule":"the decision is DENIED or WITHDRAWN","cite":"Civ. Code 1798.120, .135(c)(4)","basis":null}"#
    );
    let question = json!({"purpose": "p", "record": adult(&json!({})), "now": 700_000});
    let answer = ask(&question, &rulebook(true, true, false));
    assert_eq!((answer.line, answer.cite, answer.basis), (12, "", Some(Basis::OptIn)));
}

#[test]
fn a_record_from_before_the_last_erasure_is_none() {
    let book = rulebook(false, true, false);
    let ask_at = |erased_at: i64| {
        let question = json!({
            "purpose": "p", "record": adult(&json!({})), "erased_at": erased_at, "now": 900_000,
        });
        ask(&question, &book).verdict
    };
    assert_eq!(ask_at(600_000), Verdict::NoConsentRecord);
    assert_eq!(ask_at(599_999), Verdict::OptIn);
}

#[test]
fn the_later_of_two_signals_binds_to_the_minute() {
    let book = rulebook(true, true, false);
    let granted_at = |since: i64, own: Value, signal: Value| {
        let decisions = json!({"p": {"status": "GRANTED", "since": since}});
        let record = adult(&json!({
            "decisions": decisions, "double_opt_in_at": since, "opt_out_signal_at": own,
        }));
        let question =
            json!({"purpose": "p", "record": record, "signal_at": signal, "now": 9_000_000});
        ask(&question, &book).verdict
    };
    let (bound, lifted) = (Verdict::OptOutSignal, Verdict::OptIn);
    assert_eq!(granted_at(660_000, json!(600_001), json!(null)), bound);
    assert_eq!(granted_at(660_001, json!(600_001), json!(null)), lifted);
    assert_eq!(granted_at(660_001, json!(600_001), json!(660_001)), bound);
    assert_eq!(granted_at(660_001, json!(660_001), json!(600_001)), bound);
    assert_eq!(granted_at(720_001, json!(660_001), json!(600_001)), lifted);
}

#[test]
fn a_question_has_a_purpose_that_is_declared_and_no_field_that_is_unknown() {
    let undeclared: Question =
        serde_json::from_value(json!({"purpose": "other", "now": 1})).unwrap();
    assert_eq!(judge(&undeclared, &rulebook(true, true, false)), None);
    let misspelled = json!({"purpose": "p", "now": 1, "signal": 5});
    assert!(serde_json::from_value::<Question>(misspelled).is_err());
}
