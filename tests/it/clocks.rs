//! The wall clock goes wrong under a running Assent, on real Kafka: a test sets it by a file that only
//! builds with the feature `crash-points` read.

use std::path::PathBuf;
use std::time::Duration;

use assent::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::{Service, Shop, wait_until};

const MINUTE: i64 = 60_000;
const SOON: Duration = Duration::from_mins(1);

/// A file that says how far ahead the clock of a service is.
struct WrongClock(PathBuf);

impl WrongClock {
    fn right(shop: &Shop<'_>) -> Self {
        let clock = Self(shop.folder().join("clock-shift"));
        clock.ahead(0);
        clock
    }

    fn ahead(&self, ms: i64) {
        let draft = self.0.with_extension("draft");
        std::fs::write(&draft, ms.to_string()).expect("written");
        std::fs::rename(draft, &self.0).expect("in one step");
    }

    fn start(&self, shop: &Shop<'_>) -> Service {
        let file = self.0.to_str().expect("UTF-8");
        Service::start_with(shop, "a", &[("ASSENT_CLOCK_SHIFT", file)])
    }
}

fn now() -> i64 {
    SystemClock.now().0
}

fn grant(shop: &Shop<'_>, who: &str, version: i64) {
    let granted = json!({"status": "GRANTED", "since": now() - MINUTE});
    let record = json!({
        "subject_id": who, "version": version, "recorded_at": now() - 10, "age_band": "FROM_18",
        "source": "test", "double_opt_in_at": now() - MINUTE,
        "decisions": {"personalized-offers": granted, "partner-advertising": granted},
    });
    shop.kafka.produce([shop.consent(&record)]);
}

fn deny(shop: &Shop<'_>, who: &str, version: i64) {
    let denied = json!({"status": "DENIED", "since": now()});
    let record = json!({
        "subject_id": who, "version": version, "recorded_at": now(), "age_band": "FROM_18",
        "source": "test",
        "decisions": {"personalized-offers": denied, "partner-advertising": denied},
    });
    shop.kafka.produce([shop.consent(&record)]);
}

fn await_applied(service: &Service, count: u64) {
    wait_until(SOON, &format!("{count} consent records applied"), || {
        let labels = [("outcome", "applied")];
        (service.metrics().count("assent_outcomes_total", &labels) >= count).then_some(())
    });
}

fn await_halted(service: &Service) -> Value {
    wait_until(SOON, "nothing is decided", || {
        let (status, body) = service.readyz();
        (status == 503 && body["halted"].is_string()).then_some(body)
    })
}

/// No time that Assent wrote may lie this far ahead of the true one.
fn assert_nothing_written_ahead(shop: &Shop<'_>) {
    for batch in shop.committed("segmentation-audit") {
        let audit =
            assent_contract::wire::read_back_audit_batch(batch.value.as_deref().expect("a value"));
        let decided_at = audit.expect("an audit batch").decided_at.0;
        assert!(decided_at <= now() + 5 * MINUTE, "decided at {decided_at}, now {}", now());
    }
}

#[test]
fn a_clock_that_runs_ahead_decides_nothing_until_it_is_right() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let clock = WrongClock::right(&shop);
    let service = clock.start(&shop);
    service.await_ready();
    grant(&shop, "ann", 1);
    await_applied(&service, 1);

    clock.ahead(365 * 24 * 60 * MINUTE);
    let body = await_halted(&service);
    let said = body["halted"].as_str().expect("a text");
    assert!(said.contains("wall clock is 3153") && said.contains("Correct the clock"), "{said}");
    let closed = |body: &Value| {
        body["partitions"].as_array().expect("a list").iter().all(|p| p["gate_open"] == false)
    };
    wait_until(SOON, "the gate is closed", || closed(&service.readyz().1).then_some(()));
    assert!(service.metrics().sum("assent_clock_ahead_seconds", &[]).expect("a gauge") > 3e7);
    deny(&shop, "ann", 2);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(service.metrics().count("assent_outcomes_total", &[("outcome", "applied")]), 1);
    assert!(service.log().contains("nothing is decided"), "the log says it");

    clock.ahead(0);
    await_applied(&service, 2);
    service.await_ready();
    assert_eq!(service.metrics().sum("assent_clock_ahead_seconds", &[]), Some(0.0));
    assert_nothing_written_ahead(&shop);
    service.stop();
}

#[test]
fn small_jumps_both_ways_change_nothing_but_times() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let clock = WrongClock::right(&shop);
    let service = clock.start(&shop);
    service.await_ready();
    for (step, shift) in [4 * MINUTE, -4 * MINUTE, 3 * MINUTE, -60 * MINUTE, 0].iter().enumerate() {
        clock.ahead(*shift);
        std::thread::sleep(Duration::from_millis(300)); // until it is read again, and a report after
        grant(&shop, &format!("ann-{step}"), 1);
        await_applied(&service, step as u64 + 1);
        let (status, body) = service.readyz();
        assert_eq!((status, &body["halted"]), (200, &Value::Null), "{shift} ms: {body}");
    }
    assert_nothing_written_ahead(&shop);
    service.stop();
}

#[test]
fn a_clock_that_was_wrong_from_the_start_is_found_by_the_brokers() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let clock = WrongClock::right(&shop);
    clock.ahead(60 * MINUTE);
    let service = clock.start(&shop);
    service.await_ready();
    // The first record is one witness; the second, after another question, is believed.
    let mut granted = 0;
    wait_until(SOON, "the broker's clock says so", || {
        grant(&shop, "ann", now());
        granted += 1;
        std::thread::sleep(Duration::from_millis(700));
        service.readyz().1["halted"].is_string().then_some(())
    });
    let said = service.readyz().1["halted"].as_str().expect("a text").to_owned();
    assert!(said.contains("ahead of the broker's append times"), "{said}");
    assert!(said.contains("which of the two is wrong"), "{said}");

    // What was decided an hour ahead until then is latched: opt-outs go on, and nothing is allowed.
    clock.ahead(0);
    wait_until(SOON, "the state is named", || {
        let (status, body) = service.readyz();
        let halted = body["halted"].as_str().unwrap_or_default();
        (status == 503 && halted.contains("by a wall clock that was wrong")).then_some(())
    });
    await_applied(&service, granted);
    deny(&shop, "ann", now());
    await_applied(&service, granted + 1);
    let partitions = service.readyz().1["partitions"].clone();
    let closed = partitions.as_array().expect("a list").iter().any(|p| p["gate_open"] == false);
    assert!(closed, "{partitions}");
    service.stop();
}

#[test]
fn a_clock_that_was_set_right_is_believed_with_the_next_heartbeat() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let clock = WrongClock::right(&shop);
    clock.ahead(-60 * MINUTE);
    let service = clock.start(&shop);
    service.await_ready();
    clock.ahead(0); // an hour's step forward
    await_halted(&service);
    assert_eq!(shop.run(&["heartbeat"]).code, Some(0));
    wait_until(SOON, "it goes on", || (service.readyz().0 == 200).then_some(()));
    grant(&shop, "ann", 1);
    await_applied(&service, 1);
    service.stop();
}
