//! The broker dies under load and comes back.

use std::time::Duration;

use serde_json::json;

use super::{Crowd, accounted, during, recovered};
use crate::contract::plan;
use crate::support::{Service, Shop};

const GONE_FOR: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(15)];

#[test]
fn a_broker_that_dies_is_outlasted() {
    ci_or_skip!();
    let kafka = own_kafka_or_skip!();
    let shop = Shop::open_with(&kafka, &plan(json!({})));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let mut crowd = Crowd::new();
    during(&mut crowd, &shop, || {
        for gone_for in GONE_FOR {
            std::thread::sleep(Duration::from_secs(2));
            kafka.kill();
            std::thread::sleep(gone_for);
            kafka.restart();
            recovered(&shop, &format!("SIGKILL of the broker, gone for {gone_for:?}"));
        }
        std::thread::sleep(Duration::from_secs(2));
        kafka.stop();
        kafka.restart();
        recovered(&shop, "restart of the broker in good order");
    });
    accounted(&shop, &[&service], &crowd);
    service.stop();
}
