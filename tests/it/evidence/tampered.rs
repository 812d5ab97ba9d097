//! Topics as somebody else might leave them: each kind of fault, at the first, a middle and the last batch,
//! is found where it lies, with the log that was published before, and without it as far as that can be.

use std::path::PathBuf;

use super::{Forged, bodies, faults, log, publish, shop, write};
use crate::bad_input;
use crate::evidence::folder;
use crate::support::{Finished, Kafka, Plan, Service, Shop, view};

const COUNT: i64 = 9;

type Bodies = Vec<Vec<u8>>;

/// A shop whose audit topic holds a sound chain, which is published.
fn published(kafka: &Kafka) -> (Shop<'_>, String, Bodies) {
    let shop = shop(kafka, 1);
    let chain = format!("{}/0", shop.group_id());
    let bodies = bodies(&chain, COUNT);
    write(kafka, &shop.topic("segmentation-audit"), 0, &chain, &bodies);
    publish(&shop).ok();
    let sound = shop.run(&["audit", "verify", "--from", "log/checkpoint", "--json"]);
    assert!(faults(&sound).is_empty(), "{sound:?}");
    (shop, chain, bodies)
}

/// What is found in a topic with these bodies in the chain's place.
fn found(shop: &Shop<'_>, name: &str, chain: &str, bodies: &Bodies, from: bool) -> Vec<String> {
    let forged = Forged::new(shop, name, 1);
    write(shop.kafka, &forged.topic, 0, chain, bodies);
    let mut arguments = vec!["audit", "verify", "--json"];
    if from {
        arguments.extend(["--from", "log/checkpoint"]);
    }
    faults(&forged.run(shop, &arguments))
}

/// A batch's body under another rulebook: a batch like any other, but not this one.
pub fn altered(body: &[u8]) -> Vec<u8> {
    let at = body.windows(3).position(|three| three == b"one").expect("the rulebook's version");
    let mut altered = body.to_vec();
    altered[at..at + 3].copy_from_slice(b"two");
    altered
}

/// Each way to change a chain at `at`, what is found with the log, and whether the chain alone shows it.
pub fn changes(
    bodies: &Bodies,
    at: usize,
    chain: &str,
) -> Vec<(&'static str, Bodies, String, bool)> {
    let last = bodies.len() - 1;
    let mut altered_one = bodies.clone();
    altered_one[at] = altered(&bodies[at]);
    let mut removed = bodies.clone();
    removed.remove(at);
    let mut swapped = bodies.clone();
    let first = at.min(last - 1);
    swapped.swap(first, first + 1);
    let mut doubled = bodies.clone();
    doubled.insert(at + 1, altered(&bodies[at]));
    vec![
        ("altered", altered_one, format!("altered {chain} {at}"), at < last),
        ("missing", removed, format!("missing {chain} {at}"), at < last),
        ("reordered", swapped, format!("reordered {chain} {first}"), true),
        ("forked", doubled, format!("forked {chain} {at}"), true),
    ]
}

#[test]
fn every_kind_is_found_at_the_first_a_middle_and_the_last_batch() {
    let kafka = kafka_or_skip!();
    let (shop, chain, bodies) = published(kafka);
    for at in [0, 4, bodies.len() - 1] {
        for (kind, changed, expected, is_alone) in changes(&bodies, at, &chain) {
            let name = format!("{kind}-{at}");
            let with_log = found(&shop, &name, &chain, &changed, true);
            assert_eq!(with_log, std::slice::from_ref(&expected), "{name}");
            let alone = found(&shop, &format!("{name}-alone"), &chain, &changed, false);
            assert_eq!(alone, if is_alone { vec![expected] } else { vec![] }, "{name}");
        }
    }
    let cut = bodies[..5].to_vec();
    let expected = format!("missing {chain} 5");
    assert_eq!(found(&shop, "cut", &chain, &cut, true), [expected]);
    assert_eq!(found(&shop, "emptied", &chain, &Vec::new(), true), [format!("missing {chain} 0")]);
    let foreign = super::bodies(&format!("{}/7", shop.group_id()), 1);
    let strange = [bodies.clone(), foreign].concat();
    let expected = format!("forked {}/7 0", shop.group_id());
    assert_eq!(found(&shop, "strange", &chain, &strange, true), [expected]);
    for at in [0, 4, bodies.len() - 1] {
        let mut no_batch = bodies.clone();
        no_batch[at] = b"no batch".to_vec();
        let found = found(&shop, &format!("no-batch-{at}"), &chain, &no_batch, true);
        assert_eq!(found, [format!("altered {chain} {at}")]);
    }
}

