//! `assent wait-ready` and `assent run --ready-file`: what a script waits for, and what is there then.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::support::{Finished, Message, Service, Shop, Signal, consent, signal, view, wait_until};

const OFFERS: &str = "personalized-offers";

fn wait_ready(shop: &Shop<'_>, address: &str, arguments: &[&str]) -> Finished {
    let mut command = shop.command(&[&["wait-ready"], arguments].concat());
    Finished::of(command.env("ASSENT__HTTP__LISTEN", address))
}

#[test]
fn once_caught_up_what_was_in_kafka_is_in_the_segments() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let people: Vec<String> = (0..40).map(|n| format!("family-{n:06}")).collect();
    kafka.produce(people.iter().map(|id| shop.consent(&consent(id, 1, "GRANTED", &[OFFERS]))));
    kafka.produce(people.iter().flat_map(|id| vec![shop.click(&view(id)); 3]));
    let service = Service::start(&shop, "a");

    let waited = wait_ready(&shop, service.address(), &["--caught-up", "--json"]).ok().json();
    assert_eq!(waited["ready"], true);
    assert_eq!(waited["partitions"].as_array().map(Vec::len), Some(4));
    let listed = shop.run(&["segments", "list", "--json"]).ok().json_lines();
    assert_eq!(listed.len(), people.len());

    let denied = |id: &String| shop.consent(&consent(id, 2, "DENIED", &[OFFERS]));
    kafka.produce(people.iter().map(denied));
    let said = wait_ready(&shop, service.address(), &["--caught-up"]).ok().stdout;
    assert!(
        said.starts_with("ready at http://127.0.0.1:") && said.contains("4 partitions"),
        "{said}"
    );
    let listed = shop.run(&["segments", "list"]).ok();
    assert!(listed.stdout.is_empty(), "consent alone is waited for, too: {listed:?}");
    assert!(listed.stderr.contains("tombstones removed every assignment"), "{listed:?}");
    service.stop();
}

#[test]
fn offsets_that_no_record_has_are_not_waited_for() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let topic = shop.topic("clickstream");
    let producer: BaseProducer =
        kafka.client().set("transactional.id", &shop.name).create().expect("a producer");
    producer.init_transactions(Duration::from_secs(30)).expect("initialized");
    for commits in [true, false] {
        producer.begin_transaction().expect("begun");
        for _ in 0..8 {
            let Message { key, value, .. } = shop.click(&view("family-000001"));
            let (key, value) = (key.expect("a key"), value.expect("a value"));
            producer.send(BaseRecord::to(&topic).key(&key).payload(&value)).expect("taken");
        }
        producer.flush(Duration::from_secs(30)).expect("delivered");
        let ended = if commits {
            producer.commit_transaction(Duration::from_secs(30))
        } else {
            producer.abort_transaction(Duration::from_secs(30))
        };
        ended.expect("ended");
    }
    let service = Service::start(&shop, "a");
    wait_ready(&shop, service.address(), &["--caught-up", "--timeout", "40s"]).ok();
    service.stop();
}

#[test]
fn who_waits_in_vain_is_told_why() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let nobody = wait_ready(&shop, "127.0.0.1:1", &["--timeout", "1s"]);
    assert_eq!(nobody.code, Some(69), "{nobody:?}");
    assert!(
        nobody.stderr.contains("check that `assent run --config ")
            && nobody.stderr.contains("` runs on this host"),
        "{nobody:?}"
    );
    let unknown = wait_ready(&shop, "127.0.0.1:0", &[]);
    assert_eq!(unknown.code, Some(78), "{unknown:?}");
    assert!(unknown.stderr.contains("--ready-file"), "{unknown:?}");
    let wrong = wait_ready(&shop, "127.0.0.1:1", &["--timeout", "soon"]);
    assert_eq!(wrong.code, Some(64), "{wrong:?}");
}

#[test]
fn a_ready_file_is_there_while_it_is_ready_and_says_where_to_ask() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let file = shop.folder().join("ready");
    let mut command = shop.command(&["run", "--ready-file", file.to_str().expect("UTF-8")]);
    let mut child = command.stderr(Stdio::null()).spawn().expect("it starts");
    let address = wait_until(Duration::from_mins(1), "the ready-file", || {
        std::fs::read_to_string(&file).ok()
    });
    let address = address.trim().strip_prefix("http://").expect("an address");
    let ready = wait_ready(&shop, address, &["--json"]).ok().json();
    assert_eq!(ready["ready"], json!(true));
    signal(child.id(), Signal::Term);
    let ended = || child.try_wait().expect("a child");
    assert_eq!(wait_until(Duration::from_secs(15), "its end", ended).code(), Some(0));
    assert!(!file.exists());
}
