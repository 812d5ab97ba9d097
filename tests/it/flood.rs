//! A flood of mutated records on both topics, and records that are made to cost: none stops a
//! partition, each has its outcome, outcomes add up, and memory stays bounded (INV-8, INV-12).

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Message, Plan, Service, Shop, consent, latest, now_ms, view, wait_until, with,
};
use crate::verify::assert_sound;

/// With CI=true; a developer's run takes a part of it.
const RECORDS: usize = 120_000;
const RECORDS_AT_HOME: usize = 8_000;

const DECIDED_WITHIN: Duration = Duration::from_mins(8);
const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];

/// Besides what a service takes at rest: clicks and consent held, 64 MiB each, librdkafka's queues of two
/// consumers and what it produces, and as much again for what the allocator keeps.
const GROWN_KB_MAX: u64 = 600 * 1024;

/// splitmix64: the same flood for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll(256) as u8).collect()
    }

    /// One way or another of being wrong; one in ten stays as it is.
    fn spoil(&mut self, value: Vec<u8>) -> Option<Vec<u8>> {
        let mut value = value;
        let at = self.roll(value.len());
        match self.roll(10) {
            0 => {}
            1 | 2 => {
                for _ in 0..=self.roll(4) {
                    let at = self.roll(value.len());
                    value[at] = self.roll(256) as u8;
                }
            }
            3 => value.truncate(at),
            4 => {
                let tail = 1 + self.roll(30);
                value.extend(self.bytes(tail));
            }
            5 => {
                value.truncate(10);
                let body = self.roll(200);
                value.extend(self.bytes(body));
            }
            // A length, or a count, of 2^62 and of -2^62.
            6 => drop(value.splice(at..at, [0xfe, 255, 255, 255, 255, 255, 255, 255, 0x7f])),
            7 => drop(value.splice(at..at, [0xff, 255, 255, 255, 255, 255, 255, 255, 0x7f])),
            8 => {
                let piece = value[at..].to_vec();
                value.extend(piece);
            }
            _ => return None,
        }
        Some(value)
    }

    fn message(&mut self, shop: &Shop<'_>, good: &Message) -> Message {
        let mut message = good.clone();
        message.value = self.spoil(message.value.expect("a value"));
        match self.roll(40) {
            0 | 1 => {
                let length = 1 + self.roll(40);
                message.key = Some(self.bytes(length));
            }
            2 => message.key = Some(vec![b'x'; 513]),
            3 => message.key = Some(b"__assent_whoever".to_vec()),
            4 => message.key = Some(format!("__assent_heartbeat_{}", self.roll(9)).into_bytes()),
            5 => message.key = Some(Vec::new()),
            6 => message.key = Some("a\u{0}\u{1b}[2J\u{202e}\n".as_bytes().to_vec()),
            7 => message = message.partition(self.roll(shop.partitions as usize) as i32),
            8 => message = message.header("assent-forwarded", self.bytes(9)),
            9 => message = message.header("source", self.bytes(9)),
            _ => {}
        }
        message
    }
}

fn records() -> usize {
    if std::env::var("CI").as_deref() == Ok("true") { RECORDS } else { RECORDS_AT_HOME }
}

/// Sound inputs of some people: what the flood is made from.
fn sound(shop: &Shop<'_>) -> (Vec<Message>, Vec<Message>) {
    let names: Vec<String> = (0..50).map(|n| format!("flooded-{n:02}")).collect();
    let clicks = names.iter().map(|name| shop.click(&view(name)));
    let consents = names.iter().map(|name| {
        let guardian = json!({
            "verified_at": now_ms() - 1, "method": "card", "coppa_consent": true,
            "coppa_disclosure": true, "ccpa_authorization": true,
        });
        let record = consent(name, 1, "GRANTED", &PURPOSES);
        shop.consent(&with(record, json!({"guardian": guardian})))
    });
    (clicks.collect(), consents.collect())
}

/// Waits until as many outcomes are counted as the two inputs hold records: whatever was sent on from
/// a wrong partition is one more.
fn await_all_decided(shop: &Shop<'_>, service: &Service) {
    let held = |topic| shop.kafka.ends(&shop.topic(topic)).values().sum::<i64>() as u64;
    wait_until(DECIDED_WITHIN, "every record has its outcome", || {
        std::thread::sleep(Duration::from_millis(200));
        let metrics = service.metrics();
        let of = |name| metrics.count(name, &[]);
        let outcomes = of("assent_outcomes_total");
        assert_eq!(outcomes, of("assent_records_consumed_total"), "outcomes add up");
        (outcomes == held("clickstream") + held("consent-changelog")).then_some(())
    });
}

