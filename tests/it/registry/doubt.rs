//! What a registry does not have is doubted: one of its replicas may lag. Only what it has under the
//! topic's own subject counts; and what writers' compatible schemas can say that ours can't is read alike
//! by `run` and `verify`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{assigned, changed, click, consents, registered};
use crate::bad_input::{await_decided, await_decided_within};
use crate::contract::{PURPOSES, WITHIN, keys};
use crate::support::{
    Registry, Service, Shop, consent, pseudonym, schema_text, view, wait_until, with,
};

/// How long an id is asked for that the registry does not have (docs/contract/bad-input.md#schemas).
pub const PATIENCE: Duration = Duration::from_secs(30);

fn letters(shop: &Shop<'_>, registry: &Registry) -> Vec<Value> {
    let letters = shop.committed("segmentation-dead-letters");
    letters.iter().map(|letter| registry.decode(letter.value.as_ref().unwrap())).collect()
}

#[test]
fn an_id_that_comes_late_is_read_and_one_that_never_comes_is_a_dead_letter() {
    let kafka = kafka_or_skip!();
    let registry = own_registry_or_skip!();
    let shop = Shop::open_with(kafka, &registered(&registry));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let click_schema = schema_text("click_event");
    let consent_schema = schema_text("consent_record");
    let first = registry.register(&shop.topic("clickstream"), &click_schema);
    let next = first + 1; // ids are given in order
    let granted = consent("ann", 1, "GRANTED", &PURPOSES);
    let started = Instant::now();
    kafka.produce([consents(&shop, next, &consent_schema, &granted)]);
    kafka.produce([click(&shop, first, &click_schema, &view("ann"))]);
    kafka.produce((0..3).map(|at| click(&shop, 800_000 + at, &click_schema, &view("ann"))));
    std::thread::sleep(Duration::from_secs(6));
    assert!(letters(&shop, &registry).is_empty(), "one 404 is not believed");
    assert_eq!(registry.register(&shop.topic("consent-changelog"), &consent_schema), next);
    wait_until(WITHIN, "read, as soon as it is there", || assigned(&shop, "ann"));
    await_decided_within(PATIENCE + WITHIN, &shop, &service);
    let took = started.elapsed();
    assert!(took >= PATIENCE, "{took:?}");
    assert!(took < PATIENCE * 2, "{took:?}: three ids share their half minute");
    let letters = letters(&shop, &registry);
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert!(letters.iter().all(|letter| letter["reason"] == "UNKNOWN_SCHEMA"), "{letters:?}");
    service.stop();
    shop.run(&["verify"]).ok();
}

#[test]
fn an_id_of_another_subject_counts_for_nothing() {
    let kafka = kafka_or_skip!();
    let registry = registry_or_skip!();
    let shop = Shop::open_with(kafka, &registered(registry));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let strangers = |name| {
        changed(name, |fields| {
            fields.push(json!({"name": "more", "type": "string", "default": "no"}));
        })
    };
    let other = |topic: &str, schema: &str| registry.register(&shop.topic(topic), schema);
    let (click_schema, consent_schema) = (strangers("click_event"), strangers("consent_record"));
    // Of a topic that is none of ours, and of one that is ours, but not this one.
    let click_id = other("strangers", &click_schema);
    let consent_id = other("clickstream", &consent_schema);
    let more = json!({"more": "yes", "gpc": true});
    kafka.produce([shop.consent(&consent("bob", 1, "GRANTED", &PURPOSES))]);
    kafka.produce([shop.click(&view("bob"))]);
    wait_until(WITHIN, "assigned", || assigned(&shop, "bob"));
    kafka.produce([click(&shop, click_id, &click_schema, &with(view("bob"), more))]);
    let record = with(consent("bob", 2, "GRANTED", &PURPOSES), json!({"more": "yes"}));
    kafka.produce([consents(&shop, consent_id, &consent_schema, &record)]);
    await_decided_within(PATIENCE + WITHIN, &shop, &service);
    let mut said = letters(&shop, registry);
    said.retain(|letter| {
        letter["reason"] == "UNKNOWN_SCHEMA"
            && letter["detail"] == "the schema id is not registered under the subject of this topic"
    });
    assert_eq!(said.len(), 2);
    assert!(assigned(&shop, "bob").is_none(), "its consent is unreadable");
    service.stop();
    shop.run(&["verify"]).ok();
}

#[test]
fn what_a_writer_says_that_ours_can_t_is_read_alike_by_run_and_verify() {
    let kafka = kafka_or_skip!();
    let registry = registry_or_skip!();
    let shop = Shop::open_with(kafka, &registered(registry));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let kinds = |name: &str| if name == "value_cents" { "long" } else { "string" };
    let wider = changed("click_event", |fields| {
        for field in fields.iter_mut().filter(|field| field["type"][0] == "null") {
            let own = if field["name"] == "gpc" {
                "boolean"
            } else {
                kinds(field["name"].as_str().unwrap())
            };
            field["type"] = json!(["null", own, {"type": "array", "items": "int"}]);
        }
    });
    let id = registry.register(&shop.topic("clickstream"), &wider);
    let people = ["p-cat", "p-item", "p-age", "p-sum", "p-place", "p-gpc", "p-gpp"];
    let fields =
        ["category", "product_id", "product_age_range", "value_cents", "region", "gpc", "gpp"];
    kafka.produce(people.map(|who| shop.consent(&consent(who, 1, "GRANTED", &PURPOSES))));
    kafka.produce(people.iter().zip(fields).map(|(who, field)| {
        let said = with(view(who), json!({field: [1, 2]}));
        click(&shop, id, &wider, &said)
    }));
    await_decided(&shop, &service);
    let said = letters(&shop, registry);
    assert_eq!(said.len(), 5, "{said:?}");
    assert!(said.iter().all(|letter| letter["reason"] == "UNDECODABLE"), "{said:?}");
    for who in ["p-gpc", "p-gpp"] {
        assert!(assigned(&shop, who).is_some(), "{who}: not of sale or sharing");
        assert!(!keys(&shop, "partners").contains_key(&pseudonym("partners", who)), "{who}");
    }
    service.stop();
    shop.run(&["verify"]).ok();
}
