//! Topics as somebody else might leave them: copies of a sound shop's, each with one thing wrong, and
//! `assent verify` on them. What lay in the original is verified once and found sound.

use std::process::Command;

use assent_contract::domain::audit::{AuditBatch, chain};
use assent_contract::wire::{SchemaName, frame, read_back_audit_batch};
use serde_json::{Value, json};

use super::{ADS, OFFERS, assert_sound};
use crate::bad_input;
use crate::support::{
    Finished, Kafka, Message, Plan, Record, Service, Shop, TopicPlan, consent, encode, latest,
    now_ms, pseudonym, view,
};

/// A shop that has lived and rests.
fn rested(kafka: &Kafka) -> Shop<'_> {
    let shop = Shop::open_with(kafka, &Plan { partitions: 2, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    super::lively(&shop, 0);
    kafka.produce([shop.click(&view("unknown-visitor")).value("no click")]);
    for who in ["stays", "family-leaver"] {
        kafka.produce([shop.consent(&consent(who, 1, "GRANTED", &[ADS, OFFERS]))]);
        kafka.produce((0..4).map(|_| shop.click(&view(who))));
    }
    bad_input::await_decided(&shop, &service);
    kafka.produce([shop.consent(&consent("family-leaver", 2, "DENIED", &[ADS, OFFERS]))]);
    // Batches enough in every partition: each round's guests are decided before the next come.
    for round in 0..6 {
        kafka.produce((0..12).map(|n| shop.click(&view(&format!("guest-{round}-{n}")))));
        bad_input::await_decided(&shop, &service);
    }
    service.stop();
    assert_sound(&shop);
    shop
}

/// Copies of a shop's topics under other names, and the variables that lead `verify` to them.
struct Forgery<'s, 'k> {
    shop: &'s Shop<'k>,
    name: String,
    variables: Vec<(String, String)>,
}

impl<'s, 'k> Forgery<'s, 'k> {
    fn new(shop: &'s Shop<'k>, name: &str) -> Self {
        Self { shop, name: format!("{}-{name}", shop.name), variables: Vec::new() }
    }

    /// A copy of this topic (by its default name) after `edit`; `key`: its key in the configuration.
    fn copy(mut self, key: &str, topic: &str, edit: impl FnOnce(&mut Vec<Record>)) -> Self {
        let mut records = self.shop.committed(topic);
        edit(&mut records);
        self.fill(topic, records);
        self.lead(key, topic);
        self
    }

    /// Copies of both segment topics; `edit` changes that of the offers.
    fn segments(mut self, edit: impl FnOnce(&mut Vec<Record>)) -> Self {
        let mut offers = self.shop.committed(&format!("segments.{OFFERS}"));
        edit(&mut offers);
        self.fill(&format!("segments.{OFFERS}"), offers);
        let ads = self.shop.committed(&format!("segments.{ADS}"));
        self.fill(&format!("segments.{ADS}"), ads);
        self.lead("segments", "segments.{purpose}");
        self
    }

    /// A topic without a record in place of this one.
    fn empty(self, key: &str, topic: &str) -> Self {
        self.copy(key, topic, Vec::clear)
    }

    fn fill(&self, topic: &str, records: Vec<Record>) {
        let name = format!("{}.{topic}", self.name);
        let plan = TopicPlan { name: name.clone(), partitions: 2, config: Vec::new() };
        self.shop.kafka.create_topics(std::slice::from_ref(&plan));
        self.shop.kafka.produce(records.into_iter().map(|record| message(&name, record)));
    }

    fn lead(&mut self, key: &str, topic: &str) {
        let variable = format!("ASSENT__TOPICS__{}", key.to_uppercase());
        self.variables.push((variable, format!("{}.{topic}", self.name)));
    }

    fn topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.name)
    }

    /// What is found, as `INV-n topic/partition/offset`.
    fn found(&self) -> Vec<String> {
        let mut command: Command = self.shop.command(&["verify", "--json"]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let finished = Finished::of(&mut command);
        assert!(matches!(finished.code, Some(0 | 1)), "{finished:?}");
        let result = finished.json();
        let violations = result["violations"].as_array().expect("a list").clone();
        let place = |it: &Value| {
            let [invariant, topic] =
                ["invariant", "topic"].map(|field| it[field].as_str().expect("text"));
            format!("{invariant} {topic}/{}/{}", it["partition"], it["offset"])
        };
        assert!(
            !violations.iter().any(|it| it["detail"].as_str().expect("text").contains("family-"))
        );
        violations.iter().map(place).collect()
    }

    /// All of these are found, and whatever else is found is of these invariants.
    fn expect(&self, places: &[String], besides: &[&str]) {
        let found = self.found();
        for place in places {
            assert!(found.contains(place), "{}: {place} is not in {found:#?}", self.name);
        }
        let is_expected = |it: &&String| {
            places.contains(it)
                || besides.iter().any(|invariant| it.starts_with(&format!("{invariant} ")))
        };
        assert!(found.iter().all(|it| is_expected(&it)), "{}: {found:#?}", self.name);
    }
}

