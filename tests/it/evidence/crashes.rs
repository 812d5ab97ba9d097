//! `audit publish` ended at every step, and at any moment: the log goes on, whole, and no tree that was
//! signed is left for another one.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use assent::pipeline::crash::PUBLISH_POINTS;

use super::auditor::{Auditor, auditor_or_skip};
use super::{bodies, log, publish, shop, verifier_key, write};
use crate::support::{Finished, Shop, Signal, signal, wait_until};

/// How the log was found after each crash: every checkpoint that was ever in its place, and no other.
struct Witness<'a> {
    auditor: &'a Auditor,
    shop: &'a Shop<'a>,
    seen: BTreeSet<u64>,
}

impl Witness<'_> {
    /// As a witness would: the checkpoint extends each one seen before, and is kept.
    fn look(&mut self) -> u64 {
        let (key, log) = (verifier_key(self.shop), log(self.shop));
        let Some((size, note)) = checkpoint(self.shop) else { return 0 };
        let kept = |size: u64| self.shop.folder().join(format!("seen-{size}"));
        for old in self.seen.iter().filter(|old| **old > 0) {
            self.auditor.consistency(&key, &log, &kept(*old)).ok();
        }
        if size > 0 {
            self.auditor.inclusion(&key, &log, &[0, size / 2, size - 1]);
        }
        std::fs::write(kept(size), note).expect("written");
        self.seen.insert(size);
        size
    }
}

/// The number of entries that it signs, and its text.
fn checkpoint(shop: &Shop<'_>) -> Option<(u64, String)> {
    let note = std::fs::read_to_string(log(shop).join("checkpoint")).ok()?;
    let size = note.lines().nth(1).expect("a size").parse().expect("a number");
    Some((size, note))
}

/// All entries, each chain whole and in order, each once.
fn assert_whole(auditor: &Auditor, shop: &Shop<'_>, chains: &[String], count: u64) {
    let all: Vec<u64> = (0..count * chains.len() as u64).collect();
    let entries = auditor.inclusion(&verifier_key(shop), &log(shop), &all);
    for chain in chains {
        let of_chain = entries.iter().filter(|entry| entry.contains(&format!(" {chain} ")));
        let sequences = of_chain.map(|it| it.split(' ').nth(2).unwrap().parse::<u64>().unwrap());
        assert!(sequences.eq(0..count), "{chain}");
    }
}

#[test]
fn a_crash_at_any_step_leaves_a_log_that_goes_on() {
    let kafka = kafka_or_skip!();
    let auditor = auditor_or_skip!();
    let shop = shop(kafka, 2);
    let topic = shop.topic("segmentation-audit");
    let chains = [0, 1].map(|partition| format!("{}/{partition}", shop.group_id()));
    let each = 300 * (PUBLISH_POINTS.len() as i64 + 1);
    let whole = chains.clone().map(|chain| bodies(&chain, each));
    let mut witness = Witness { auditor, shop: &shop, seen: BTreeSet::new() };
    let mut written = 0;
    for point in PUBLISH_POINTS {
        for (partition, (chain, bodies)) in (0..).zip(chains.iter().zip(&whole)) {
            write(kafka, &topic, partition, chain, &bodies[written..written + 300]);
        }
        written += 300;
        let before = witness.look();
        let mut command = shop.command(&["audit", "publish", "--once"]);
        let crashed = Finished::of(command.env("ASSENT_CRASH_AT", point));
        assert_eq!(crashed.code, None, "{point}: {crashed:?}");
        let after = witness.look();
        assert_eq!(after > before, point == "publish_checkpoint_named", "{point}");
        if point != "publish_file_named" {
            publish(&shop).ok();
            assert_eq!(witness.look(), 2 * written as u64, "{point}");
        }
    }
    for (partition, (chain, bodies)) in (0..).zip(chains.iter().zip(&whole)) {
        write(kafka, &topic, partition, chain, &bodies[written..]);
    }
    publish(&shop).ok();
    witness.look();
    assert_whole(auditor, &shop, &chains, each as u64);
}

#[test]
fn a_publisher_that_is_killed_again_and_again_publishes_everything_once() {
    let kafka = kafka_or_skip!();
    let auditor = auditor_or_skip!();
    let shop = shop(kafka, 2);
    let topic = shop.topic("segmentation-audit");
    let chains = [0, 1].map(|partition| format!("{}/{partition}", shop.group_id()));
    let whole = chains.clone().map(|chain| bodies(&chain, 2_000));
    let mut witness = Witness { auditor, shop: &shop, seen: BTreeSet::new() };
    for round in 0..10_usize {
        let from = round * 200;
        for (partition, (chain, bodies)) in (0..).zip(chains.iter().zip(&whole)) {
            write(kafka, &topic, partition, chain, &bodies[from..from + 200]);
        }
        let before = witness.look();
        let mut killed = start(&shop);
        if round % 2 == 0 {
            std::thread::sleep(Duration::from_millis(150 + 100 * round as u64));
        } else {
            wait_until(Duration::from_mins(1), "a new checkpoint", || {
                checkpoint(&shop).filter(|(size, _)| *size > before)
            });
        }
        signal(killed.id(), Signal::Kill);
        killed.wait().expect("it ends");
        witness.look();
    }
    publish(&shop).ok();
    assert_eq!(witness.look(), 4_000);
    assert!(witness.seen.len() >= 5, "some steps were published: {:?}", witness.seen);
    assert_whole(auditor, &shop, &chains, 2_000);
}

fn start(shop: &Shop<'_>) -> Child {
    let mut command = shop.command(&["audit", "publish"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    // Until it has the lock: a crash before is none of a publisher.
    wait_until(Duration::from_secs(30), "the lock", || {
        log(shop).join(".assent/lock").exists().then_some(())
    });
    child
}
