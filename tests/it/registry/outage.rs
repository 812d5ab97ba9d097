//! The registry stops while clicks flow: what is known goes on, what is not waits, and all goes on by
//! itself when it is back (docs/contract/bad-input.md#schemas, INV-12).

use std::time::{Duration, Instant};

use assent_contract::domain::partitioner::Partitioner;
use serde_json::{Value, json};

use super::{assigned, changed, click, consents, registered};
use crate::bad_input::await_decided;
use crate::contract::{PURPOSES, WITHIN, keys};
use crate::support::{
    Message, Registry, Service, Shop, consent, pseudonym, schema_text, view, wait_until, with,
};

/// Consent waits no longer than this for the registry (docs/contract/bad-input.md#schemas).
const SILENCE: Duration = Duration::from_secs(30);

/// A shop whose producers write with the contract's schemas, which are known before the outage, and
/// with newer ones, which are registered and not known yet.
struct Producers<'s, 'k> {
    shop: &'s Shop<'k>,
    known: [(u32, String); 2],
    newer: [(u32, String); 2],
}

impl<'s, 'k> Producers<'s, 'k> {
    fn register(shop: &'s Shop<'k>, registry: &Registry) -> Self {
        let more = |name| {
            let more = json!({"name": "more", "type": "string", "default": "no"});
            changed(name, |fields| fields.push(more))
        };
        let id =
            |topic: &str, schema: String| (registry.register(&shop.topic(topic), &schema), schema);
        Self {
            shop,
            known: [
                id("clickstream", schema_text("click_event")),
                id("consent-changelog", schema_text("consent_record")),
            ],
            newer: [
                id("clickstream", more("click_event")),
                id("consent-changelog", more("consent_record")),
            ],
        }
    }

    fn click(&self, subject: &str, fields: Value) -> Message {
        let (id, schema) = &self.known[0];
        click(self.shop, *id, schema, &with(view(subject), fields))
    }

    fn consent(&self, subject: &str, version: i64, status: &str) -> Message {
        let (id, schema) = &self.known[1];
        consents(self.shop, *id, schema, &consent(subject, version, status, &PURPOSES))
    }

    fn newer_click(&self, subject: &str) -> Message {
        let (id, schema) = &self.newer[0];
        click(self.shop, *id, schema, &with(view(subject), json!({"more": "yes"})))
    }

    fn newer_consent(&self, subject: &str, version: i64) -> Message {
        let (id, schema) = &self.newer[1];
        let record = consent(subject, version, "GRANTED", &PURPOSES);
        consents(self.shop, *id, schema, &with(record, json!({"more": "yes"})))
    }
}

/// Who is on which partition: `waits` clicks with a new schema and `behind` after it; `leaves` opts
/// out; `hidden` speaks in a new schema, and `late` does so after the half minute.
struct People {
    waits: String,
    behind: String,
    leaves: String,
    far: String,
    hidden: String,
    late: String,
}

impl People {
    fn of(shop: &Shop<'_>) -> Self {
        let at = |partition, name: &str| {
            let place =
                |name: &str| Partitioner::Murmur2.partition(name.as_bytes(), shop.partitions);
            let mut names = (0..).map(|number| format!("{name}-{number}"));
            names.find(|name| place(name) == partition).expect("a name")
        };
        Self {
            waits: at(0, "waits"),
            behind: at(0, "behind"),
            leaves: at(0, "leaves"),
            far: at(1, "far"),
            hidden: at(2, "hidden"),
            late: at(2, "late"),
        }
    }

    fn all(&self) -> [&str; 6] {
        [&self.waits, &self.behind, &self.leaves, &self.far, &self.hidden, &self.late]
    }
}

