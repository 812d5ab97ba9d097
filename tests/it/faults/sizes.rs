//! A broker that refuses what Assent writes as too large, for a while: nothing of a batch is visible,
//! nothing is skipped, and it goes on by itself once the topic takes it again.

use std::time::Duration;

use serde_json::json;

use super::{Crowd, accounted, during, recovered};
use crate::contract::{PURPOSES, plan};
use crate::support::{Service, Shop};

const REFUSED_FOR: Duration = Duration::from_secs(4);

#[test]
fn records_that_a_topic_refuses_for_a_while_are_written_later() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let mut crowd = Crowd::new();
    crowd.turns(&shop, 5);
    recovered(&shop, "nothing");
    during(&mut crowd, &shop, || {
        for topic in ["segmentation-audit", "segments.offers", "assent-state"] {
            let mut plans = shop.topic_plans(&PURPOSES);
            let name = shop.topic(topic);
            let plan = plans.iter_mut().find(|plan| plan.name == name).expect("its plan");
            plan.config.push(("max.message.bytes", "100".into()));
            kafka.configure(plan);
            std::thread::sleep(REFUSED_FOR);
            plan.config.pop();
            kafka.configure(plan);
            recovered(&shop, &format!("{topic} refused every record as too large"));
        }
    });
    assert!(service.metrics().count("assent_transactions_total", &[("result", "aborted")]) > 0);
    accounted(&shop, &[&service], &crowd);
    service.stop();
}
