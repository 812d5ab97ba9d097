//! A log that `audit publish` wrote, checked with tools that are not ours.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::auditor::auditor_or_skip;
use super::{bodies, faults, files_of, log, publish, shop, verifier_key, write};
use crate::audit::hex;
use crate::bad_input;
use crate::evidence::folder;
use crate::support::{self, Service, Shop, Signal, consent, decode, signal, view, wait_until};

/// The entry of each batch that the topic holds, by chain, in order, made with nothing of `src`.
fn expected(shop: &Shop<'_>) -> BTreeMap<String, Vec<String>> {
    let mut entries: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in shop.committed("segmentation-audit") {
        let value = record.value.as_deref().expect("a batch");
        let batch = decode("audit_batch", value);
        let chain = batch["chain"].as_str().expect("a chain").to_owned();
        let (sequence, decided_at) = (&batch["sequence"], &batch["decided_at"]);
        let hash = hex(&Sha256::digest(&value[10..]));
        let entry = format!("assent/v1 {chain} {sequence} {hash} {decided_at}");
        entries.entry(chain).or_default().push(entry);
    }
    entries
}

/// Whatever the order of the chains, each is in the log as it is in the topic.
fn by_chain(entries: Vec<String>) -> BTreeMap<String, Vec<String>> {
    let mut chains: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in entries {
        let chain = entry.split(' ').nth(1).expect("a chain").to_owned();
        chains.entry(chain).or_default().push(entry);
    }
    chains
}

fn lively(shop: &Shop<'_>, service: &Service, people: usize) {
    for n in 0..people {
        let id = format!("family-{n}");
        let offers = "personalized-offers";
        shop.kafka.produce([shop.consent(&consent(&id, 1, "GRANTED", &[offers]))]);
        shop.kafka.produce((0..4).map(|_| shop.click(&view(&id))));
        bad_input::await_decided(shop, service);
    }
}

#[test]
fn tools_that_are_not_ours_find_every_batch_in_the_log_and_every_bit_that_changed() {
    let kafka = kafka_or_skip!();
    let auditor = auditor_or_skip!();
    let shop = shop(kafka, 2);
    let (key, log) = (verifier_key(&shop), log(&shop));
    let service = Service::start(&shop, "a");
    service.await_ready();
    lively(&shop, &service, 6);
    let done = publish(&shop).ok().json();
    let size = done["size"].as_u64().expect("a size");
    let all: Vec<u64> = (0..size).collect();
    let entries = by_chain(auditor.inclusion(&key, &log, &all));
    let topic = expected(&shop);
    for (chain, entries) in &entries {
        assert_eq!(entries[..], topic[chain][..entries.len()], "{chain}");
    }
    assert!(size >= 6, "{done}");

    let old = shop.folder().join("kept");
    std::fs::copy(log.join("checkpoint"), &old).expect("copied");
    lively(&shop, &service, 8);
    service.stop();
    let size = publish(&shop).ok().json()["size"].as_u64().expect("a size");
    let all: Vec<u64> = (0..size).collect();
    assert_eq!(by_chain(auditor.inclusion(&key, &log, &all)), expected(&shop));
    auditor.consistency(&key, &log, &old).ok();
    assert_eq!(publish(&shop).ok().stdout, "", "nothing came, so nothing is signed");
    let verified = shop.run(&["audit", "verify", "--from", "log/checkpoint", "--json"]);
    assert!(faults(&verified).is_empty(), "{verified:?}");
    assert_eq!(verified.json()["chains"].as_array().expect("chains").len(), 2);

    let outside = folder::copy(&log);
    auditor.inclusion(&key, outside.path(), &all);
    for path in folder::files(&log) {
        let altered = folder::copy(&log);
        folder::flip(&altered.path().join(&path));
        let refused = auditor.try_inclusion(&key, altered.path(), &all);
        // Partial tiles of earlier checkpoints are in the folder, and no one asks for them.
        let is_read = path.to_str().expect("UTF-8") == "checkpoint"
            || files_of(size).contains(&path.display().to_string());
        assert_eq!(refused.code == Some(0), !is_read, "{}: {refused:?}", path.display());
    }
    let other = shop.run(&["keys", "new", "--for", "audit-log", "--origin", "a", "--out", "a.key"]);
    let other = other.ok().stdout;
    assert_eq!(auditor.try_inclusion(other.trim(), &log, &[0]).code, Some(1));
}

#[test]
fn a_log_over_many_tiles_is_read_by_tools_that_are_not_ours() {
    let kafka = kafka_or_skip!();
    let auditor = auditor_or_skip!();
    let shop = shop(kafka, 2);
    let (key, log) = (verifier_key(&shop), log(&shop));
    let chains = [0, 1].map(|partition| format!("{}/{partition}", shop.group_id()));
    let whole = chains.clone().map(|chain| bodies(&chain, 700));
    let topic = shop.topic("segmentation-audit");
    let mut kept = Vec::new();
    for (from, to) in [(0, 1), (1, 128), (128, 200), (200, 700)] {
        for (partition, (chain, bodies)) in (0..).zip(chains.iter().zip(&whole)) {
            write(kafka, &topic, partition, chain, &bodies[from..to]);
        }
        publish(&shop).ok();
        let copy = shop.folder().join(format!("checkpoint-{to}"));
        std::fs::copy(log.join("checkpoint"), &copy).expect("copied");
        kept.push(copy);
    }
    let size = publish_size(&kept[3]);
    assert_eq!(size, 1400);
    auditor.inclusion(&key, &log, &[0, 1, 2, 255, 256, 257, 399, 400, 511, 512, 1279, 1280, 1399]);
    for old in &kept {
        auditor.consistency(&key, &log, old).ok();
    }
    // A log of the same key that took another turn extends none of them.
    let forked = shop.folder().join("forked");
    let mut other = shop.command(&["audit", "publish", "--once"]);
    other.env("ASSENT__AUDIT__PUBLISH_DIR", &forked);
    support::Finished::of(&mut other).ok();
    let first = auditor.consistency(&key, &forked, &kept[2]);
    assert_eq!(first.code, Some(1), "{first:?}");
}

/// The size that a checkpoint says.
fn publish_size(checkpoint: &std::path::Path) -> u64 {
    let text = std::fs::read_to_string(checkpoint).expect("a checkpoint");
    text.lines().nth(1).expect("a size").parse().expect("a number")
}

#[test]
fn a_second_publisher_is_refused_and_the_first_goes_on() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka, 1);
    let chain = format!("{}/0", shop.group_id());
    let (bodies, topic) = (bodies(&chain, 20), shop.topic("segmentation-audit"));
    write(kafka, &topic, 0, &chain, &bodies[..10]);
    let mut first = shop.command(&["audit", "publish", "--json"]);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let size = || publish_size(&log(&shop).join("checkpoint"));
    wait_until(Duration::from_mins(1), "the first checkpoint", || {
        (log(&shop).join("checkpoint").exists() && size() == 10).then_some(())
    });
    let second = publish(&shop);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another publisher"), "{second:?}");
    write(kafka, &topic, 0, &chain, &bodies[10..]);
    wait_until(Duration::from_mins(1), "the next checkpoint", || (size() == 20).then_some(()));
    signal(first.id(), Signal::Term);
    assert_eq!(first.wait().expect("it ends").code(), Some(0));
    publish(&shop).ok();
}
