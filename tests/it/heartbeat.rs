//! `assent heartbeat` on a real Kafka: what it writes, and that `--every` goes on until it is told.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Record, Shop, Signal, signal, wait_until};

#[test]
fn every_partition_gets_a_heartbeat_of_source_assent() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let said = shop.run(&["heartbeat", "--json"]).ok().json();
    assert_eq!((&said["partitions"], &said["source"]), (&4.into(), &"assent".into()));
    let mut beats = shop.committed("consent-changelog");
    beats.sort_by_key(|record| record.partition);
    let seen: Vec<(i32, String)> =
        beats.iter().map(|r| (r.partition, r.key_text().to_owned())).collect();
    let expected = (0..4).map(|partition| (partition, format!("__assent_heartbeat_{partition}")));
    assert_eq!(seen, expected.collect::<Vec<_>>());
    assert!(beats.iter().all(|record| record.value.is_none() && source(record) == "assent"));
}

#[test]
fn it_goes_on_until_it_is_told_to_end() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let mut command = shop.command(&["heartbeat", "--every", "1s"]);
    let mut child = command.stdout(Stdio::null()).spawn().expect("it starts");
    wait_until(Duration::from_secs(30), "a second round", || {
        (shop.committed("consent-changelog").len() >= 8).then_some(())
    });
    signal(child.id(), Signal::Term);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_silly_interval_is_bad_usage() {
    let kafka = kafka_or_skip!();
    let refused = Shop::open(kafka).run(&["heartbeat", "--every", "0s"]);
    assert_eq!(refused.code, Some(64), "{refused:?}");
}

fn source(record: &Record) -> &str {
    record.header("source").unwrap_or_default()
}
