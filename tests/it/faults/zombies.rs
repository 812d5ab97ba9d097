//! Zombies: a process that was stopped in the middle of a batch for longer than its session and its
//! poll interval, while another took its partition over, goes on as if nothing had happened. It must
//! not commit, and comes back by itself.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Crowd, accounted, recovered};
use crate::contract::plan;
use crate::support::{Plan, Service, Shop, wait_until};

/// Where it is stopped: before its transaction begins, with records in it, with offsets in it.
const POINTS: [&str; 3] = ["after_decide", "after_produce", "after_send_offsets"];

/// The least that librdkafka takes on top of a session of 12 s.
const POLL_INTERVAL_MS: &str = "12000";

/// Past both.
const STOPPED_FOR: Duration = Duration::from_secs(15);

#[test]
fn a_zombie_commits_nothing_and_comes_back() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let settings = json!({"kafka": {"properties": {"max.poll.interval.ms": POLL_INTERVAL_MS}}});
    let open = || Shop::open_with(kafka, &Plan { partitions: 2, ..plan(settings.clone()) });
    let shops = POINTS.map(|point| (point, open()));
    let stopped = shops.each_ref().map(|(point, shop)| stop_at(shop, point));
    let since = Instant::now();
    let heirs = shops.each_ref().map(|(_, shop)| Service::start(shop, "b"));
    for (point, shop) in &shops {
        recovered(shop, &format!("stopped {point}, another instance takes over"));
    }
    std::thread::sleep(STOPPED_FOR.saturating_sub(since.elapsed()));
    for (((point, shop), (zombie, mut crowd)), heir) in shops.iter().zip(stopped).zip(heirs) {
        crowd.turns(shop, 10);
        zombie.sigcont();
        let fenced = || {
            let log = zombie.log();
            let met = log.contains("a transaction failed");
            let lost = log.contains("joining the group again");
            (met || lost).then_some(())
        };
        wait_until(Duration::from_mins(1), &format!("{point}: fenced"), fenced);
        crowd.turns(shop, 10);
        recovered(shop, &format!("SIGCONT of a zombie stopped {point}"));
        wait_until(Duration::from_mins(1), "its share of the partitions", || {
            (zombie.metrics().count("assent_assigned_partitions", &[]) == 1).then_some(())
        });
        accounted(shop, &[&zombie, &heir], &crowd);
        zombie.stop();
        heir.stop();
    }
}

/// An instance that stopped itself there with a batch in hand.
fn stop_at(shop: &Shop<'_>, point: &str) -> (Service, Crowd) {
    let mut crowd = Crowd::new();
    crowd.turns(shop, 10);
    let zombie = Service::start_with(shop, "a", &[("ASSENT_STOP_AT", point)]);
    wait_until(Duration::from_mins(1), "stopped", || is_stopped(zombie.pid()).then_some(()));
    (zombie, crowd)
}

fn is_stopped(pid: u32) -> bool {
    let mut ps = std::process::Command::new("ps");
    let answer = ps.args(["-o", "stat=", "-p", &pid.to_string()]).output().expect("ps");
    answer.stdout.starts_with(b"T")
}
