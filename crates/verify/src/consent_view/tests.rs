//! The contract's vectors `gate` and `merge` in the verifier's own reading of docs/contract/gate.md,
//! and what it says where compaction has taken a part.

use serde_json::{Value, json};

use super::*;
use assent_contract::domain::consent::Decision as Decided;

const PURPOSE: &str = "p";

fn cases(section: &str) -> Vec<Value> {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/vectors.json")).unwrap();
    vectors[section]["cases"].as_array().unwrap().clone()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_i64().map(Timestamp)
}

fn record(value: &Value) -> Option<ConsentRecord> {
    serde_json::from_value(value.clone()).unwrap()
}

fn kept(record: &ConsentRecord) -> Kept {
    Kept::of(record, &[PURPOSE.to_owned()])
}

fn sure(record: &ConsentRecord) -> Held {
    Held::Record { record: Box::new(kept(record)), sure: true }
}

#[test]
fn the_gate_says_what_the_vectors_say() {
    let mut judged = 0;
    for case in cases("gate") {
        if case["line_1_holds"] == true {
            continue; // asked of a batch, before anybody's consent
        }
        let flag = |name: &str| case["purpose"][name].as_bool().unwrap();
        let terms = Terms {
            purpose: 0,
            sale_or_share: flag("sale_or_share"),
            requires_opt_in: flag("requires_opt_in"),
            suspended: flag("suspended"),
        };
        let view = ConsentView {
            held: record(&case["record"]).map_or(Held::Nothing, |record| sure(&record)),
            mark: if case["unreadable"] == true { Mark::Undecodable } else { Mark::Readable },
            signal: time(&case["signal_at"]),
            erased_at: time(&case["erased_at"]),
            ..ConsentView::NOTHING
        };
        let verdict = view.verdict(terms, time(&case["event_time"]), time(&case["now"]).unwrap());
        assert_eq!(verdict.unwrap().symbol(), case["verdict"], "{}: {}", case["id"], case["about"]);
        judged += 1;
    }
    assert!(judged > 30, "the vectors are there");
}

#[test]
fn facts_add_up_to_what_the_vectors_say() {
    let cases = cases("merge");
    assert!(cases.len() > 10, "the vectors are there");
    for case in cases {
        let mut view = ConsentView::NOTHING;
        let facts = case["facts"].as_array().unwrap();
        let outcomes: Vec<_> = facts.iter().map(|fact| take(&mut view, fact)).collect();
        let outcomes: Vec<_> = outcomes.into_iter().map(|it| it.map(Outcome::symbol)).collect();
        assert_eq!(json!(outcomes), case["outcomes"], "{}: {}", case["id"], case["about"]);
        let state = &case["state"];
        assert_eq!(json!(view.version()), state["version"], "{}", case["id"]);
        assert_eq!(json!(view.signal), state["signal_at"], "{}", case["id"]);
        assert_eq!(json!(view.erased_at), state["erased_at"], "{}", case["id"]);
        let unreadable = view.mark != Mark::Readable;
        assert_eq!(unreadable, state["consent"] == "unreadable", "{}", case["id"]);
    }
}

/// Takes a fact of the vectors; the outcome of one of consent.
fn take(view: &mut ConsentView, fact: &Value) -> Option<Outcome> {
    let append = time(&fact["append_time"]);
    view.forget(time(&fact["now"]).or(append).unwrap());
    match fact["kind"].as_str().unwrap() {
        "record" => {
            let kept = kept(&record(&fact["record"]).unwrap());
            let outcome = view.outcome(&[0], &kept).unwrap();
            view.take(kept, append.unwrap(), outcome);
            Some(outcome)
        }
        "erasure" => {
            view.erase(append.unwrap());
            Some(Outcome::Erased)
        }
        "value that can't be decoded" => {
            view.withhold(Mark::Undecodable);
            Some(Outcome::Unreadable)
        }
        _ => {
            let now = time(&fact["now"]).or(append).unwrap();
            view.bind(time(&fact["occurred_at"]).unwrap().min(now));
            None
        }
    }
}

fn adult(version: i64, status: ConsentStatus) -> Kept {
    let decision = Decided { status, since: Timestamp(1), expires_at: None, notice_version: None };
    kept(&ConsentRecord {
        subject_id: "s".to_owned(),
        version,
        recorded_at: Timestamp(2),
        age_band: AgeBand::From18,
        decisions: [(PURPOSE.to_owned(), decision)].into(),
        guardian: None,
        double_opt_in_at: None,
        opt_out_signal_at: None,
        source: String::new(),
        receipt_id: None,
    })
}

const OFFERS: Terms =
    Terms { purpose: 0, sale_or_share: false, requires_opt_in: true, suspended: false };

#[test]
fn what_compaction_may_have_taken_is_not_guessed() {
    // Denied under version 3; a grant of version 5 may have stood before it, or not.
    let mut view = ConsentView::LOST;
    assert_eq!(view.verdict(OFFERS, None, Timestamp(9)), None);
    assert_eq!(view.outcome(&[0], &adult(3, ConsentStatus::Denied)), None);
    view.take_unsure(&[0], adult(3, ConsentStatus::Denied), Timestamp(3));
    assert!(!view.is_sure());
    assert_eq!(view.version(), Some(3));
    assert_eq!(view.outcome(&[0], &adult(4, ConsentStatus::Granted)), None);

    // The audit says what became of the next one: from here on it is known.
    view.take(adult(6, ConsentStatus::Granted), Timestamp(6), Outcome::Applied);
    assert!(view.is_sure());
    assert_eq!(view.verdict(OFFERS, None, Timestamp(9)), Some(Verdict::OptIn));
    assert_eq!(view.outcome(&[0], &adult(5, ConsentStatus::Denied)), Some(Outcome::Superseded));
}

#[test]
fn what_comes_after_an_erasure_is_sure() {
    let mut view = ConsentView::LOST;
    view.erase(Timestamp(1));
    assert!(view.is_sure());
    view.take_unsure(&[0], adult(1, ConsentStatus::Granted), Timestamp(3));
    assert!(view.is_sure());
    let mut view = ConsentView::LOST;
    view.erase(Timestamp(2));
    view.take_unsure(&[0], adult(1, ConsentStatus::Granted), Timestamp(3));
    assert_eq!(view.verdict(OFFERS, None, Timestamp(9)), Some(Verdict::NoConsentRecord));
}