#[test]
fn a_log_that_was_changed_is_named_and_the_rest_goes_on() {
    let kafka = kafka_or_skip!();
    let (shop, chain, _) = published(kafka);
    let verify = |from: &PathBuf| {
        let from = from.to_str().expect("UTF-8");
        shop.run(&["audit", "verify", "--from", from, "--json"])
    };
    let paths = folder::files(&log(&shop));
    for path in &paths {
        let copy = folder::copy(&log(&shop));
        folder::flip(&copy.path().join(path));
        let finished = verify(&copy.path().join("checkpoint"));
        assert_eq!(finished.code, Some(1), "{}: {finished:?}", path.display());
        if path.to_str() != Some("checkpoint") {
            let result = finished.json();
            assert_eq!(result["faults"][0]["kind"], "altered", "{result:#}");
            assert_eq!(result["chains"][0]["chain"], chain.as_str(), "the topic is verified");
        }
        std::fs::remove_file(copy.path().join(path)).expect("removed");
        let finished = verify(&copy.path().join("checkpoint"));
        let expected = if path.to_str() == Some("checkpoint") { 65 } else { 1 };
        assert_eq!(finished.code, Some(expected), "{}: {finished:?}", path.display());
    }
    assert_eq!(paths.len(), 3, "{paths:?}");
}

/// What the state says of the chain's end finds what no log was there to say.
#[test]
fn the_state_shows_what_was_done_to_the_last_batch() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    for round in 0..4 {
        kafka.produce((0..5).map(|n| shop.click(&view(&format!("guest-{round}-{n}")))));
        bad_input::await_decided(&shop, &service);
    }
    service.stop();
    let sound = shop.run(&["audit", "verify", "--json"]);
    assert!(faults(&sound).is_empty(), "{sound:?}");
    let chain = format!("{}/0", shop.group_id());
    let records = shop.committed("segmentation-audit");
    let bodies: Bodies = records
        .iter()
        .map(|record| record.value.as_ref().expect("a batch")[10..].to_vec())
        .collect();
    let last = bodies.len() - 1;
    assert!(last >= 3, "{last}");
    let cut = bodies[..last].to_vec();
    assert_eq!(found(&shop, "cut", &chain, &cut, false), [format!("missing {chain} {last}")]);
    let mut altered = bodies.clone();
    altered[last] = super::body(&chain, last as i64, [9; 32], 1);
    assert_eq!(found(&shop, "last", &chain, &altered, false).len(), 2, "it, and its predecessor");
    assert!(found(&shop, "whole", &chain, &bodies, false).is_empty());
}

/// A partition alone, and a chain of which retention took the beginning.
#[test]
fn what_retention_took_is_no_fault() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka, 2);
    let topic = shop.topic("segmentation-audit");
    let names = [0, 1].map(|partition| format!("{}/{partition}", shop.group_id()));
    for (partition, name) in (0..).zip(&names) {
        write(kafka, &topic, partition, name, &bodies(name, 6));
    }
    kafka.delete_records(&topic, &std::collections::BTreeMap::from([(1, 3)]));
    let verified = shop.run(&["audit", "verify", "--json"]);
    assert!(faults(&verified).is_empty(), "{verified:?}");
    let chains = verified.json()["chains"].clone();
    assert_eq!(
        (&chains[0]["first_sequence"], &chains[1]["first_sequence"]),
        (&0.into(), &3.into())
    );
    assert_eq!(chains[1]["entries"], 3);
    let one = shop.run(&["audit", "verify", "--partition", "1", "--json"]).ok().json();
    assert_eq!(one["chains"].as_array().expect("chains").len(), 1);
    // A log that begins with what is left.
    publish(&shop).ok();
    let verified = shop.run(&["audit", "verify", "--from", "log/checkpoint", "--json"]);
    assert!(faults(&verified).is_empty(), "{verified:?}");
    // What was published and is young enough to be there was removed by somebody.
    kafka.delete_records(&topic, &std::collections::BTreeMap::from([(1, 5)]));
    let verified = shop.run(&["audit", "verify", "--from", "log/checkpoint", "--json"]);
    assert_eq!(faults(&verified), [format!("missing {} 3", names[1])]);
    let text = Finished::of(&mut shop.command(&["audit", "verify", "--from", "log/checkpoint"]));
    assert!(
        text.stdout.lines().last().is_some_and(|it| it.starts_with("verdict  1 fault")),
        "{text:?}"
    );
}
