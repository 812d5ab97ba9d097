//! SIGKILL and its like: at every named point of a batch's life (a process that aborts itself there,
//! built with the feature `crash-points`, which `cargo test` turns on), and at any time under load.

use std::time::Duration;

use serde_json::json;

use super::{Crowd, accounted, during, recovered};
use crate::contract::{PURPOSES, plan};
use crate::support::{Service, Shop, wait_until};

/// after_abort is below and after_read_back in `wire`: they need a fault of Kafka besides; during_sweep
/// is in `rotation`.
const POINTS: [&str; 8] = [
    "after_init",
    "after_restore",
    "after_decide",
    "after_begin",
    "after_produce",
    "after_send_offsets",
    "after_commit",
    "during_restore",
];

/// How many, unless `ASSENT_KILLS` says otherwise.
const KILLS: usize = 10;

#[test]
fn a_crash_at_any_point_loses_and_doubles_nothing() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let mut crowd = Crowd::new();
    for point in POINTS {
        crowd.turns(&shop, 5);
        crash(&shop, point);
    }
    crash_after_an_abort(&shop, &mut crowd);
    let service = Service::start(&shop, "a");
    recovered(&shop, "a crash at each point in turn");
    accounted(&shop, &[&service], &crowd);
    service.stop();
}

/// The instance `a` ends by itself at this point.
fn crash(shop: &Shop<'_>, point: &str) {
    let mut crashing = Service::start_with(shop, "a", &[("ASSENT_CRASH_AT", point)]);
    let ended = crashing.wait(Duration::from_mins(1));
    assert!(!ended.success() && ended.code().is_none(), "{point}: {ended:?}");
}

/// A broker that finds a record too large makes an abort of every transaction.
fn crash_after_an_abort(shop: &Shop<'_>, crowd: &mut Crowd) {
    let is_audit = |name: &str| name.ends_with("segmentation-audit");
    let mut plans = shop.topic_plans(&PURPOSES);
    let audit = plans.iter_mut().find(|plan| is_audit(&plan.name)).expect("the audit's plan");
    audit.config.push(("max.message.bytes", "100".into()));
    shop.kafka.configure(audit);
    crowd.turns(shop, 5);
    crash(shop, "after_abort");
    audit.config.pop();
    shop.kafka.configure(audit);
}

#[test]
fn a_crash_while_partitions_are_given_back_loses_and_doubles_nothing() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let mut crowd = Crowd::new();
    let mut first = Service::start_with(&shop, "a", &[("ASSENT_CRASH_AT", "during_revoke")]);
    first.await_ready();
    let second = during(&mut crowd, &shop, || {
        let second = Service::start(&shop, "b");
        let ended = first.wait(Duration::from_mins(1));
        assert!(ended.code().is_none(), "{ended:?}");
        recovered(&shop, "a crash while partitions are given back");
        second
    });
    accounted(&shop, &[&second], &crowd);
    second.stop();
}

#[test]
fn kills_at_any_time_under_load_lose_and_double_nothing() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let mut crowd = Crowd::new();
    let kills = kills();
    let last = during(&mut crowd, &shop, || {
        for round in 0..kills {
            let service = Service::start(&shop, "a");
            // Every other one is killed while it starts, joins, restores or decides its first batch.
            if round % 2 == 0 {
                recovered(&shop, "SIGKILL, the same instance again");
            }
            std::thread::sleep(Duration::from_millis(round as u64 * 397 % 1_500));
            service.kill();
        }
        let last = Service::start(&shop, "a");
        recovered(&shop, "SIGKILL, the same instance again");
        last
    });
    let audit = accounted(&shop, &[&last], &crowd);
    eprintln!("{kills} kills, {} clicks, {} opt-outs", audit.clicks.len(), crowd.opt_outs());
    last.stop();
}

fn kills() -> usize {
    let asked = std::env::var("ASSENT_KILLS").ok();
    asked.map_or(KILLS, |asked| asked.parse().expect("ASSENT_KILLS is a number"))
}

#[test]
fn another_instance_takes_over_from_one_that_was_killed() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let mut crowd = Crowd::new();
    let (first, second) = (Service::start(&shop, "a"), Service::start(&shop, "b"));
    let owned = |service: &Service| service.metrics().count("assent_assigned_partitions", &[]);
    wait_until(Duration::from_mins(1), "two partitions each", || {
        (owned(&first) == 2 && owned(&second) == 2).then_some(())
    });
    during(&mut crowd, &shop, || {
        first.kill();
        recovered(&shop, "SIGKILL, another instance takes over");
    });
    accounted(&shop, &[&second], &crowd);
    second.stop();
}
