//! Something waits to be committed for half a minute: the instance is not ready, although its gate is open.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use super::{WITHIN, await_all, await_line};
use crate::support::{Plan, Service, Shop, consent, view};

#[test]
fn a_click_that_waits_for_thirty_seconds_makes_it_not_ready() {
    let kafka = kafka_or_skip!();
    let settings = json!({"consent": {"max_sync_lag": "10m"}});
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, settings, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    // Somebody's transaction on consent stays open: no barrier is reached, and clicks wait.
    let foreign: BaseProducer = kafka
        .client()
        .set("transactional.id", format!("foreign-{}", shop.name))
        .create()
        .expect("a producer");
    foreign.init_transactions(WITHIN).expect("initialized");
    foreign.begin_transaction().expect("begun");
    let said = shop.consent(&consent("ann", 1, "DENIED", &["personalized-offers"]));
    let record = BaseRecord::to(&said.topic)
        .partition(0)
        .key(said.key.as_deref().expect("a key"))
        .payload(said.value.as_deref().expect("a value"));
    foreign.send(record).expect("taken");
    foreign.flush(WITHIN).expect("delivered");
    kafka.produce([shop.click(&view("kim"))]);
    std::thread::sleep(Duration::from_secs(20));
    assert_eq!(service.readyz().0, 200);
    await_all(&service, 503, &json!("not_committing"));
    let body = service.readyz().1;
    assert_eq!(body["partitions"][0]["gate_open"], true, "{body}");
    assert_eq!(await_line(&service, "gate open, but not ready")["reason"], "not_committing");
    foreign.commit_transaction(WITHIN).expect("committed");
    await_all(&service, 200, &Value::Null);
    service.stop();
}
