//! Three brokers, everything on all of them, two instances: what an upgrade of the brokers does, and what
//! the loss of one does. No coordinator and no leader stays where it was.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Crowd, accounted, during, recovered};
use crate::contract::plan;
use crate::support::{Kafka, Service, Shop, wait_until};

const NODES: [i32; 3] = [1, 2, 3];

/// From the last replica in sync on.
const LAG_ZERO_WITHIN: Duration = Duration::from_secs(15);

/// A broker whose machine is started anew.
const AWAY_FOR: Duration = Duration::from_mins(1);

/// Two of three brokers do all that three did: leaders and coordinators are elected after the 2 s of a
/// broker's session, the group's members and open transactions are heard of within their 12 s.
const WITHOUT_WITHIN: Duration = Duration::from_secs(30);

/// Between two steps: transactions go on.
const WORK: Duration = Duration::from_secs(3);

#[test]
fn a_rolling_restart_of_the_brokers_is_outlasted() {
    let kafka = three_or_skip!();
    let shop = Shop::open_with(&kafka, &plan(json!({})));
    let services = two(&shop);
    let mut crowd = Crowd::new();
    during(&mut crowd, &shop, || {
        for node in NODES {
            std::thread::sleep(WORK);
            kafka.node(node).stop();
            kafka.node(node).start();
            settled(&kafka, &services, &format!("broker {node} restarted in good order"));
        }
    });
    ended(&shop, services, &crowd, "a rolling restart of the brokers");
}

/// Each leader and each coordinator moves twice, the second time from a broker that goes on running.
#[test]
fn leaders_that_come_back_are_outlasted() {
    ci_or_skip!();
    let kafka = three_or_skip!(start_three_that_elect);
    let shop = Shop::open_with(&kafka, &plan(json!({})));
    let services = two(&shop);
    let mut crowd = Crowd::new();
    during(&mut crowd, &shop, || {
        for node in NODES {
            std::thread::sleep(WORK);
            kafka.node(node).stop();
            kafka.node(node).start();
            kafka.await_elected();
            settled(&kafka, &services, &format!("broker {node} restarted, and leads again"));
        }
    });
    ended(&shop, services, &crowd, "leaders that came back");
}

#[test]
fn coordinators_and_leaders_that_move_are_outlasted() {
    ci_or_skip!();
    let kafka = three_or_skip!();
    let shop = Shop::open_with(&kafka, &plan(json!({})));
    let services = two(&shop);
    let mut crowd = Crowd::new();
    let killed = |node: i32, named: &str| {
        std::thread::sleep(WORK);
        kafka.node(node).kill();
        std::thread::sleep(WORK);
        kafka.node(node).start();
        settled(&kafka, &services, named);
    };
    during(&mut crowd, &shop, || {
        let group = kafka.coordinator_of_group(shop.group_id());
        killed(group, "SIGKILL of the group's coordinator");
        let transactions = kafka.coordinator_of_transactions(&transactional_id(&shop, "a"));
        killed(transactions, "SIGKILL of the transactions' coordinator");
        for topic in ["clickstream", "consent-changelog", "assent-state"] {
            let leader = kafka.leader(&shop.topic(topic), 0);
            std::thread::sleep(WORK);
            kafka.node(leader).stop();
            kafka.node(leader).start();
            settled(&kafka, &services, &format!("the leader of {topic} changed"));
        }
    });
    ended(&shop, services, &crowd, "coordinators and leaders that moved");
}

#[test]
fn a_broker_that_is_away_and_one_that_is_replaced_are_outlasted() {
    ci_or_skip!();
    let kafka = three_or_skip!();
    let shop = Shop::open_with(&kafka, &plan(json!({})));
    let services = two(&shop);
    let mut crowd = Crowd::new();
    during(&mut crowd, &shop, || {
        let away = kafka.coordinator_of_group(shop.group_id());
        kafka.node(away).kill();
        settled_without(&services, &format!("broker {away} went away"));
        std::thread::sleep(AWAY_FOR);
        kafka.node(away).start();
        settled(&kafka, &services, &format!("broker {away} was away for a minute"));

        let replaced = kafka.coordinator_of_group(shop.group_id());
        kafka.node(replaced).kill();
        kafka.node(replaced).lose_disk();
        std::thread::sleep(WORK);
        kafka.node(replaced).start();
        settled(&kafka, &services, &format!("broker {replaced} was replaced by an empty one"));
    });
    recovered(&shop, "a broker away, and one replaced");
    accounted(&shop, &services.each_ref(), &crowd);
    for node in NODES {
        kafka.node(node).kill();
    }
    // SIGTERM ends a process within 10 s, also where no broker answers.
    services.into_iter().for_each(Service::stop);
}

/// Of the one worker of an instance (docs/contract/batch.md#identity).
fn transactional_id(shop: &Shop<'_>, instance: &str) -> String {
    let file = shop.folder().join(format!("state-{instance}/instance-id"));
    let id = std::fs::read_to_string(file).expect("an instance id");
    format!("{}-{}-0", shop.group_id(), id.trim())
}

fn two(shop: &Shop<'_>) -> [Service; 2] {
    let services = ["a", "b"].map(|it| Service::start(shop, it));
    let owned = |it: &Service| it.metrics().count("assent_assigned_partitions", &[]);
    wait_until(Duration::from_mins(1), "two partitions each", || {
        services.iter().all(|it| owned(it) == 2).then_some(())
    });
    services
}

/// All replicas in sync, then no lag within 15 s.
fn settled(kafka: &Kafka, services: &[Service], after: &str) {
    kafka.await_in_sync();
    let began = Instant::now();
    wait_until(LAG_ZERO_WITHIN, &format!("no lag after {after}"), || {
        services.iter().all(has_no_lag).then_some(())
    });
    eprintln!("lag 0: {after}: {} ms", began.elapsed().as_millis());
}

/// While a broker is away, the others do.
fn settled_without(services: &[Service], after: &str) {
    let began = Instant::now();
    wait_until(WITHOUT_WITHIN, &format!("no lag after {after}"), || {
        services.iter().all(has_no_lag).then_some(())
    });
    eprintln!("lag 0: {after}: {} ms", began.elapsed().as_millis());
}

fn has_no_lag(service: &Service) -> bool {
    let metrics = service.metrics();
    let lag = metrics.sum("assent_consent_sync_lag_seconds", &[]);
    let owned = metrics.count("assent_assigned_partitions", &[]);
    owned == 2 && lag == Some(0.0) && service.readyz().0 == 200
}

fn ended(shop: &Shop<'_>, services: [Service; 2], crowd: &Crowd, fault: &str) {
    recovered(shop, fault);
    accounted(shop, &services.each_ref(), crowd);
    services.into_iter().for_each(Service::stop);
}
