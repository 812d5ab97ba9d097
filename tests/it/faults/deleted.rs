//! What Kafka removes while Assent is down: clicks that were decided (DeleteRecords), and what
//! compaction takes from consent and state. Assent goes on where it was.

use std::time::Duration;

use serde_json::json;

use super::{Crowd, accounted_in, decided, recovered};
use crate::contract::{PURPOSES, plan};
use crate::support::{Plan, Service, Shop, TopicPlan, wait_until};
use crate::told::Inputs;

const WITHIN: Duration = Duration::from_mins(5);

/// As soon as Kafka can.
const COMPACTED_AT_ONCE: [(&str, &str); 4] = [
    ("segment.ms", "500"),
    ("min.cleanable.dirty.ratio", "0.001"),
    ("min.compaction.lag.ms", "0"),
    ("max.compaction.lag.ms", "500"),
];

#[test]
fn what_is_deleted_or_compacted_while_it_is_down_is_not_missed() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..plan(json!({})) });
    create_topics(&shop);
    let mut crowd = Crowd::new();
    let service = Service::start(&shop, "a");
    service.await_ready();
    for _ in 0..4 {
        crowd.turns(&shop, 8);
        std::thread::sleep(Duration::from_millis(600)); // the next record begins a segment
    }
    decided(&shop);
    let topic = shop.topic("assent-state");
    let written = service.metrics().count("assent_records_produced_total", &[("topic", &topic)]);
    service.stop();
    let decided_before = Inputs::of(&shop);

    kafka.delete_records(&shop.topic("clickstream"), &kafka.ends(&shop.topic("clickstream")));
    assert!(shop.committed("clickstream").is_empty());
    let consents = decided_before.consents_count();
    let mut plans = shop.topic_plans(&PURPOSES);
    let of_consent = plans.iter_mut().find(|it| it.name.ends_with("consent-changelog"));
    let of_consent = of_consent.expect("consent's plan");
    compact_at_once(of_consent);
    kafka.configure(of_consent);
    wait_until(WITHIN, "compaction of consent and state", || {
        crowd.turn(&shop);
        std::thread::sleep(Duration::from_secs(1));
        let (consents_now, state_now) =
            (shop.committed("consent-changelog").len(), shop.committed("assent-state").len());
        (consents_now < consents && (state_now as u64) < written).then_some(())
    });

    let service = Service::start(&shop, "a");
    recovered(&shop, "a start after deletion and compaction");
    accounted_in(&shop, &[&service], &crowd, &decided_before.then(Inputs::of(&shop)));
    service.stop();
}

fn create_topics(shop: &Shop<'_>) {
    let mut plans = shop.topic_plans(&PURPOSES);
    for plan in &mut plans {
        if plan.name.ends_with("assent-state") {
            compact_at_once(plan);
        }
    }
    shop.kafka.create_topics(&plans);
}

fn compact_at_once(plan: &mut TopicPlan) {
    plan.config.retain(|(key, _)| COMPACTED_AT_ONCE.iter().all(|(own, _)| own != key));
    plan.config.extend(COMPACTED_AT_ONCE.map(|(key, value)| (key, value.to_owned())));
}
