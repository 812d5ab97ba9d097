//! What a person does before `run`: topics, keys, rules, and `check` on a real cluster.

use serde_json::Value;

use crate::support::{Finished, Message, Plan, Shop};

const KEY: &str = "family-000042";

#[test]
fn topics_are_made_once_and_pass_the_check() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..Plan::default() });

    let missing = shop.run(&["check", "--json"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    let made = shop.run(&["topics", "create", "--partitions", "4", "--json"]).ok().json_lines();
    assert_eq!(made.len(), 10, "{made:?}");
    assert!(made.iter().all(|line| line["result"] == "created"), "{made:?}");
    let checked = shop.run(&["check", "--json"]).ok().json();
    assert_eq!(checked["ok"], true);

    let again = shop.run(&["topics", "create", "--partitions", "5", "--json"]).ok().json_lines();
    for line in &again {
        assert_eq!(line["result"], "exists");
        assert_eq!(line["differences"], serde_json::json!(["has 4 partitions instead of 5"]));
    }
}

#[test]
fn a_record_on_another_partition_than_its_keys_is_found_and_its_key_not_told() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let topic = shop.topic("clickstream");
    let placed = Message::new(&topic).key(KEY).value("placed");
    let [(home, _)] = kafka.produce([placed])[..] else { panic!("one record") };
    assert_eq!(findings(&shop, "keys lie")[0]["ok"], true);

    let elsewhere = (home + 1) % shop.partitions;
    kafka.produce([Message::new(&topic).partition(elsewhere).key(KEY).value("misplaced")]);
    let finding = findings(&shop, "keys lie").remove(0);
    assert_eq!(finding["ok"], false);
    let detail = finding["detail"].as_str().expect("a detail");
    assert!(detail.contains(&format!("partition {elsewhere}, offset 0")), "{detail}");
    assert!(!finding.to_string().contains(KEY), "{finding}");
}

#[test]
fn a_cluster_out_of_reach_is_one_message() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..Plan::default() });
    let mut command = shop.command(&["check"]);
    command.env("ASSENT__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1");
    // The least that the configuration takes, below librdkafka's default of a session.
    command.env("ASSENT__KAFKA__PROPERTIES__MAX_POLL_INTERVAL_MS", "12000");
    let finished = Finished::of(&mut command);
    assert_eq!(finished.code, Some(69), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("127.0.0.1:1"), "{}", finished.stderr);
}

fn findings(shop: &Shop<'_>, check: &str) -> Vec<Value> {
    let report = shop.run(&["check", "--json"]).json();
    let all = report["findings"].as_array().expect("findings").clone();
    all.into_iter().filter(|finding| finding["check"] == check).collect()
}