/// New people, in every partition, are decided as if nothing had been.
fn assert_alive(shop: &Shop<'_>) {
    let names: Vec<String> = (0..4 * shop.partitions).map(|n| format!("after-{n}")).collect();
    let granted = |name: &String| shop.consent(&consent(name, 1, "GRANTED", &PURPOSES));
    shop.kafka.produce(names.iter().map(granted));
    shop.kafka.produce(names.iter().flat_map(|name| vec![shop.click(&view(name)); 3]));
    let keys: Vec<String> =
        names.iter().map(|name| crate::support::pseudonym(PURPOSES[1], name)).collect();
    wait_until(DECIDED_WITHIN, "everybody is assigned", || {
        let live = latest(&shop.committed(&format!("segments.{}", PURPOSES[1])));
        keys.iter().all(|key| live.contains_key(key.as_bytes())).then_some(())
    });
}

#[test]
fn a_flood_of_mutated_records_stops_nothing() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan::default());
    let service = Service::start(&shop, "a");
    service.await_ready();
    let seed = 20_261_125;
    let mut dice = Dice(seed);
    let (clicks, consents) = sound(&shop);
    let mut sent = 0;
    while sent < records() {
        let batch: Vec<Message> = (0..2_000)
            .map(|_| {
                let pool = if dice.roll(3) == 0 { &consents } else { &clicks };
                let good = &pool[dice.roll(pool.len())];
                dice.message(&shop, good)
            })
            .collect();
        sent += batch.len();
        kafka.produce(batch);
    }
    await_all_decided(&shop, &service);
    let metrics = service.metrics();
    for outcome in ["decided", "dead_lettered", "unreadable", "erased", "applied", "forwarded"] {
        let count = metrics.count("assent_outcomes_total", &[("outcome", outcome)]);
        assert!(count > 0, "seed {seed}: nothing {outcome}");
    }
    assert_eq!(metrics.count("assent_invariant_violations_total", &[]), 0);
    assert_eq!(metrics.count("assent_rebalances_total", &[]), 1, "it never left");
    assert_alive(&shop);
    assert_sound(&shop);
    service.stop();
}

/// Just below the broker's 1 MiB, each as expensive as its form allows.
fn hostile(shop: &Shop<'_>) -> Vec<Message> {
    const LARGE: usize = 900_000;
    let text = "\u{1f9f8}".repeat(LARGE / 4);
    let decision =
        json!({"status": "DENIED", "since": 1, "expires_at": null, "notice_version": null});
    let bomb: serde_json::Map<String, serde_json::Value> =
        (0..40_000).map(|n| (format!("purpose-{n:06}"), decision.clone())).collect();
    let bombed = with(consent("bombed", 1, "GRANTED", &PURPOSES), json!({"decisions": bomb}));
    let long_field = |field: &str| shop.click(&with(view("heavy"), json!({field: text})));
    let header = |message: &Message| message.value.as_ref().expect("a value")[..10].to_vec();
    let click = shop.click(&view("heavy"));
    let granted = shop.consent(&consent("heavy", 1, "GRANTED", &PURPOSES));
    let body = |message: &Message, body: Vec<u8>| Message {
        value: Some([header(message), body].concat()),
        ..message.clone()
    };
    vec![
        long_field("category"),
        long_field("product_id"),
        long_field("gpp"),
        long_field("session_id"),
        shop.click(&with(view("heavy"), json!({"gpp": "DBABLA~BVQqAAAAAgA.QA~".repeat(40_000)}))),
        body(&click, vec![0x02; LARGE]),
        body(&click, vec![0xff; LARGE]),
        shop.consent(&with(granted_json(), json!({"source": text}))),
        shop.consent(&with(granted_json(), json!({"receipt_id": text}))),
        shop.consent(&bombed),
        body(&granted, vec![0x01; LARGE]),
        body(&granted, vec![0xff; LARGE]),
        Message { value: Some(text.clone().into_bytes()), ..granted.clone() },
        Message { key: Some(vec![7; 100_000]), ..granted },
    ]
}

fn granted_json() -> serde_json::Value {
    consent("heavy", 1, "GRANTED", &PURPOSES)
}

#[cfg(target_os = "linux")]
fn peak_kb(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("alive");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[cfg(target_os = "linux")]
#[test]
fn hostile_records_cost_bounded_memory() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan::default());
    let service = Service::start(&shop, "a");
    service.await_ready();
    let at_rest = peak_kb(&service);
    let hostile = hostile(&shop);
    let rounds = if records() == RECORDS { 25 } else { 6 };
    for _ in 0..rounds {
        kafka.produce(hostile.iter().cloned());
    }
    await_all_decided(&shop, &service);
    let grown = peak_kb(&service) - at_rest;
    assert!(grown < GROWN_KB_MAX, "{grown} kB more than at rest ({at_rest} kB)");
    let sent: usize = hostile.iter().map(|m| m.value.as_ref().map_or(0, Vec::len)).sum();
    eprintln!(
        "{} MB of hostile records: {} MB more than at rest",
        (rounds * sent) >> 20,
        grown >> 10
    );
    assert_eq!(service.metrics().count("assent_invariant_violations_total", &[]), 0);
    assert_alive(&shop);
    assert_sound(&shop);
    service.stop();
}
