//! MirrorMaker 2, as docs/operations.md has it: `run` takes a mirrored state for what it is and does not go on with it;
//! from mirrored inputs a new group makes the same people's segments anew.

use std::path::Path;
use std::process::Command;

use super::{OFFERS, STARTED_WITHIN, WITHIN};
use crate::support::{
    Finished, Kafka, Plan, Service, Shop, Sink, TopicPlan, consent, leave_out, pseudonym, view,
    wait_until,
};

const EXAMPLE: &str = "examples/mirror/mirror.properties";
/// What a run writes, and so what a new one makes for itself.
const OUTPUTS: [(&str, &str); 5] = [
    ("SEGMENTS", "segments.{purpose}"),
    ("CONTEXTUAL", "contextual-segments"),
    ("AUDIT", "segmentation-audit"),
    ("STATE", "assent-state"),
    ("DEAD_LETTERS", "segmentation-dead-letters"),
];

/// The example, but with all topics of this shop, and its group's offsets: the worst that somebody may mirror.
fn everything(shop: &Shop<'_>, second: &Kafka) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLE);
    let mut text = std::fs::read_to_string(path).expect("an example");
    for (given, own) in [
        ("kafka.first.example:9092", shop.kafka.bootstrap().to_owned()),
        ("kafka.second.example:9092", second.bootstrap().to_owned()),
        ("consent-changelog|clickstream", format!(r"{}\..*", shop.name)),
        ("sync.group.offsets.enabled=false", "sync.group.offsets.enabled=true".to_owned()),
    ] {
        assert!(text.contains(given), "{given}");
        text = text.replace(given, &own);
    }
    let kinds = ["checkpoints.topic", "heartbeats.topic", "offset-syncs.topic"];
    let stores = ["offset.storage", "status.storage", "config.storage"];
    let factor = |topic: &&str| format!("{topic}.replication.factor=1\n");
    text.extend(kinds.iter().chain(&stores).map(factor));
    text.push_str("replication.factor=1\noffset.lag.max=0\nrefresh.topics.interval.seconds=5\n");
    text.extend([format!("first->second.groups={}\n", shop.group_id())]);
    let file = shop.folder().join("mirror.properties");
    std::fs::write(&file, text).expect("written");
    file
}

/// Kim is in a segment; Lee was, and opted out.
fn live_at_the_first(shop: &Shop<'_>) {
    let service = Service::start(shop, "a");
    service.await_ready();
    for subject in ["kim", "lee"] {
        shop.kafka.produce([shop.consent(&consent(subject, 1, "GRANTED", &[OFFERS]))]);
    }
    shop.kafka.produce([shop.click(&view("kim")), shop.click(&view("lee"))]);
    let count = |is_tombstone: bool| {
        let all = shop.committed(&format!("segments.{OFFERS}"));
        all.iter().filter(|it| it.value.is_none() == is_tombstone).count()
    };
    wait_until(WITHIN, "assignments", || (count(false) >= 2).then_some(()));
    shop.kafka.produce([shop.consent(&consent("lee", 2, "WITHDRAWN", &[OFFERS]))]);
    wait_until(WITHIN, "a tombstone", || (count(true) == 1).then_some(()));
    service.stop();
}

/// As many committed records as at the first.
fn await_mirror(shop: &Shop<'_>, second: &Kafka, mirror: &Sink) {
    let topics: Vec<String> =
        OUTPUTS.iter().map(|(_, name)| name.replace("{purpose}", OFFERS)).collect();
    let all = topics.iter().map(String::as_str).chain(["clickstream", "consent-changelog"]);
    for topic in all {
        let topic = shop.topic(topic);
        let expected = shop.kafka.read_committed(&topic).len();
        wait_until(STARTED_WITHIN, &format!("the mirror of {topic}"), || {
            let is_there = mirror.log().contains(&topic);
            (is_there && records_of(second, &topic) >= expected).then_some(())
        });
    }
}

/// 0 where there is no such topic yet.
fn records_of(kafka: &Kafka, topic: &str) -> usize {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let client: BaseConsumer = kafka.client().create().expect("a client");
    let found = client.fetch_metadata(None, WITHIN).expect("metadata");
    if found.topics().iter().any(|it| it.name() == topic) {
        kafka.read_committed(topic).len()
    } else {
        0
    }
}

fn at(shop: &Shop<'_>, environment: &[(&str, &str)], arguments: &[&str]) -> Finished {
    let mut command: Command = shop.command(arguments);
    Finished::of(command.envs(environment.iter().copied()))
}

#[test]
fn a_mirrored_state_is_no_state_and_mirrored_inputs_are_a_new_beginning() {
    let first = kafka_or_skip!();
    let second = own_kafka_or_skip!();
    let shop = Shop::open_with(first, &Plan::of_lookers("mirror-1", 1));
    live_at_the_first(&shop);
    let file = everything(&shop, &second);
    let mirror = match Sink::start("mirror", &[&file], &[]) {
        Ok(mirror) => mirror,
        Err(why) => return leave_out(&why),
    };
    await_mirror(&shop, &second, &mirror);
    drop(mirror);

    let there = [("ASSENT__KAFKA__BOOTSTRAP_SERVERS", second.bootstrap())];
    let refused = at(&shop, &there, &["run"]);
    assert_eq!(refused.code, Some(78), "{}", refused.stderr);
    assert!(refused.stderr.contains("message.timestamp.type=CreateTime"), "{}", refused.stderr);
    second.configure(&TopicPlan {
        name: shop.topic("consent-changelog"),
        partitions: shop.partitions,
        config: vec![
            ("cleanup.policy", "compact".into()),
            ("message.timestamp.type", "LogAppendTime".into()),
        ],
    });
    let stopped = at(&shop, &there, &["run"]);
    assert_eq!(stopped.code, Some(1), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("it was recreated"), "{}", stopped.stderr);
    at(&shop, &there, &["audit", "verify"]).ok();

    a_new_group_begins_anew(&shop, second.bootstrap());
}

fn a_new_group_begins_anew(shop: &Shop<'_>, bootstrap: &str) {
    let named = OUTPUTS
        .map(|(key, name)| (format!("ASSENT__TOPICS__{key}"), format!("{}-new.{name}", shop.name)));
    let group = format!("{}-new", shop.group_id());
    let own =
        [("ASSENT__KAFKA__BOOTSTRAP_SERVERS", bootstrap), ("ASSENT__KAFKA__GROUP_ID", &*group)];
    let named = named.iter().map(|(key, name)| (key.as_str(), name.as_str()));
    let environment: Vec<(&str, &str)> = own.into_iter().chain(named).collect();
    let partitions = shop.partitions.to_string();
    let create = ["topics", "create", "--replication-factor", "1", "--partitions", &partitions];
    at(shop, &environment, &create).ok();
    let service = Service::start_with(shop, "new", &environment);
    service.await_ready();
    let get = |subject: &str| {
        at(
            shop,
            &environment,
            &["segments", "get", "--json", "--subject", subject, "--purpose", OFFERS],
        )
    };
    let kim =
        wait_until(WITHIN, "the assignment", || Some(get("kim")).filter(|it| it.code == Some(0)));
    assert_eq!(kim.json()["pseudonym"], pseudonym(OFFERS, "kim"), "readers recognize their people");
    let listening = [&environment[..], &[("ASSENT__HTTP__LISTEN", service.address())]].concat();
    at(shop, &listening, &["wait-ready", "--caught-up"]).ok();
    assert_ne!(get("lee").code, Some(0), "who opted out stays out");
    service.stop();
    at(shop, &environment, &["verify"]).ok();
}
