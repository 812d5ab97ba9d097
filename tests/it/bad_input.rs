//! The tables of docs/contract/bad-input.md on a real Kafka: each bad input ends as its row says, has
//! its dead letter, and holds up nothing that comes after it (INV-8, INV-12).
//!
//! `privacy.rs` sends the same inputs, and looks for what they hold.

use std::collections::BTreeMap;
use std::time::Duration;

use assent_contract::domain::partitioner::Partitioner;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::audit::{self, bytes};
use crate::contract::{WITHIN, keys};
use crate::support::{
    self, Message, Plan, Record, Service, Shop, consent, encode, now_ms, pseudonym, view,
    wait_until, with,
};

pub const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];
const OFFERS: &str = PURPOSES[1];
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// One bad input.
pub struct Case {
    name: &'static str,
    pub message: Message,
    /// `None`: it is counted, not audited.
    outcome: Option<&'static str>,
    /// Of its dead letter; `None`: it has none.
    reason: Option<&'static str>,
}

#[test]
fn each_bad_input_ends_as_its_row_says_and_the_pipeline_goes_on() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { settings: sources(), ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    let victims = ["undecodable", "unknown-schema", "wrong-key", "trailing"];
    let subject = |name: &str| format!("victim-{name}");
    let good = |name: &str| shop.consent(&consent(&subject(name), 1, "GRANTED", &PURPOSES));
    kafka.produce(victims.map(good));
    kafka.produce(victims.iter().flat_map(|it| vec![shop.click(&view(&subject(it))); 3]));
    let live = || support::latest(&shop.committed("segments.personalized-offers")).len();
    wait_until(WITHIN, "everybody assigned", || (live() == victims.len()).then_some(()));

    let cases = cases(&shop, "victim");
    let sent = kafka.produce(cases.iter().map(|case| case.message.clone()));
    await_decided(&shop, &service);
    let later = ["later", "victim-ahead"];
    kafka.produce(later.map(|it| shop.consent(&consent(it, 1, "GRANTED", &PURPOSES))));
    let later = ["later", "victim-ahead", "victim-misrouted"];
    let later = later.map(|it| kafka.produce(vec![shop.click(&view(it)); 3])[2]);
    await_decided(&shop, &service);

    let letters = dead_letters(&shop);
    let audit = audit::read(&shop);
    for (case, place) in cases.iter().zip(&sent) {
        let clicks = case.message.topic == shop.topic("clickstream");
        let entries = if clicks { &audit.clicks } else { &audit.consents };
        let outcome = entries.get(place).map(|entry| entry.outcome.as_str());
        assert_eq!(outcome, case.outcome, "{}", case.name);
        case.assert_letter(place, letters.get(&case.key(place)));
    }
    let expected = cases.iter().filter(|case| case.reason.is_some()).count();
    assert_eq!(letters.len(), expected, "dead letters");
    assert_eq!(service.metrics().count("assent_dead_letters_total", &[]), expected as u64);

    let offers = keys(&shop, OFFERS);
    for name in victims {
        let last = offers[&pseudonym(OFFERS, &subject(name))].last().expect("a record");
        assert_eq!(last.header("reason"), Some("consent_unreadable"), "{name}");
    }
    let verdicts = later.map(|it| PURPOSES.map(|of| audit.clicks[&it].verdicts[of].as_str()));
    let signal = ["OPT_OUT_SIGNAL", "OPT_IN"]; // also that of a click that was a dead letter
    assert_eq!(verdicts, [["OPT_IN"; 2], signal, ["OPT_IN"; 2]]);
    assert!(offers[&pseudonym(OFFERS, "later")].last().expect("a record").value.is_some());
    assert_forwarded(&shop, "victim-misrouted");
    audit.assert_effects(&shop, &PURPOSES);
    service.stop();
}

impl Case {
    /// Of its dead letter.
    fn key(&self, (partition, offset): &(i32, i64)) -> String {
        format!("{}/{partition}/{offset}", self.message.topic)
    }

    fn assert_letter(&self, (partition, offset): &(i32, i64), letter: Option<&Record>) {
        assert_eq!(letter.is_some(), self.reason.is_some(), "{}: a dead letter", self.name);
        let (Some(letter), Some(reason)) = (letter, self.reason) else { return };
        let letter = support::decode("dead_letter", letter.value.as_deref().expect("a value"));
        assert_eq!(letter["reason"], reason, "{}: {letter}", self.name);
        assert_eq!(letter["topic"], self.message.topic, "{}", self.name);
        let place = (i64::from(*partition), *offset);
        let named = (letter["partition"].as_i64().unwrap(), letter["offset"].as_i64().unwrap());
        assert_eq!(named, place, "{}", self.name);
        let hash = |value: &Vec<u8>| Sha256::digest(value).to_vec();
        let said = (!letter["payload_sha256"].is_null()).then(|| bytes(&letter["payload_sha256"]));
        assert_eq!(said, self.message.value.as_ref().map(hash), "{}", self.name);
        assert!(letter["detail"].as_str().unwrap().len() > 10, "{}: {letter}", self.name);
        assert!((now_ms() - letter["failed_at"].as_i64().unwrap()).abs() < 10 * MINUTE_MS);
    }
}

