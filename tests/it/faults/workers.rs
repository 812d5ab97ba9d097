//! More workers than partitions: who has none waits, and takes over.

use serde_json::json;

use super::{Crowd, accounted, decided, during, recovered};
use crate::contract::plan;
use crate::support::{Plan, Service, Shop};

const TWO: (&str, &str) = ("ASSENT__PIPELINE__WORKERS", "2");

#[test]
fn one_partition_and_two_workers_in_each_of_two_processes() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, ..plan(json!({})) });
    let mut crowd = Crowd::new();
    let first = Service::start_with(&shop, "a", &[TWO]);
    first.await_ready();
    crowd.turns(&shop, 10);
    decided(&shop);
    let second = Service::start_with(&shop, "b", &[TWO]);
    during(&mut crowd, &shop, || {
        first.stop();
        recovered(&shop, "the process with the only partition ended in good order");
    });
    accounted(&shop, &[&second], &crowd);
    second.stop();
}
