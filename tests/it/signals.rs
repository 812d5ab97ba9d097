//! Why opt-out signals bound and whom an erasure missed, as /metrics tells on a real Kafka; and a second
//! step that lies ahead (docs/contract/gate.md#opt-out-signals).

use std::time::Duration;

use serde_json::{Value, json};

use crate::bad_input::await_decided;
use crate::contract::{PURPOSES, WITHIN, keys, plan};
use crate::support::{Service, Shop, consent, now_ms, pseudonym, view, wait_until, with};

const SOURCES: [&str; 4] = ["gpc", "gpp", "gpp_undecodable", "record"];

#[test]
fn why_a_signal_bound_and_whom_an_erasure_missed_are_counted_from_0_on() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let signals = || {
        let metrics = service.metrics();
        SOURCES.map(|it| metrics.sum("assent_opt_out_signals_total", &[("source", it)]))
    };
    let missed = || service.metrics().sum("assent_erasures_of_unknown_total", &[]);
    assert_eq!((signals(), missed()), ([Some(0.0); 4], Some(0.0)));

    let click = |fields: Value| shop.click(&with(view("kim"), fields));
    kafka.produce([
        click(json!({"gpc": true, "gpp": "junk"})),
        click(json!({"gpp": "DBABBg~BVVVVVVY"})),
        click(json!({"gpp": "DBABLA~BVQqAAAAAgA.QA garbage"})),
        click(json!({"gpp": "DBABLA~BVQqAAAAAABY.QA"})),
        click(json!({"gpp": "DBABEYA~BQAA.QA"})),
        click(json!({"subject_id": null, "gpc": true})),
    ]);
    kafka.produce([
        shop.consent(&with(
            consent("ann", 1, "GRANTED", &PURPOSES),
            json!({"opt_out_signal_at": 5}),
        )),
        shop.erasure("ann"),
        shop.erasure("ann"),
        shop.erasure("written-otherwise"),
    ]);
    await_decided(&shop, &service);
    assert_eq!((signals(), missed()), ([Some(1.0); 4], Some(1.0)));
    service.stop();
}

/// 11 CCR 7028(a): a new opt-in takes two steps, and the second has not been taken yet.
#[test]
fn a_second_step_that_lies_ahead_lifts_a_signal_when_it_comes_and_not_before() {
    const AHEAD: Duration = Duration::from_secs(8);
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let signaled = now_ms() - 3_600_000;
    let steps = now_ms() + AHEAD.as_millis() as i64;
    let record = consent("kim", 1, "GRANTED", &PURPOSES);
    let said = json!({"opt_out_signal_at": signaled, "double_opt_in_at": steps});
    kafka.produce([shop.consent(&with(record, said))]);
    kafka.produce([shop.click(&view("kim"))]);
    let key = pseudonym("partners", "kim");
    wait_until(WITHIN, "the other purposes", || (keys(&shop, "offers").len() == 1).then_some(()));
    await_decided(&shop, &service);
    assert!(now_ms() < steps, "too slow a machine to see it");
    assert!(!keys(&shop, "partners").contains_key(&key), "the signal still binds");
    std::thread::sleep(AHEAD);
    kafka.produce([shop.click(&view("kim"))]);
    let first = wait_until(WITHIN, "an assignment", || keys(&shop, "partners").remove(&key));
    assert!(first[0].timestamp >= steps, "{} before the second step", steps - first[0].timestamp);
    service.stop();
}