fn message(topic: &str, record: Record) -> Message {
    let mut message = Message::new(topic).partition(record.partition).timestamp(record.timestamp);
    message.key = record.key;
    message.value = record.value;
    message.headers = record.headers;
    message
}

/// As `records` will lie in the copy: the offsets of each partition from 0 on, without a gap.
fn renumber(records: &mut [Record]) {
    let mut next = std::collections::BTreeMap::<i32, i64>::new();
    for record in records {
        let offset = next.entry(record.partition).or_default();
        record.offset = *offset;
        *offset += 1;
    }
}

fn assignment(key: &str, expires_at: i64) -> Vec<u8> {
    encode(
        "segment_assignment",
        &json!({
            "pseudonym": key, "purpose": OFFERS, "segments": ["preschool-explorers"], "basis": "OPT_IN",
            "decided_at": now_ms(), "expires_at": expires_at, "rulebook": "2026-11-22",
        }),
    )
}

/// The record of a foreign producer under this key, at the end of the partition where the key belongs.
fn foreign(records: &mut Vec<Record>, key: &str, value: Option<Vec<u8>>) -> (i32, i64) {
    let partition =
        assent_contract::domain::partitioner::Partitioner::Murmur2.partition(key.as_bytes(), 2);
    let offset = records.iter().filter(|it| it.partition == partition).count() as i64;
    let key = Some(key.as_bytes().to_vec());
    let timestamp = now_ms();
    records.push(Record { partition, offset, timestamp, key, value, headers: Vec::new() });
    (partition, offset)
}

fn tomorrow() -> i64 {
    now_ms() + 86_400_000
}

#[test]
fn what_somebody_else_wrote_is_found_in_the_segments() {
    let kafka = kafka_or_skip!();
    let shop = rested(kafka);
    let place = |forgery: &Forgery<'_, '_>, invariant: &str, (partition, offset): (i32, i64)| {
        format!("{invariant} {}/{partition}/{offset}", forgery.topic(&format!("segments.{OFFERS}")))
    };

    // Somebody who denied, and somebody of whom nobody ever heard.
    let (mut denied, mut orphan, mut expired) = ((0, 0), (0, 0), (0, 0));
    let stranger = pseudonym(OFFERS, "nobody-of-the-changelog");
    let forgery = Forgery::new(&shop, "foreign").segments(|records| {
        let key = pseudonym(OFFERS, "family-leaver");
        denied = foreign(records, &key, Some(assignment(&key, tomorrow())));
        orphan = foreign(records, &stranger, Some(assignment(&stranger, tomorrow())));
        let key = pseudonym(OFFERS, "stays");
        expired = foreign(records, &key, Some(assignment(&key, now_ms() - 120_000)));
    });
    forgery.expect(
        &[
            place(&forgery, "INV-4", denied),
            place(&forgery, "INV-5", denied),
            place(&forgery, "INV-1", orphan),
            place(&forgery, "INV-13", expired),
            place(&forgery, "INV-5", expired),
        ],
        &[],
    );

    // A tombstone that is gone, and one after which the assignment was written again.
    let mut live = (0, 0);
    let forgery = Forgery::new(&shop, "removed").segments(|records| {
        let key = pseudonym(OFFERS, "family-leaver").into_bytes();
        records.retain(|it| it.key.as_ref() != Some(&key) || it.value.is_some());
        renumber(records);
        live = last_of(records, &key);
    });
    forgery.expect(&[place(&forgery, "INV-4", live)], &["INV-5"]);
    let mut again = (0, 0);
    let forgery = Forgery::new(&shop, "again").segments(|records| {
        let key = pseudonym(OFFERS, "family-leaver");
        let first = records.iter().find(|it| it.key_text() == key).expect("an assignment").clone();
        renumber(records);
        again = foreign(records, &key, first.value);
    });
    forgery.expect(&[place(&forgery, "INV-4", again), place(&forgery, "INV-5", again)], &[]);
}

