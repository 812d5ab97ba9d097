//! Rebalance storms: three instances started, stopped and killed in turn while people act.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::{Crowd, accounted, during, recovered};
use crate::contract::plan;
use crate::support::{Service, Shop};

const ROUNDS: usize = 12;
const INSTANCES: [&str; 3] = ["a", "b", "c"];

#[test]
fn rebalance_storms_lose_and_double_nothing() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let mut crowd = Crowd::new();
    let running = during(&mut crowd, &shop, || {
        let mut running = BTreeMap::new();
        for round in 0..ROUNDS {
            let instance = INSTANCES[round % INSTANCES.len()];
            match running.remove(instance) {
                None => drop(running.insert(instance, Service::start(&shop, instance))),
                Some(service) if round % 2 == 0 => Service::kill(service),
                Some(service) => Service::stop(service),
            }
            std::thread::sleep(Duration::from_millis(400 + round as u64 * 773 % 2_000));
        }
        for instance in INSTANCES {
            running.entry(instance).or_insert_with(|| Service::start(&shop, instance));
        }
        recovered(&shop, "a storm of rebalances");
        running
    });
    accounted(&shop, &running.values().collect::<Vec<_>>(), &crowd);
    running.into_values().for_each(Service::stop);
}

#[test]
fn two_instances_share_the_partitions_and_take_over_from_each_other() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let mut crowd = Crowd::new();
    let (first, second) = (Service::start(&shop, "a"), Service::start(&shop, "b"));
    let owns = |service: &Service, partitions| {
        crate::support::wait_until(Duration::from_mins(1), "its partitions", || {
            let owned = service.metrics().count("assent_assigned_partitions", &[]);
            (owned == partitions).then_some(())
        });
    };
    owns(&first, 2);
    owns(&second, 2);
    crowd.turns(&shop, 10);
    recovered(&shop, "two instances");

    second.stop();
    owns(&first, 4);
    crowd.turns(&shop, 10);
    recovered(&shop, "one left the other all partitions");
    accounted(&shop, &[&first], &crowd);
    first.stop();
}
