//! A real schema registry and a real Kafka: what Assent writes is in Confluent's framing, what
//! others wrote with other schemas is read, and an id that nobody registered is a dead letter.

mod access;
mod doubt;
mod outage;

use serde_json::{Value, json};

use crate::bad_input::{await_decided, await_decided_within};
use crate::contract::{PURPOSES, WITHIN, keys, plan};
use crate::support::{
    Message, Plan, Registry, Service, Shop, confluent, consent, pseudonym, schema_text, view,
    wait_until, with,
};

/// The contract's rulebook, and this registry.
fn registered(registry: &Registry) -> Plan {
    plan(json!({"schema_registry": {"url": registry.url()}}))
}

/// A click as a producer with this schema writes it.
fn click(shop: &Shop<'_>, id: u32, schema: &str, json: &Value) -> Message {
    confluent(shop.click(&view(json["subject_id"].as_str().unwrap())), id, schema, json)
}

fn consents(shop: &Shop<'_>, id: u32, schema: &str, json: &Value) -> Message {
    confluent(shop.erasure(json["subject_id"].as_str().unwrap()), id, schema, json)
}

/// The contract's schema, changed.
fn changed(name: &str, change: impl FnOnce(&mut Vec<Value>)) -> String {
    let mut schema: Value = serde_json::from_str(&schema_text(name)).expect("JSON");
    change(schema["fields"].as_array_mut().expect("fields"));
    schema.to_string()
}

fn assigned(shop: &Shop<'_>, subject: &str) -> Option<Vec<u8>> {
    keys(shop, "offers").get(&pseudonym("offers", subject))?.last()?.value.clone()
}

#[test]
fn all_that_is_written_is_registered_framed_and_read_back() {
    let kafka = kafka_or_skip!();
    let registry = registry_or_skip!();
    let shop = Shop::open_with(kafka, &registered(registry));
    let before = shop.run(&["check"]).ok();
    assert!(before.stdout.contains("-value: not registered yet"), "{}", before.stdout);
    shop.run(&["state", "accept-loss"]).ok();
    for topic in ["segments.offers", "segmentation-audit", "segmentation-dead-letters"] {
        assert!(
            registry.versions(&shop.topic(topic)).is_empty(),
            "{topic}: a look registers nothing"
        );
    }
    let service = Service::start(&shop, "a");
    service.await_ready();

    shop.run(&["consent", "put", "ann", "--age-band", "from-18", "--purpose", "offers=granted"])
        .ok();
    let click_id = registry.register(&shop.topic("clickstream"), &schema_text("click_event"));
    let clicks = with(view("ann"), json!({"kind": "PURCHASE"}));
    kafka.produce([click(&shop, click_id, &schema_text("click_event"), &clicks)]);
    kafka.produce([shop.click(&view("ann"))]); // the other framing goes on
    wait_until(WITHIN, "an assignment", || assigned(&shop, "ann"));
    let unknown =
        confluent(shop.click(&view("ann")), 999_999, &schema_text("click_event"), &clicks);
    kafka.produce([unknown]);
    await_decided_within(doubt::PATIENCE + WITHIN, &shop, &service);

    for topic in ["segments.offers", "segmentation-audit", "segmentation-dead-letters"] {
        let records = shop.committed(topic);
        assert!(!records.is_empty(), "{topic}");
        for record in records {
            registry.decode(&record.value.expect("a value"));
        }
        assert_eq!(registry.versions(&shop.topic(topic)), [1], "{topic}");
    }
    let read = registry.decode(&assigned(&shop, "ann").unwrap());
    assert_eq!(read["segments"], json!(["at-offers"]));
    let letter =
        registry.decode(shop.committed("segmentation-dead-letters")[0].value.as_ref().unwrap());
    assert_eq!(letter["reason"], "UNKNOWN_SCHEMA");
    assert_eq!(letter["detail"], "the schema registry does not know the schema id");

    let put = shop.committed("consent-changelog").remove(0).value.unwrap();
    assert_eq!(registry.decode(&put)["subject_id"], "ann");
    let shown = shop.run(&["consent", "show", "ann", "--json"]).ok().json();
    assert_eq!(shown["decisions"]["offers"]["status"], "GRANTED");
    let listed = shop.run(&["segments", "list", "--purpose", "offers", "--json"]).ok();
    assert_eq!(listed.json_lines()[0]["pseudonym"], pseudonym("offers", "ann"));
    shop.run(&["consent", "withdraw", "ann"]).ok();
    wait_until(WITHIN, "a tombstone", || assigned(&shop, "ann").is_none().then_some(()));
    let after = shop.run(&["check"]).ok();
    assert!(
        after.stdout.contains(&format!("clickstream-value: the newest schema, id {click_id}, ")),
        "{}",
        after.stdout
    );
    service.stop();
    shop.run(&["verify"]).ok();
}