#[test]
fn a_raw_identifier_and_a_lost_record_are_found_in_the_segments() {
    let kafka = kafka_or_skip!();
    let shop = rested(kafka);
    let place = |forgery: &Forgery<'_, '_>, invariant: &str, (partition, offset): (i32, i64)| {
        format!("{invariant} {}/{partition}/{offset}", forgery.topic(&format!("segments.{OFFERS}")))
    };
    let stranger = pseudonym(OFFERS, "nobody-of-the-changelog");

    // Raw identifiers, as a key, in a value and in a header.
    let [mut as_key, mut in_value, mut in_header] = [(0, 0); 3];
    let forgery = Forgery::new(&shop, "raw").segments(|records| {
        renumber(records);
        as_key = foreign(records, "family-000000", Some(assignment("family-000000", tomorrow())));
        let key = pseudonym(OFFERS, "stays");
        in_value = foreign(records, &key, Some(assignment("stays", tomorrow())));
        in_header = foreign(records, &stranger, None);
        let headers = [("reason", "opted_out"), ("decided_at", "5"), ("who", "family-000000")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        records.last_mut().expect("just pushed").headers = headers.to_vec();
    });
    let raw = [as_key, in_value, in_header].map(|at| place(&forgery, "INV-6", at));
    forgery.expect(&raw, &["INV-5", "INV-7"]);

    // A record that the audit names is not there.
    let gone = pseudonym(OFFERS, "stays").into_bytes();
    let forgery = Forgery::new(&shop, "lost").segments(|records| {
        records.retain(|it| it.key.as_ref() != Some(&gone));
    });
    let found = forgery.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with(&format!("INV-5 {}/", shop.topic("segmentation-audit"))),
        "{found:?}"
    );
}

fn last_of(records: &[Record], key: &[u8]) -> (i32, i64) {
    let last = records.iter().rfind(|it| it.key.as_deref() == Some(key)).expect("a record");
    (last.partition, last.offset)
}

/// The batches of partition 0, decoded, with what is to be done to one of them; the rest as it was.
fn with_batches(records: &mut Vec<Record>, edit: impl FnOnce(&mut Vec<Record>)) {
    let (mut of_it, rest): (Vec<_>, Vec<_>) = records.drain(..).partition(|it| it.partition == 0);
    assert!(of_it.len() > 4, "too few batches to forge one");
    edit(&mut of_it);
    records.extend(of_it);
    records.extend(rest);
    renumber(records);
}

fn batch(record: &Record) -> AuditBatch {
    read_back_audit_batch(record.value.as_ref().expect("a value")).expect("a batch")
}

fn set_batch(record: &mut Record, batch: &AuditBatch) {
    let mut body = Vec::new();
    batch.encode(&mut body);
    record.value = Some(frame(SchemaName::AuditBatch, &body));
}

/// Links the batches anew, so that only what they say is wrong.
fn relink(records: &mut [Record]) {
    let mut previous = chain::GENESIS;
    for record in records {
        let linked = AuditBatch { previous, ..batch(record) };
        set_batch(record, &linked);
        let mut body = Vec::new();
        linked.encode(&mut body);
        previous = chain::body_hash(&body);
    }
}

#[test]
fn what_somebody_did_to_the_audit_is_found() {
    let kafka = kafka_or_skip!();
    let shop = rested(kafka);
    let audit = |name: &str, edit: &dyn Fn(&mut Vec<Record>)| {
        Forgery::new(&shop, name)
            .copy("audit", "segmentation-audit", |records| with_batches(records, |it| edit(it)))
    };
    let place = |forgery: &Forgery<'_, '_>, offset: usize| {
        format!("INV-9 {}/0/{offset}", forgery.topic("segmentation-audit"))
    };
    let follow = ["INV-9", "INV-8", "INV-5", "INV-4", "INV-1"];

    let altered = audit("altered", &|it| {
        let mut forged = batch(&it[2]);
        forged.decided_at.0 += 1;
        set_batch(&mut it[2], &forged);
    });
    altered.expect(&[place(&altered, 2)], &follow);
    let last = audit("altered-last", &|it| {
        let last = it.last_mut().expect("a batch");
        let mut forged = batch(last);
        forged.decided_at.0 += 1;
        set_batch(last, &forged);
    });
    let count = shop.committed("segmentation-audit").iter().filter(|it| it.partition == 0).count();
    last.expect(&[place(&last, count - 1)], &follow);
    let missing = audit("missing", &|it| {
        it.remove(2);
    });
    missing.expect(&[place(&missing, 2)], &follow);
    let cut = audit("cut", &|it| {
        it.pop();
    });
    assert!(cut.found().iter().any(|it| it.starts_with("INV-9 ")), "{:?}", cut.found());
    let doubled = audit("doubled", &|it| {
        let again = it[2].clone();
        it.insert(3, again);
    });
    doubled.expect(&[place(&doubled, 3)], &[]);
    let reordered = audit("reordered", &|it| it.swap(2, 3));
    reordered.expect(&[place(&reordered, 3)], &follow);
}

