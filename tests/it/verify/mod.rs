//! `assent verify` on a real Kafka: nothing is found in what Assent wrote, whatever happened to it, and
//! every kind of violation is found where it lies.

mod forged;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bad_input;
use crate::support::{Finished, Plan, Service, Shop, consent, now_ms, view, wait_until, with};

const WITHIN: Duration = Duration::from_mins(1);

const OFFERS: &str = "personalized-offers";
const ADS: &str = "partner-advertising";

/// The command's result; panics where it has none.
pub fn verify(shop: &Shop<'_>, arguments: &[&str]) -> (Finished, Value) {
    let finished = shop.run(&[&["verify", "--json"], arguments].concat());
    assert!(matches!(finished.code, Some(0 | 1)), "{finished:?}");
    let found = finished.json();
    assert_eq!(found["ok"] == true, finished.code == Some(0), "{finished:?}");
    (finished, found)
}

/// Nothing is found.
pub fn assert_nothing(shop: &Shop<'_>) -> Value {
    let (_, found) = verify(shop, &[]);
    assert_eq!(found["violations"], json!([]), "{found:#}");
    found
}

/// Nothing is found, and something was read.
pub fn assert_sound(shop: &Shop<'_>) -> Value {
    let found = assert_nothing(shop);
    assert!(found["checked"][shop.topic("segmentation-audit")].as_u64() > Some(0), "{found:#}");
    found
}

/// People who come, say yes, say no, come back, are erased, and send signals.
fn lively(shop: &Shop<'_>, from: usize) {
    let both = [ADS, OFFERS];
    for n in from..from + 12 {
        let id = format!("family-{n:06}");
        let granted = consent(&id, 1, "GRANTED", &both);
        shop.kafka.produce([shop.consent(&granted)]);
        shop.kafka.produce((0..4).map(|_| shop.click(&view(&id))));
        shop.kafka.produce((0..2).map(|at| {
            let basket =
                json!({"kind": "PURCHASE", "category": format!("c-{at}"), "value_cents": 9000});
            shop.click(&with(view(&id), basket))
        }));
        let later = match n % 6 {
            0 => shop.consent(&consent(&id, 2, "DENIED", &both)),
            1 => shop.erasure(&id),
            2 => shop.click(&with(view(&id), json!({"gpc": true}))),
            3 => shop.consent(&consent(&id, 1, "DENIED", &both)),
            4 => shop.consent(&consent(&id, 2, "GRANTED", &[OFFERS])),
            _ => shop
                .click(&with(view(&id), json!({"gpc": true, "occurred_at": now_ms() + 400_000}))),
        };
        shop.kafka.produce([later]);
        shop.kafka.produce((0..2).map(|_| shop.click(&view(&id))));
    }
}

#[test]
fn nothing_is_found_in_a_sound_shop() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { settings: bad_input::sources(), ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    lively(&shop, 0);
    let bad = bad_input::cases(&shop, "somebody-unusable");
    kafka.produce(bad.into_iter().map(|case| case.message));
    lively(&shop, 100);
    bad_input::await_decided(&shop, &service);
    let found = assert_sound(&shop);
    let topics = ["clickstream", "consent-changelog", "assent-state", "segmentation-dead-letters"];
    for topic in topics {
        assert!(found["checked"][shop.topic(topic)].as_u64() > Some(0), "{topic}: {found:#}");
    }
    service.kill();
    assert_sound(&shop);
}

/// The shop's rulebook, changed: a segment and a purpose are stricter, and it has a version of its own.
fn change_rulebook(shop: &Shop<'_>) {
    let path = shop.folder().join("rulebook.yaml");
    let old = std::fs::read_to_string(&path).expect("readable");
    let new = old
        .replace("rulebook: \"2026-11-22\"", "rulebook: next")
        .replace("suspended: false", "suspended: true")
        .replace("within: 7d, at_least: 3", "within: 7d, at_least: 2");
    assert!(new.contains("suspended: true") && new.contains("at_least: 2") && new.contains("next"));
    std::fs::write(path, new).expect("written");
}

fn await_key_version(service: &Service, version: f64) {
    wait_until(WITHIN, "the active key", || {
        (service.metrics().sum("assent_key_version", &[]) == Some(version)).then_some(())
    });
}

