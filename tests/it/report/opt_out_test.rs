//! `report opt-out-test`: it counts the rounds that the canary really made.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{json, refused, reported_shop, year_of_now};
use crate::support::{Kafka, Plan, Service, Shop, now_ms};

fn open(kafka: &Kafka) -> Shop<'_> {
    let lookers = Plan::of_lookers("1", 1);
    let rulebook = lookers.rulebook.map(|it| format!("canary: true\n{it}"));
    let purposes = vec![super::OFFERS, super::ADS, "canary"];
    reported_shop(kafka, &Plan { rulebook, purposes, ..lookers })
}

/// Counted from the audit by another way: consent entries of the canary that removed its key.
fn removals(shop: &Shop<'_>) -> (usize, BTreeSet<i64>) {
    let mut took = BTreeSet::new();
    let mut count = 0;
    for batch in crate::audit::batches(shop).into_values().flatten() {
        let purposes = batch["purposes"].as_array().unwrap();
        let canary = purposes.iter().position(|it| it == "canary").unwrap();
        for entry in batch["entries"].as_array().unwrap() {
            let removes = entry["effects"]
                .as_array()
                .unwrap()
                .iter()
                .any(|effect| effect["purpose"] == canary && effect["reason"] == "opted_out");
            if entry["input"] == "CONSENT" && removes {
                count += 1;
                let decided = batch["decided_at"].as_i64().unwrap();
                took.insert(decided - entry["consent_version"].as_i64().unwrap());
            }
        }
    }
    (count, took)
}

#[test]
fn the_canarys_rounds_are_counted_with_their_times_and_a_failed_one() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let year = year_of_now();
    let service = Service::start(&shop, "a");
    service.await_ready();
    shop.run(&["canary", "--once"]).ok();
    shop.run(&["canary", "--once"]).ok();
    let found = json(&shop, &["opt-out-test", "--year", &year], 0);
    let (count, took) = removals(&shop);
    assert_eq!(count, 8, "two rounds of four partitions");
    assert_eq!((&found["tests"], &found["passed"]), (&json!(8), &json!(8)), "{found:#}");
    let worst = *took.last().unwrap() as f64 / 1_000.0;
    assert_eq!(found["max_s"].as_f64(), Some(worst));
    assert!(found["median_s"].as_f64() <= found["p99_s"].as_f64());
    assert_eq!(found["verification"]["ok"], true, "{found:#}");
    assert_eq!(found["from"], found["verification"]["source"]["this_report"]["since"]);

    // An opt-in and an opt-out without a click between them: nothing was there to be removed.
    opt_in_and_out_without_a_click(&shop);
    let found = json(&shop, &["opt-out-test", "--year", &year], 0);
    assert_eq!((&found["tests"], &found["passed"]), (&json!(9), &json!(8)), "{found:#}");
    assert_eq!(found["failures"], json!({"no_assignment": 1, "not_opted_out": 0, "late": 0}));
    assert_eq!(found["failed"][0]["partition"], 2);
    service.stop();

    let found = json(&shop, &["opt-out-test", "--year", "2025"], 0);
    assert_eq!((&found["tests"], &found["median_s"]), (&json!(0), &Value::Null));
}

fn opt_in_and_out_without_a_click(shop: &Shop<'_>) {
    let record = |status: &str, at: i64| {
        json!({
            "subject_id": "__assent_canary_2", "version": at, "recorded_at": at,
            "age_band": "FROM_13_TO_15", "guardian": null, "double_opt_in_at": null,
            "decisions": {"canary": {"status": status, "since": at - 60_000, "expires_at": null,
                "notice_version": null}},
            "opt_out_signal_at": null, "source": "assent-canary", "receipt_id": null,
        })
    };
    let now = now_ms();
    shop.kafka.produce([
        shop.consent(&record("GRANTED", now)).partition(2),
        shop.consent(&record("WITHDRAWN", now + 1)).partition(2),
    ]);
    let version = json!(now + 1);
    crate::support::wait_until(std::time::Duration::from_secs(30), "the opt-out's entry", || {
        let batches = crate::audit::batches(shop).into_values().flatten();
        let entries = batches.flat_map(|it| it["entries"].as_array().unwrap().clone());
        entries.into_iter().any(|it| it["consent_version"] == version).then_some(())
    });
}

#[test]
fn a_verification_may_come_from_a_file_that_says_so() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let file = |name: &str, text: &str| std::fs::write(shop.folder().join(name), text).unwrap();
    file(
        "ok.json",
        r#"{"ok": true, "checked": {"a": 5, "b": 2}, "violations": [], "notes": ["n"]}"#,
    );
    let arguments = |name| ["opt-out-test", "--year", "2026", "--verify", name];
    let found = json(&shop, &arguments("ok.json"), 0);
    assert_eq!(found["verification"]["records"], 7);
    assert_eq!(found["verification"]["source"]["file"]["file"], "ok.json");
    let violation =
        r#"{"invariant": "INV-4", "topic": "t", "partition": 0, "offset": 0, "detail": ""}"#;
    file(
        "bad.json",
        &format!(r#"{{"ok": false, "checked": {{}}, "violations": [{violation}], "notes": []}}"#),
    );
    let found = json(&shop, &arguments("bad.json"), 1);
    assert_eq!(found["verification"]["violations"], json!({"INV-4": 1}));
    file("other.json", "[]");
    for (arguments, code, says) in [
        (arguments("other.json"), 65, "--verify other.json: it is not the JSON of a verification"),
        (arguments("none.json"), 65, "--verify none.json: can't be read"),
        (["opt-out-test", "--year", "26", "--verify", "ok.json"], 64, "--year 26: not a year"),
    ] {
        refused(&shop.run(&[&["report"], &arguments[..]].concat()), code, says);
    }
}