#[test]
fn an_input_without_its_outcome_and_an_outcome_without_its_input_are_found() {
    let kafka = kafka_or_skip!();
    let shop = rested(kafka);
    let clickstream = shop.topic("clickstream");

    // The entry of a click is taken out, and the chain is linked anew; no state contradicts it.
    let (mut taken, mut nobodys) = (0, 0);
    let forgery = Forgery::new(&shop, "silent")
        .copy("audit", "segmentation-audit", |records| {
            with_batches(records, |it| {
                for record in it.iter_mut().rev() {
                    let mut forged = batch(record);
                    let is_plain = |entry: &assent_contract::domain::audit::AuditEntry| {
                        entry.input.symbol() == "CLICK" && entry.effects.is_empty()
                    };
                    let Some(at) = forged.entries.iter().position(is_plain) else { continue };
                    taken = forged.entries.remove(at).offset.expect("an offset");
                    set_batch(record, &forged);
                    break;
                }
                relink(it);
            });
        })
        .empty("state", "assent-state");
    forgery.expect(&[format!("INV-8 {clickstream}/0/{taken}")], &[]);

    // An outcome of a click that nobody sent.
    let forgery = Forgery::new(&shop, "invented")
        .copy("audit", "segmentation-audit", |records| {
            with_batches(records, |it| {
                let record = it.last_mut().expect("a batch");
                let mut forged = batch(record);
                let entry = forged.entries.iter().rfind(|entry| entry.input.symbol() == "CLICK");
                let mut entry = entry.or(forged.entries.last()).expect("an entry").clone();
                entry.effects.clear();
                nobodys = forged.click_to + 5;
                (entry.input, entry.offset) =
                    (assent_contract::domain::outcome::InputKind::Click, Some(nobodys));
                forged.click_to = nobodys + 1;
                forged.entries.push(entry);
                set_batch(record, &forged);
                relink(it);
            });
        })
        .empty("state", "assent-state");
    forgery.expect(&[format!("INV-8 {clickstream}/0/{nobodys}")], &[]);
    assert!(!latest(&shop.committed(&format!("segments.{OFFERS}"))).is_empty());
}

#[test]
fn a_consent_that_was_ignored_is_found_at_the_record_and_at_the_key() {
    let kafka = kafka_or_skip!();
    let shop = rested(kafka);
    // The changelog says no where it said yes: what was decided on it is a violation from there on.
    let forgery = Forgery::new(&shop, "denied").copy("consent", "consent-changelog", |records| {
        renumber(records);
        let denied = shop.consent(&consent("stays", 1, "DENIED", &[ADS, OFFERS]));
        let record = records.iter_mut().find(|it| it.key_text() == "stays").expect("a record");
        record.value = denied.value;
    });
    let found = forgery.found();
    let live = latest(&shop.committed(&format!("segments.{OFFERS}")));
    let live = &live[pseudonym(OFFERS, "stays").as_bytes()];
    let at_the_key = format!("INV-4 {}/{}/{}", shop.segments(OFFERS), live.partition, live.offset);
    assert!(found.contains(&at_the_key), "{at_the_key}: {found:#?}");
    let clicks = format!("INV-1 {}/", shop.topic("clickstream"));
    assert_eq!(found.iter().filter(|it| it.starts_with(&clicks)).count(), 4, "{found:#?}");
}

#[test]
fn dead_letters_that_are_missing_or_nobodys_are_found() {
    let kafka = kafka_or_skip!();
    let shop = rested(kafka);
    let forgery =
        Forgery::new(&shop, "no-letters").empty("dead_letters", "segmentation-dead-letters");
    let found = forgery.found();
    let letters = shop.committed("segmentation-dead-letters").len();
    assert_eq!(found.iter().filter(|it| it.starts_with("INV-5 ")).count(), letters, "{found:#?}");
    assert!(letters > 0);

    let mut place = (0, 0);
    let forgery = Forgery::new(&shop, "letters").copy(
        "dead_letters",
        "segmentation-dead-letters",
        |records| {
            renumber(records);
            let key = format!("{}/0/0", shop.topic("clickstream"));
            let letter = json!({
                "reason": "UNDECODABLE", "topic": shop.topic("clickstream"), "partition": 0, "offset": 0,
                "payload_sha256": null, "failed_at": now_ms(), "detail": "forged",
            });
            place = foreign(records, &key, Some(encode("dead_letter", &letter)));
        },
    );
    let topic = forgery.topic("segmentation-dead-letters");
    forgery.expect(&[format!("INV-5 {topic}/{}/{}", place.0, place.1)], &[]);
}
