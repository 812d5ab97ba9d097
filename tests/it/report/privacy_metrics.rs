//! `report privacy-metrics`: what the register and the audit have of a year.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ADS, DAY_MS, OFFERS, access_topic, framed, json, year_of_now};
use crate::support::{Message, Plan, Service, Shop, consent, view, wait_until, with};

/// 2025: whatever day it is, it is over.
const JANUARY_1: i64 = 1_735_689_600_000;

fn request(shop: &Shop<'_>, id: u32, kind: &str, status: &str, days: Option<i64>) -> Message {
    let received_at = JANUARY_1 + i64::from(id) * DAY_MS;
    let id = format!("request-{id:014}");
    let record = json!({
        "request_id": id, "kind": kind, "scope": "all", "manner": "api", "subject": null,
        "received_at": received_at, "status": status,
        "honored_at": days.map(|days| received_at + days * DAY_MS),
        "chain": null, "sequence": null, "basis_of_denial": null,
    });
    let value = framed("privacy_request", &record);
    Message::new(shop.topic("privacy-requests")).key(id).value(value)
}

fn of<'j>(report: &'j Value, request: &str) -> &'j Value {
    report["requests"].as_array().unwrap().iter().find(|it| it["request"] == request).unwrap()
}

#[test]
fn the_register_says_how_many_and_how_long_and_the_audit_what_else_there_was() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan::of_lookers("1", 1));
    kafka.create_topics(&[access_topic(&shop)]);
    let bare = shop.run(&["report", "privacy-metrics", "--year", "2025"]).ok();
    assert!(bare.stdout.contains("- There is no topic"), "{}", bare.stdout);
    assert!(bare.stdout.contains("| delete | **\\[counsel: "), "no zeros: {}", bare.stdout);
    kafka.create_topics(&shop.served_topic_plans());
    kafka.produce([
        request(&shop, 1, "OPT_OUT", "RECEIVED", None),
        request(&shop, 1, "OPT_OUT", "HONORED", Some(1)),
        request(&shop, 2, "OPT_OUT_SIGNAL", "HONORED", Some(2)),
        request(&shop, 3, "OPT_OUT", "FAILED", None),
        request(&shop, 4, "ERASURE", "HONORED", Some(10)),
        request(&shop, 5, "ERASURE", "RECEIVED", None),
        request(&shop, 400, "ERASURE", "HONORED", Some(1)),
    ]);
    let found = json(&shop, &["privacy-metrics", "--year", "2025"], 0);
    let opt_outs = json!({"request": "opt_out_of_sale_or_sharing", "received": 3, "complied": 2, "denied": 1,
        "open": 0, "median_days": 1.5, "mean_days": 1.5});
    assert_eq!(of(&found, "opt_out_of_sale_or_sharing"), &opt_outs);
    let erasures = of(&found, "delete");
    assert_eq!((&erasures["received"], &erasures["open"]), (&json!(2), &json!(1)), "{erasures}");
    assert_eq!(of(&found, "correct")["received"], Value::Null);
    let text = shop.run(&["report", "privacy-metrics", "--year", "2025"]).ok().stdout;
    assert!(
        text.contains("| correct | **\\[counsel: Assent has no record of such requests\\]**"),
        "{text}"
    );

    the_audit_counts_this_year(&shop);
}

fn the_audit_counts_this_year(shop: &Shop<'_>) {
    let service = Service::start(shop, "a");
    service.await_ready();
    shop.kafka
        .produce(["kim", "lee"].map(|it| shop.consent(&consent(it, 1, "GRANTED", &[OFFERS, ADS]))));
    shop.kafka.produce(["kim", "lee"].map(|it| shop.click(&view(it))));
    wait_until(Duration::from_secs(30), "assignments", || {
        (shop.committed(&format!("segments.{ADS}")).len() == 2).then_some(())
    });
    shop.kafka.produce([
        shop.consent(&consent("kim", 2, "WITHDRAWN", &[OFFERS, ADS])),
        shop.erasure("lee"),
    ]);
    let signal = with(view("max"), json!({"gpc": true}));
    shop.kafka.produce([shop.click(&signal), shop.click(&signal)]);
    let year = year_of_now();
    let found = wait_until(Duration::from_mins(1), "the audit to have it", || {
        let found = json(shop, &["privacy-metrics", "--year", &year], 0);
        let is_whole = |name: &str| found["audit"][name] != 0;
        ["erasures", "withdrawals", "opt_out_signals"].into_iter().all(is_whole).then_some(found)
    });
    assert_eq!(found["audit"], json!({"erasures": 1, "withdrawals": 1, "opt_out_signals": 1}));
    service.stop();
}
