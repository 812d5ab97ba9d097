//! What `audit publish` and `audit verify` refuse: a topic that does not go on, and a person's mistakes. Nothing
//! is signed, one message says why.

use super::tampered::altered;
use super::{Forged, bodies, log, publish, shop, write};
use crate::support::{Finished, Plan, Shop};

#[test]
fn a_chain_that_does_not_go_on_is_not_signed() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka, 1);
    let chain = format!("{}/0", shop.group_id());
    let bodies = bodies(&chain, 10);
    write(kafka, &shop.topic("segmentation-audit"), 0, &chain, &bodies[..6]);
    publish(&shop).ok();
    let signed = || std::fs::read(log(&shop).join("checkpoint")).expect("a checkpoint");
    let before = signed();
    let refused = |name: &str, bodies: &[Vec<u8>], words: &str| {
        let forged = Forged::new(&shop, name, 1);
        write(kafka, &forged.topic, 0, &chain, bodies);
        let finished = forged.run(&shop, &["audit", "publish", "--once"]);
        assert_eq!(finished.code, Some(1), "{name}: {finished:?}");
        let lines = finished.stderr.lines().filter(|line| !line.contains("WARN")).count();
        assert_eq!(lines, 1, "{name}: {finished:?}");
        assert!(finished.stderr.contains(words), "{name}: {finished:?}");
        assert!(finished.stderr.contains("nothing was signed"), "{name}: {finished:?}");
        assert_eq!(signed(), before, "{name}");
    };
    refused("gap", &[&bodies[..6], &bodies[7..]].concat(), "sequence 6 is missing");
    let mut last = bodies.clone();
    last[5] = altered(&bodies[5]);
    refused("altered", &last, "sequence 5 has another hash in the log");
    let fork = super::body(&chain, 6, [7; 32], 1);
    refused("unlinked", &[&bodies[..6], &[fork]].concat(), "sequence 6 does not follow");
    refused("again", &[&bodies[..8], &bodies[6..]].concat(), "a second time");
    refused("behind", &[&bodies[..6], &bodies[2..3]].concat(), "a second time");

    // What is no batch of the chain is passed over, and said; the chain decides.
    let forged = Forged::new(&shop, "strange", 1);
    let strange = [&bodies[..6], &[b"no batch".to_vec()], &bodies[6..]].concat();
    write(kafka, &forged.topic, 0, &chain, &strange);
    let finished = forged.run(&shop, &["audit", "publish", "--once", "--json"]).ok();
    assert_eq!(finished.json()["size"], 10);
    assert!(finished.stderr.contains("a record is not published"), "{finished:?}");
}

#[test]
fn retention_that_was_quicker_than_the_publisher_is_said() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka, 1);
    let chain = format!("{}/0", shop.group_id());
    let (bodies, topic) = (bodies(&chain, 10), shop.topic("segmentation-audit"));
    write(kafka, &topic, 0, &chain, &bodies[..4]);
    publish(&shop).ok();
    write(kafka, &topic, 0, &chain, &bodies[4..]);
    kafka.delete_records(&topic, &std::collections::BTreeMap::from([(0, 7)]));
    let finished = publish(&shop);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("sequence 4 is missing"), "{finished:?}");
    // Up to the published head it may take what it likes.
    let other = super::shop(kafka, 1);
    let chain = format!("{}/0", other.group_id());
    let (bodies, topic) = (super::bodies(&chain, 10), other.topic("segmentation-audit"));
    write(kafka, &topic, 0, &chain, &bodies[..4]);
    publish(&other).ok();
    write(kafka, &topic, 0, &chain, &bodies[4..]);
    kafka.delete_records(&topic, &std::collections::BTreeMap::from([(0, 4)]));
    assert_eq!(publish(&other).ok().json()["size"], 10);
}

#[test]
fn a_persons_mistake_is_said_once() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka, 1);
    let refused = |arguments: &[&str], variables: &[(&str, &str)], code: i32, words: &str| {
        let mut command = shop.command(arguments);
        let finished = Finished::of(command.envs(variables.iter().copied()));
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
        assert!(finished.stderr.contains(words), "{finished:?}");
    };
    let away = ("ASSENT__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1");
    let no_key = ("ASSENT__AUDIT__LOG_KEY", "nowhere.key");
    let other = ("ASSENT__AUDIT__ORIGIN", "other.example/audit");
    let publish = ["audit", "publish", "--once"];
    refused(&publish, &[no_key], 78, "keys new --for audit-log");
    refused(&publish, &[other], 78, "audit.origin is `other.example/audit`");
    refused(&publish, &[away], 69, "127.0.0.1:1");
    refused(&publish, &[("ASSENT__TOPICS__AUDIT", "no-such-topic")], 1, "no-such-topic");
    refused(&["audit", "verify"], &[away], 69, "127.0.0.1:1");
    refused(&["audit", "verify", "--partition", "1"], &[], 64, "--partition 1");
    refused(&["audit", "verify", "--from", "nowhere"], &[], 65, "--from nowhere");
    refused(&["audit", "verify", "--from", "log.pub"], &[], 1, "not a signed note");
    refused(&["audit", "verify", "--from", "x", "--log-key", "a+b"], &[], 64, "--log-key");
    refused(&["audit", "verify", "--export", "nowhere"], &[], 65, "manifest.json");
    refused(&["keys", "new", "--for", "audit-log"], &[], 64, "--origin");
    refused(&["keys", "new", "--origin", "a"], &[], 64, "--for audit-log");
    let new = ["keys", "new", "--for", "audit-log", "--origin"];
    refused(&[&new[..], &["a b"]].concat(), &[], 64, "--origin");
    refused(&[&new[..], &["a"]].concat(), &[], 78, "was not changed");
    let plain = Shop::open_with(kafka, &Plan { partitions: 1, ..Plan::default() });
    let finished = plain.run(&publish);
    assert_eq!(finished.code, Some(78), "{finished:?}");
    assert!(finished.stderr.contains("audit.publish_dir is not set"), "{finished:?}");
    let empty = plain.run(&["audit", "verify"]).ok();
    assert!(empty.stdout.ends_with("nothing to verify: there are no batches\n"), "{empty:?}");
    let shown = shop.run(&["keys", "show", "--for", "audit-log"]).ok();
    assert_eq!(shown.stdout.trim(), super::verifier_key(&shop));
}
