//! A transaction of somebody else that stays open on consent-changelog: clicks wait, the lag grows,
//! past its bound they are stale and contextual segments go on, windows end by themselves all the
//! while; when it ends, everything goes on without help.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use super::{in_sync, recovered, verified};
use crate::audit;
use crate::support::{
    Kafka, Message, Plan, Service, Shop, consent, latest, pseudonym, view, wait_until,
};

const WITHIN: Duration = Duration::from_mins(1);

/// One segment that a click holds for 15 seconds, and one of the page at hand.
const RULEBOOK: &str = r"
rulebook: lag-1
default_segment: all-visitors
purposes:
  - {id: offers, title: Own offers, sale_or_share: false, requires_opt_in: true, retention: 30d}
segments:
  - {id: just-here, title: Was here just now, why: To say hello, owner: shop@shop.example, approach: behavioral, purpose: offers, when: {count: {of: any, within: 15s, at_least: 1}}}
  - {id: at-toys, title: Looks at toys, why: To show toys, owner: shop@shop.example, approach: contextual, when: {page: {category: preschool-toys}}}
";

#[test]
fn an_open_transaction_on_consent_holds_clicks_then_makes_them_stale_then_ends() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(
        kafka,
        &Plan {
            partitions: 1,
            rulebook: Some(RULEBOOK.to_owned()),
            purposes: vec!["offers"],
            settings: json!({"consent": {"max_sync_lag": "3s"}}),
            ..Plan::default()
        },
    );
    let service = Service::start(&shop, "a");
    service.await_ready();
    let says = |who, version, status| shop.consent(&consent(who, version, status, &["offers"]));
    kafka.produce([says("kim", 1, "GRANTED"), says("lee", 1, "GRANTED")]);
    let live = |who: &str| {
        let key = pseudonym("offers", who).into_bytes();
        latest(&shop.committed("segments.offers")).contains_key(&key)
    };
    let decided = |place| {
        wait_until(WITHIN, "a click decided", || audit::read(&shop).clicks.get(&place).cloned())
    };
    let first = kafka.produce([shop.click(&view("kim"))])[0];
    decided(first);
    wait_until(WITHIN, "kim assigned", || live("kim").then_some(()));

    let foreign = open_transaction(kafka, &says("ann", 1, "GRANTED"));
    let contextual = shop.committed("contextual-segments").len();
    let held = kafka.produce([shop.click(&view("lee"))])[0];
    kafka.produce([says("lee", 2, "DENIED")]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(!audit::read(&shop).clicks.contains_key(&held), "held");
    let lag = || service.metrics().sum("assent_consent_sync_lag_seconds", &[]).unwrap_or(0.0);
    wait_until(WITHIN, "a growing lag", || (lag() > 2.0).then_some(()));

    let stale = decided(held);
    assert_eq!(stale.verdicts["offers"], "CONSENT_STALE");
    assert!(!stale.gate_open);
    assert_eq!(shop.committed("contextual-segments").len(), contextual + 1, "contextual goes on");
    assert_eq!(service.readyz().0, 503);
    wait_until(WITHIN, "the window ends, closed gate or not", || (!live("kim")).then_some(()));
    assert!(lag() > 3.0);

    foreign.commit_transaction(WITHIN).expect("committed");
    let after = ["kim", "lee", "ann"].map(|who| kafka.produce([shop.click(&view(who))])[0]);
    recovered(&shop, "a foreign transaction on consent, open past the bound");
    in_sync(&service);
    let verdicts = after.map(|place| decided(place).verdicts["offers"].clone());
    assert_ne!(verdicts[1], "OPT_IN"); // stale, or known to be out
    let last = ["kim", "lee", "ann"].map(|who| kafka.produce([shop.click(&view(who))])[0]);
    let verdicts = last.map(|place| decided(place).verdicts["offers"].clone());
    assert_eq!(verdicts, ["OPT_IN", "OPTED_OUT", "OPT_IN"]);
    let audit = audit::read(&shop);
    audit.assert_whole(&shop);
    audit.assert_effects(&shop, &["offers"]);
    verified(&shop);
    service.stop();
}

fn open_transaction(kafka: &Kafka, message: &Message) -> BaseProducer {
    let id = format!("foreign-{}", message.topic);
    let producer: BaseProducer =
        kafka.client().set("transactional.id", id).create().expect("a producer");
    producer.init_transactions(WITHIN).expect("initialized");
    producer.begin_transaction().expect("begun");
    let record = BaseRecord::to(&message.topic)
        .partition(0)
        .key(message.key.as_deref().expect("a key"))
        .payload(message.value.as_deref().expect("a value"));
    producer.send(record).expect("taken");
    producer.flush(WITHIN).expect("delivered");
    producer
}