/// Nothing is live under this version any more.
fn await_swept(service: &Service, version: &str) {
    wait_until(WITHIN, "no live key under the old version", || {
        let live = service.metrics().sum("assent_live_keys", &[("key_version", version)]);
        (live.unwrap_or(0.0) == 0.0).then_some(())
    });
}

#[test]
fn nothing_is_found_after_rotations_and_a_new_rulebook() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    lively(&shop, 0);
    bad_input::await_decided(&shop, &service);
    shop.run(&["keys", "rotate"]).ok();
    await_key_version(&service, 2.0);
    assert_sound(&shop);
    lively(&shop, 100);
    bad_input::await_decided(&shop, &service);
    service.stop();

    change_rulebook(&shop);
    let service = Service::start(&shop, "a");
    service.await_ready();
    lively(&shop, 200);
    assert_sound(&shop);
    await_swept(&service, "1");
    shop.run(&["keys", "retire", "1"]).ok();
    shop.run(&["keys", "rotate"]).ok();
    await_key_version(&service, 3.0);
    await_swept(&service, "2");
    shop.run(&["keys", "retire", "2"]).ok();
    lively(&shop, 300);
    assert_sound(&shop);
    let since = now_ms().to_string();
    lively(&shop, 400);
    service.kill();
    let found = assert_sound(&shop);
    let emptied = |note: &Value| note.as_str().expect("text").contains("secret was removed");
    assert!(found["notes"].as_array().expect("a list").iter().any(emptied), "{found:#}");

    let (_, part) = verify(&shop, &["--since", &since, "--partitions", "1,2"]);
    assert_eq!(part["violations"], json!([]), "{part:#}");
    let audit = shop.topic("segmentation-audit");
    assert!(part["checked"][&audit].as_u64() < found["checked"][&audit].as_u64(), "{part:#}");
}

#[test]
fn nothing_is_found_while_it_runs_under_load_and_is_killed() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let both = [ADS, OFFERS];
    let halted = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let producer = kafka.producer();
            for round in 0.. {
                if halted.load(Ordering::Relaxed) {
                    break;
                }
                let id = |n: usize| format!("crowd-{}", (round * 7 + n) % 500);
                let status = if round % 3 == 2 { "DENIED" } else { "GRANTED" };
                let version = 1 + round as i64;
                producer
                    .send((0..20).map(|n| shop.consent(&consent(&id(n), version, status, &both))));
                producer.send((0..100).map(|n| shop.click(&view(&id(n % 25)))));
                if round % 5 == 4 {
                    producer.send([shop.erasure(&id(3))]);
                }
            }
        });
        let halt = Halt(&halted);
        for round in 0..3 {
            let service = Service::start(&shop, "a");
            service.await_ready();
            assert_nothing(&shop);
            assert_nothing(&shop);
            service.kill();
            if round == 1 {
                assert_nothing(&shop);
            }
        }
        drop(halt);
    });
    assert_sound(&shop);
}

/// Ends the load also where an assertion fails.
struct Halt<'a>(&'a AtomicBool);

impl Drop for Halt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_a_person_got_wrong_is_said_once() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    lively(&shop, 0);
    bad_input::await_decided(&shop, &service);
    service.stop();
    let refused = |arguments: &[&str], variables: &[(&str, &str)], code: i32, words: &str| {
        let mut command = shop.command(&[&["verify"], arguments].concat());
        let finished = Finished::of(command.envs(variables.iter().copied()));
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
        assert!(finished.stderr.contains(words), "{finished:?}");
    };
    refused(&["--since", "yesterday"], &[], 64, "--since");
    refused(&["--partitions", "4"], &[], 64, "--partitions");
    refused(&["--scratch", "/nowhere"], &[], 1, "--scratch");
    refused(&[], &[("ASSENT__TOPICS__AUDIT", "no-such-topic")], 78, "no-such-topic");
    refused(&[], &[("ASSENT__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")], 69, "127.0.0.1:1");
    let other = shop.folder().join("other.json");
    shop.run(&["keys", "new", "--out", other.to_str().expect("UTF-8")]).ok();
    refused(&[], &[("ASSENT__KEYSET", other.to_str().expect("UTF-8"))], 78, "different secret");
}