/// Its record came to the right partition, and says where it was.
fn assert_forwarded(shop: &Shop<'_>, subject: &str) {
    let records = shop.committed("consent-changelog");
    let of = |it: &&Record| it.key.as_deref() == Some(subject.as_bytes());
    let (right, lost): (Vec<_>, Vec<_>) =
        records.iter().filter(of).partition(|it| it.header("assent-forwarded").is_some());
    let topic = shop.topic("consent-changelog");
    let from = format!("{topic}/{}/{}", lost[0].partition, lost[0].offset);
    assert_eq!(right[0].header("assent-forwarded"), Some(from.as_str()));
    let place = Partitioner::Murmur2.partition(subject.as_bytes(), shop.partitions);
    assert_eq!((right[0].partition, &right[0].value), (place, &lost[0].value));
}

/// Waits until what the inputs hold by now has its outcome.
pub fn await_decided(shop: &Shop<'_>, service: &Service) {
    await_decided_within(WITHIN, shop, service);
}

pub fn await_decided_within(within: Duration, shop: &Shop<'_>, service: &Service) {
    let inputs = |topic| shop.committed(topic).len() as u64;
    wait_until(within, "every input decided", || {
        let decided = service.metrics().count("assent_outcomes_total", &[]);
        (decided == inputs("clickstream") + inputs("consent-changelog")).then_some(())
    });
}

/// By key.
fn dead_letters(shop: &Shop<'_>) -> BTreeMap<String, Record> {
    let letters = shop.committed("segmentation-dead-letters");
    letters.into_iter().map(|letter| (letter.key_text().to_owned(), letter)).collect()
}

/// A source of consent that is known by its id.
pub fn sources() -> Value {
    json!({"consent": {"sources": {"known-cmp": {"max_silence": "1h", "on_silence": "alert"}}}})
}

/// All rows, but consent without a key: Kafka itself refuses that on a compacted topic. Every identifier in them, valid or not, begins with `who`; the subjects `{who}-…` of the
/// unreadable consent are undecodable, unknown-schema, wrong-key and trailing.
pub fn cases(shop: &Shop<'_>, who: &str) -> Vec<Case> {
    let mut cases = clicks(shop, who);
    cases.extend(consents(shop, who));
    cases
}

#[rustfmt::skip] // a table
fn clicks(shop: &Shop<'_>, who: &str) -> Vec<Case> {
    let dead = |name, reason, message| Case { name, message, outcome: Some("DEAD_LETTERED"), reason: Some(reason) };
    let id = |name: &str| format!("{who}-{name}");
    let event = |subject: &str| with(view(subject), json!({"session_id": format!("{who}-session")}));
    let good = |name: &str| shop.click(&event(&id(name)));
    let of = |fields: Value| shop.click(&with(event(&id("field")), fields));
    let at = |ms: i64| of(json!({"occurred_at": now_ms() + ms}));
    let long = id(&"x".repeat(513));
    let ahead = json!({"occurred_at": now_ms() + 6 * MINUTE_MS, "gpc": true});
    let ahead = shop.click(&with(event(&id("ahead")), ahead));
    vec![
        dead("a null value", "NULL_VALUE", Message { value: None, ..good("null") }),
        dead("a null value elsewhere", "NULL_VALUE", elsewhere(shop, Message { value: None, ..good("null") })),
        dead("text", "UNDECODABLE", good("text").value(id("not Avro"))),
        dead("a cut value", "UNDECODABLE", cut(good("cut"))),
        dead("bytes after the datum", "UNDECODABLE", trailing(good("trailing-click"))),
        dead("a subject that is not UTF-8", "UNDECODABLE", not_utf8(good("mangled"), who)),
        dead("an unknown fingerprint", "UNKNOWN_SCHEMA", unknown(good("fingerprint"))),
        dead("an id without a registry", "UNKNOWN_SCHEMA", registry(good("registry"))),
        dead("an empty subject", "INVALID_FIELD", of(json!({"subject_id": ""}))),
        dead("a long subject", "INVALID_FIELD", of(json!({"subject_id": long}))),
        dead("a reserved subject", "INVALID_FIELD", of(json!({"subject_id": format!("__assent_{who}")}))),
        dead("an empty session", "INVALID_FIELD", of(json!({"session_id": ""}))),
        dead("a long session", "INVALID_FIELD", of(json!({"session_id": long}))),
        dead("a reserved session", "INVALID_FIELD", of(json!({"session_id": format!("__assent_{who}")}))),
        dead("another's key", "WRONG_KEY", good("one").key(id("other"))),
        dead("a key that is not UTF-8", "WRONG_KEY", good("one").key(mangled(who))),
        dead("no key", "WRONG_KEY", Message { key: None, ..good("keyless") }.partition(0)),
        dead("the session's key", "WRONG_KEY", good("one").key(id("session"))),
        dead("a wrong partition", "WRONG_PARTITION", elsewhere(shop, good("lost"))),
        dead("from the future", "EVENT_TIME_AHEAD", ahead),
        dead("from the future, another's key", "WRONG_KEY", at(6 * MINUTE_MS).key(id("other"))),
        Case { name: "too late", message: at(-91 * DAY_MS), outcome: Some("TOO_LATE"), reason: None },
        Case { name: "a little ahead", message: at(MINUTE_MS), outcome: Some("DECIDED"), reason: None },
    ]
}