#[test]
fn known_ids_go_on_unknown_ones_wait_and_all_goes_on_when_it_is_back() {
    let kafka = kafka_or_skip!();
    let registry = own_registry_or_skip!();
    let shop = Shop::open_with(kafka, &registered(&registry));
    let (producers, people) = (Producers::register(&shop, &registry), People::of(&shop));
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce(people.all().map(|subject| producers.consent(subject, 1, "GRANTED")));
    let before = [&people.leaves, &people.hidden, &people.late];
    kafka.produce(before.map(|subject| producers.click(subject, json!({}))));
    for subject in before {
        wait_until(WITHIN, "assigned before the outage", || assigned(&shop, subject));
    }

    registry.stop();
    known_goes_on_and_consent_waits_for_half_a_minute(&producers, &people);
    others_go_on_while_a_partition_is_full(&producers, &people, &service);
    for subject in [&people.waits, &people.behind] {
        assert!(assigned(&shop, subject).is_none(), "{subject} waits, or waits behind one");
    }

    registry.restart();
    for subject in [&people.waits, &people.behind] {
        wait_until(WITHIN, "what waited is decided", || assigned(&shop, subject));
    }
    kafka.produce([producers.newer_consent(&people.hidden, 3)]);
    wait_until(WITHIN, "its next record is read", || {
        let unreadable = [("consent", "unreadable")];
        (service.metrics().sum("assent_subjects", &unreadable) == Some(1.0)).then_some(())
    });
    kafka.produce([producers.click(&people.hidden, json!({}))]);
    wait_until(WITHIN, "assigned again", || assigned(&shop, &people.hidden));
    await_decided(&shop, &service);
    let letters = service.metrics().count("assent_dead_letters_total", &[]);
    assert_eq!(letters, 2, "the two unreadable ones");
    service.stop();
    shop.run(&["verify"]).ok();
}

fn known_goes_on_and_consent_waits_for_half_a_minute(
    producers: &Producers<'_, '_>,
    people: &People,
) {
    let (shop, kafka) = (producers.shop, producers.shop.kafka);
    let stopped = Instant::now();
    let gone = |subject: &str| assigned(shop, subject).is_none().then_some(());
    kafka.produce([producers.newer_click(&people.waits)]);
    kafka.produce([&people.behind, &people.far].map(|it| producers.click(it, json!({}))));
    kafka.produce([producers.consent(&people.leaves, 2, "WITHDRAWN")]);
    kafka.produce([producers.newer_consent(&people.hidden, 2)]);
    wait_until(WITHIN, "the opt-out leaves", || gone(&people.leaves));
    wait_until(WITHIN, "a known click of another partition", || assigned(shop, &people.far));
    if stopped.elapsed() < SILENCE {
        assert!(assigned(shop, &people.hidden).is_some(), "consent waits for its schema");
    }
    wait_until(SILENCE + WITHIN, "unreadable", || gone(&people.hidden));
    assert!(stopped.elapsed() >= SILENCE, "after {:?}", stopped.elapsed());
    let last = keys(shop, "offers")[&pseudonym("offers", &people.hidden)].last().unwrap().clone();
    assert_eq!(last.header("reason"), Some("consent_unreadable"));
    let spoke = Instant::now();
    kafka.produce([producers.newer_consent(&people.late, 2)]);
    wait_until(SILENCE * 9 / 10, "unreadable at once", || gone(&people.late));
    assert!(spoke.elapsed() < SILENCE, "half a minute in all, not for each");
}

/// More than a worker's memory behind the click that waits: the others go on at full speed.
fn others_go_on_while_a_partition_is_full(
    producers: &Producers<'_, '_>,
    people: &People,
    service: &Service,
) {
    const CLICKS: u64 = 2_000;
    let (shop, kafka) = (producers.shop, producers.shop.kafka);
    let large = json!({"category": "x".repeat(500_000)});
    kafka.produce((0..160).map(|_| producers.click(&people.behind, large.clone())));
    let decided = || {
        let labels = [("topic", &*shop.topic("clickstream")), ("outcome", "decided")];
        service.metrics().count("assent_outcomes_total", &labels)
    };
    let before = decided();
    kafka.produce((0..CLICKS).map(|_| producers.click(&people.far, json!({}))));
    wait_until(WITHIN * 3, "clicks of another partition", || {
        (decided() >= before + CLICKS).then_some(())
    });
}
