//! A key rotation that is killed in the middle resumes: every live key moves to the new one, once,
//! and who denies meanwhile is left under neither.

use std::time::Duration;

use serde_json::json;

use super::kills::crash;
use super::{in_sync, recovered, verified};
use crate::audit;
use crate::contract::{PURPOSES, plan};
use crate::support::{Plan, Record, Service, Shop, consent, latest, view, wait_until};

/// More than two batches of a sweep (`UPKEEP_PER_BATCH_MAX` is 1,000).
const PEOPLE: usize = 2_500;
const DENIED: usize = 100;
const WITHIN: Duration = Duration::from_mins(2);

#[test]
fn a_rotation_that_is_killed_in_the_middle_goes_on_where_it_was() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, ..plan(json!({})) });
    let service = Service::start(&shop, "a");
    let people: Vec<String> = (0..PEOPLE).map(|i| format!("kid-{i}")).collect();
    kafka.produce(people.iter().map(|it| shop.consent(&consent(it, 1, "GRANTED", &PURPOSES))));
    kafka.produce(people.iter().map(|it| shop.click(&view(it))));
    recovered(&shop, "nothing (before a rotation)");
    service.stop();
    shop.run(&["keys", "rotate"]).ok();

    crash(&shop, "during_sweep");
    let service = Service::start(&shop, "a");
    wait_until(WITHIN, "some keys moved", || (moved(&shop) > 0).then_some(()));
    service.kill();
    let (at_kill, all) = (moved(&shop), people.len());
    assert!(at_kill < all, "killed too late: {at_kill} of {all} moved");
    kafka.produce(
        people[..DENIED].iter().map(|it| shop.consent(&consent(it, 2, "DENIED", &PURPOSES))),
    );
    kafka.produce(people.iter().map(|it| shop.click(&view(it))));

    let service = Service::start(&shop, "a");
    recovered(&shop, "SIGKILL in the middle of a rotation");
    let old = || service.metrics().count("assent_live_keys", &[("key_version", "1")]);
    wait_until(WITHIN, "no live key of the old version", || (old() == 0).then_some(()));
    in_sync(&service);
    for purpose in &PURPOSES[..3] {
        let live = latest(&shop.committed(&format!("segments.{purpose}")));
        assert_eq!(live.len(), PEOPLE - DENIED, "{purpose}");
        assert!(live.keys().all(|key| is_of_version_2(key)), "{purpose}: a key of version 1");
    }
    let audit = audit::read(&shop);
    audit.assert_whole(&shop);
    audit.assert_effects(&shop, &PURPOSES);
    verified(&shop);
    service.stop();
    shop.run(&["keys", "retire", "1"]).ok();
}

/// The first byte of the token, which base64 spreads over two letters.
fn is_of_version_2(key: &[u8]) -> bool {
    key[0] == b'A' && (b'g'..=b'v').contains(&key[1])
}

/// Keys of one purpose that were retired so far.
fn moved(shop: &Shop<'_>) -> usize {
    let retired = |record: &Record| record.header("reason") == Some("key_retired");
    shop.committed("segments.offers").iter().filter(|it| retired(it)).count()
}