#[rustfmt::skip] // a table
fn consents(shop: &Shop<'_>, who: &str) -> Vec<Case> {
    let id = |name: &str| format!("{who}-{name}");
    let record = |name: &str| with(consent(&id(name), 2, "GRANTED", &PURPOSES),
        json!({"source": id("source"), "receipt_id": id("receipt")}));
    let good = |name: &str| shop.consent(&record(name));
    let nobody = || Message::new(shop.topic("consent-changelog"));
    let unreadable = |name, reason, message| Case { name, message, outcome: Some("UNREADABLE"), reason: Some(reason) };
    let dead = |name, reason, message| Case { name, message, outcome: Some("DEAD_LETTERED"), reason: Some(reason) };
    let ends = |name, outcome, message| Case { name, message, outcome, reason: None };
    let beat = |partition: i32| nobody().key(format!("__assent_heartbeat_{partition}"));
    let other = encode("consent_record", &record("other"));
    vec![
        unreadable("undecodable consent", "UNDECODABLE", cut(good("undecodable"))),
        unreadable("bytes after consent", "UNDECODABLE", trailing(good("trailing"))),
        unreadable("consent of an unknown schema", "UNKNOWN_SCHEMA", unknown(good("unknown-schema"))),
        unreadable("another's consent", "WRONG_KEY", good("wrong-key").value(other)),
        unreadable("consent under a key that is not UTF-8", "WRONG_KEY", good("mangled").key(mangled(who))),
        dead("erasure of a key that is not UTF-8", "INVALID_FIELD", nobody().key(mangled(who))),
        dead("consent under an empty key", "INVALID_FIELD", good("empty").key("").partition(0)),
        dead("consent under a long key", "INVALID_FIELD", good("long").key(id(&"x".repeat(513)))),
        dead("a reserved key", "WRONG_KEY", nobody().key(format!("__assent_{who}"))),
        dead("a heartbeat with a value", "WRONG_KEY", beat(0).partition(0).value(id("beat"))),
        dead("a heartbeat elsewhere", "WRONG_KEY", beat(0).partition(1)),
        ends("a heartbeat", None, beat(1).partition(1).header("source", "known-cmp")),
        ends("a heartbeat of nobody known", None, beat(1).partition(1).header("source", id("beating"))),
        ends("misrouted consent", Some("FORWARDED"), elsewhere(shop, good("misrouted"))),
        ends("a misrouted erasure", Some("FORWARDED"), elsewhere(shop, shop.erasure(&id("erased")))),
        dead("consent forwarded in vain", "WRONG_PARTITION",
            elsewhere(shop, good("in-vain")).header("assent-forwarded", "consent-changelog/0/0")),
    ]
}

/// On another partition than its key's.
fn elsewhere(shop: &Shop<'_>, message: Message) -> Message {
    let key = message.key.as_deref().expect("a key");
    let right = Partitioner::Murmur2.partition(key, shop.partitions);
    message.partition((right + 1) % shop.partitions)
}

fn changed(mut message: Message, change: impl FnOnce(&mut Vec<u8>)) -> Message {
    change(message.value.as_mut().expect("a value"));
    message
}

fn cut(message: Message) -> Message {
    changed(message, |value| value.truncate(value.len() / 2))
}

fn trailing(message: Message) -> Message {
    changed(message, |value| value.push(0))
}

/// Another fingerprint.
fn unknown(message: Message) -> Message {
    changed(message, |value| value[2] ^= 0xff)
}

/// Confluent framing.
fn registry(message: Message) -> Message {
    changed(message, |value| drop(value.splice(..10, [0, 0, 0, 0, 7])))
}

/// The first byte of the subject, where the value has it.
fn not_utf8(message: Message, who: &str) -> Message {
    changed(message, |value| {
        let at = value.windows(who.len()).position(|it| it == who.as_bytes());
        value[at.expect("the subject")] = 0xff;
    })
}

/// An id with a byte in it that no UTF-8 has.
fn mangled(who: &str) -> Vec<u8> {
    [who.as_bytes(), b"-\xff-key"].concat()
}