#[test]
fn older_and_newer_writers_are_read_and_what_does_not_resolve_is_said() {
    let kafka = kafka_or_skip!();
    let registry = registry_or_skip!();
    let shop = Shop::open_with(kafka, &registered(registry));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let other = |name: &str, schema: &str| registry.register(&shop.topic(name), schema);

    let older_consent = changed("consent_record", |fields| {
        fields.retain(|field| field["name"] != "receipt_id" && field["name"] != "source");
    });
    let newer_consent = changed("consent_record", |fields| {
        fields.insert(0, json!({"name": "channel", "type": "string", "default": "web"}));
        fields.push(json!({"name": "score", "type": ["null", "double"], "default": null}));
    });
    let old = with(consent("old", 1, "GRANTED", &PURPOSES), json!({}));
    let mut old = old.as_object().unwrap().clone();
    old.remove("receipt_id");
    old.remove("source");
    let new =
        with(consent("new", 1, "GRANTED", &PURPOSES), json!({"channel": "web", "score": 0.5}));
    kafka.produce([
        consents(&shop, other("consent-changelog", &older_consent), &older_consent, &old.into()),
        consents(&shop, other("consent-changelog", &newer_consent), &newer_consent, &new),
    ]);

    let older_click = changed("click_event", |fields| fields.truncate(8));
    let newer_click = changed("click_event", |fields| {
        fields.reverse();
        fields.push(json!({"name": "referrer", "type": "string", "default": "none"}));
    });
    let mut old = view("old").as_object().unwrap().clone();
    for gone in ["value_cents", "region", "gpc", "gpp"] {
        old.remove(gone);
    }
    let new = with(view("new"), json!({"referrer": "search", "gpc": true}));
    let sent = kafka.produce([
        click(&shop, other("clickstream", &older_click), &older_click, &old.into()),
        click(&shop, other("clickstream", &newer_click), &newer_click, &new),
    ]);
    wait_until(WITHIN, "the older writer's subject is assigned", || assigned(&shop, "old"));
    wait_until(WITHIN, "the newer writer's subject is assigned", || assigned(&shop, "new"));
    assert_eq!(sent.len(), 2);
    let partners = || keys(&shop, "partners");
    assert!(partners().contains_key(&pseudonym("partners", "old")));
    assert!(!partners().contains_key(&pseudonym("partners", "new")), "its GPC was read");

    refuse_what_does_not_resolve(&shop, registry, &service);
    service.stop();
    shop.run(&["verify"]).ok();
}

/// A click without a session, and consent of `old` in microseconds.
fn refuse_what_does_not_resolve(shop: &Shop<'_>, registry: &Registry, service: &Service) {
    let other = |name: &str, schema: &str| registry.register(&shop.topic(name), schema);
    let lacking = changed("click_event", |fields| fields.retain(|f| f["name"] != "session_id"));
    let lacking_id = other("clickstream", &lacking);
    let micros = changed("consent_record", |fields| {
        let time = fields.iter_mut().find(|field| field["name"] == "recorded_at").unwrap();
        time["type"] = json!({"type": "long", "logicalType": "timestamp-micros"});
    });
    let in_micros = consent("old", 2, "GRANTED", &PURPOSES);
    shop.kafka.produce([
        click(shop, lacking_id, &lacking, &view("old")),
        consents(shop, other("consent-changelog", &micros), &micros, &in_micros),
    ]);
    await_decided(shop, service);
    let letters = shop.committed("segmentation-dead-letters");
    let mut said: Vec<String> = letters
        .iter()
        .map(|letter| registry.decode(letter.value.as_ref().unwrap()))
        .map(|letter| format!("{} {}", letter["reason"], letter["detail"].as_str().unwrap()))
        .collect();
    said.sort();
    let wanted = ["session_id is missing", "timestamp-micros, and must be in timestamp-millis"];
    assert!(said.iter().all(|one| one.starts_with("\"UNDECODABLE\"")), "{said:?}");
    assert!(wanted.iter().all(|want| said.iter().any(|one| one.contains(want))), "{said:?}");
    assert!(assigned(shop, "old").is_none(), "unreadable consent withholds");
}

#[test]
fn who_writes_random_ids_holds_nothing_up_for_long() {
    const IDS: u32 = 3_000;
    let kafka = kafka_or_skip!();
    let registry = registry_or_skip!();
    let shop = Shop::open_with(kafka, &registered(registry));
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([shop.consent(&consent("eve", 1, "GRANTED", &PURPOSES))]);
    let schema = schema_text("click_event");
    let first = 700_000_000;
    let hostile = (first..first + IDS).map(|id| click(&shop, id, &schema, &view("eve")));
    kafka.produce(hostile);
    kafka.produce([shop.click(&view("eve"))]);
    wait_until(WITHIN * 10, "the click behind them", || assigned(&shop, "eve"));
    await_decided(&shop, &service);
    let metrics = service.metrics();
    let letters = [("reason", "unknown_schema")];
    assert_eq!(metrics.count("assent_dead_letters_total", &letters), u64::from(IDS));
    let log = registry.log();
    let asked =
        (first..first + IDS).filter(|id| log.contains(&format!("/schemas/ids/{id}/"))).count();
    assert!((150..1_000).contains(&asked), "{asked} look-ups");
    service.stop();
    shop.run(&["verify"]).ok();
}
