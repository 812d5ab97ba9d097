//! A broker that refuses what Assent writes as too large, for a while: nothing of a batch is visible,
//! nothing is skipped, and it goes on by itself once the topic takes it again.

use std::time::Duration;

use serde_json::json;

use super::{Crowd, accounted, decided, during, in_sync, recovered, verified};
use crate::contract::{PURPOSES, plan};
use crate::support::{Service, Shop, consent, latest, view, wait_until};

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
    decided(&shop);
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

/// It is tried again whether or not more consent comes.
#[test]
fn misrouted_consent_that_is_refused_for_a_while_is_sent_on_later() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let says = |version, status| shop.consent(&consent("kim", version, status, &PURPOSES));
    let (home, _) = kafka.produce([says(1, "GRANTED")])[0];
    kafka.produce([shop.click(&view("kim"))]);
    let service = Service::start(&shop, "a");
    decided(&shop);
    let live = || latest(&shop.committed("segments.offers")).len();
    assert_eq!(live(), 1);
    service.stop();
    kafka.produce([says(2, "DENIED").partition((home + 1) % shop.partitions)]);

    let mut plans = shop.topic_plans(&PURPOSES);
    let of_consent = plans.iter_mut().find(|it| it.name.ends_with("consent-changelog"));
    let of_consent = of_consent.expect("consent's plan");
    of_consent.config.push(("max.message.bytes", "50".into()));
    kafka.configure(of_consent);
    let service = Service::start(&shop, "a");
    let refused = || service.log().contains("not acknowledged").then_some(());
    wait_until(super::RECOVERED_WITHIN, "a refusal", refused);
    assert_eq!(live(), 1);
    of_consent.config.pop();
    kafka.configure(of_consent);
    wait_until(super::RECOVERED_WITHIN, "the denial's effect", || (live() == 0).then_some(()));
    in_sync(&service);
    verified(&shop);
    service.stop();
}
