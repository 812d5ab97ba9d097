//! INV-7 on a real Kafka: whoever reads one purpose's topic finds in it nothing that also stands in
//! another's of the same person, nor under their old key and the new one after a rotation, nor under a
//! session's tokens of two days: but for what time, basis, rulebook and a grant's end make equal.
//!
//! Joins all of it by every field, header and key, as somebody would who wants to know who is who.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::audit::hex;
use crate::bad_input::await_decided;
use crate::rotation::secrets;
use crate::support::{
    self, Message, Plan, Record, Service, Shop, consent, now_ms, pseudonym_under,
    session_token_under, view, wait_until, with,
};

const WITHIN: Duration = Duration::from_mins(1);

const PURPOSES: [&str; 2] = ["ads", "offers"];

const PEOPLE: usize = 12;

const RULEBOOK: &str = r"
rulebook: linked-1
default_segment: all-visitors
purposes:
  - {id: ads, title: Ads, sale_or_share: true, requires_opt_in: true, retention: 30d}
  - {id: offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 30d}
segments:
  - {id: shown, title: Was here, why: To show, owner: shop@shop.example, approach: behavioral, purpose: ads, when: {last: {within: 30d}}}
  - {id: greeted, title: Was here, why: To greet, owner: shop@shop.example, approach: behavioral, purpose: offers, when: {last: {within: 30d}}}
  - {id: toy-page, title: On a page of toys, why: To fit, owner: shop@shop.example, approach: contextual, when: {page: {category: preschool-toys}}}
";

const DAY_MS: i64 = 86_400_000;

/// What somebody can read of one person: by where it stands, each field's name and text.
type Traits = BTreeMap<String, Vec<(String, String)>>;

#[test]
fn no_two_purposes_keys_or_days_have_anything_of_a_person_in_common() {
    let kafka = kafka_or_skip!();
    let plan = Plan {
        rulebook: Some(RULEBOOK.to_owned()),
        purposes: PURPOSES.to_vec(),
        ..Plan::default()
    };
    let shop = Shop::open_with(kafka, &plan);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let people: Vec<String> = (0..PEOPLE).map(|at| format!("kim-{at}")).collect();

    kafka.produce(people.iter().zip(0..).map(|(it, at)| said(&shop, it, at, "GRANTED")));
    let letters = visited(&shop, &people);
    await_decided(&shop, &service);
    shop.run(&["keys", "rotate"]).ok();
    let live_of = |version: &str| {
        service.metrics().sum("assent_live_keys", &[("key_version", version)]).unwrap_or(0.0)
    };
    wait_until(WITHIN, "every key moved", || {
        (live_of("1") == 0.0 && live_of("2") > 0.0).then_some(())
    });
    let later = visited(&shop, &people);
    kafka.produce(people.iter().zip(100..).take(6).map(|(it, at)| said(&shop, it, at, "DENIED")));
    await_decided(&shop, &service);
    service.stop();

    let secrets = secrets(&shop.folder().join("keyset.json"));
    let published = Published::read(&shop);
    for (at, person) in people.iter().enumerate() {
        let traits = published.traits(&secrets, person, &[letters[at], later[at]]);
        let homes: Vec<&str> = traits.keys().map(String::as_str).collect();
        let expected =
            ["ads@1", "ads@2", "audit", "day-0@1", "day-0@2", "day-1@1", "day-1@2", "letters"];
        assert!(expected.iter().all(|home| homes.contains(home)), "{person}: {homes:?}");
        let linked = linked(&traits);
        assert!(linked.is_empty(), "{person}: {linked:#?}");
    }
}

/// A decision of this person, of which everything but the day is theirs alone.
fn said(shop: &Shop<'_>, person: &str, at: i64, status: &str) -> Message {
    let record = consent(person, 1_000 + at, status, &PURPOSES);
    let hours = |count: i64| now_ms() + count * 3_600_000 + at;
    let since = |minutes: i64| json!(now_ms() - minutes * 60_000 - DAY_MS * 2 - at);
    let ends = json!({"decisions": {
        "ads": {"since": since(1), "expires_at": hours(20)},
        "offers": {"since": since(2), "expires_at": hours(10)},
    }});
    shop.consent(&with(with(record, ends), json!({"recorded_at": now_ms() - at})))
}

/// Everybody looks today and, late, yesterday, in one session; and once from a time to come: that one is
/// a dead letter, whose place is returned.
fn visited(shop: &Shop<'_>, people: &[String]) -> Vec<(i32, i64)> {
    let at =
        |person: &str, time: i64| shop.click(&with(view(person), json!({"occurred_at": time})));
    let now = now_ms();
    shop.kafka.produce(people.iter().map(|it| at(it, now)));
    shop.kafka.produce(people.iter().map(|it| at(it, now - DAY_MS)));
    shop.kafka.produce(people.iter().map(|it| at(it, now + 3_600_000)))
}

/// Everything that Assent published, by topic.
struct Published {
    topics: BTreeMap<String, Vec<Record>>,
    /// The name that dead letters have for the clickstream.
    clickstream: String,
}

impl Published {
    fn read(shop: &Shop<'_>) -> Self {
        let segments = PURPOSES.map(|purpose| format!("segments.{purpose}"));
        let others = ["contextual-segments", "segmentation-audit", "segmentation-dead-letters"];
        let names = segments.into_iter().chain(others.map(str::to_owned));
        let topics = names.map(|name| (name.clone(), shop.committed(&name))).collect();
        Self { topics, clickstream: shop.topic("clickstream") }
    }

    fn of_key<'a>(&'a self, topic: &str, key: String) -> impl Iterator<Item = &'a Record> {
        self.topics[topic].iter().filter(move |it| it.key.as_deref() == Some(key.as_bytes()))
    }

    /// All that there is of one person.
    fn traits(
        &self,
        secrets: &BTreeMap<u8, Vec<u8>>,
        person: &str,
        letters: &[(i32, i64)],
    ) -> Traits {
        let mut traits = Traits::new();
        let mut take = |home: String, record: &Record, schema: &str| {
            traits.entry(home).or_default().extend(traits_of(record, schema));
        };
        let (now, session) = (now_ms(), format!("session-of-{person}"));
        for (&version, secret) in secrets {
            for purpose in PURPOSES {
                let key = pseudonym_under(version, secret, purpose, person);
                for record in self.of_key(&format!("segments.{purpose}"), key) {
                    take(format!("{purpose}@{version}"), record, "segment_assignment");
                }
            }
            for ago in 0..2 {
                let key = session_token_under(version, secret, &session, now - ago * DAY_MS);
                for record in self.of_key("contextual-segments", key) {
                    take(format!("day-{ago}@{version}"), record, "contextual_segment");
                }
            }
        }
        for (partition, offset) in letters {
            let key = format!("{}/{partition}/{offset}", self.clickstream);
            for record in self.of_key("segmentation-dead-letters", key) {
                take("letters".to_owned(), record, "dead_letter");
            }
        }
        let audited = secrets.iter().flat_map(|(&version, secret)| {
            self.entries_of(&pseudonym_under(version, secret, "audit", person))
        });
        traits.insert("audit".to_owned(), audited.collect());
        traits
    }

    /// What the audit says under this token, and of the batches around it.
    fn entries_of(&self, token: &str) -> Vec<(String, String)> {
        let token: Value = URL_SAFE_NO_PAD.decode(token).expect("a token").into();
        let mut found = Vec::new();
        for record in &self.topics["segmentation-audit"] {
            let mut batch = support::decode("audit_batch", record.value.as_deref().unwrap());
            let entries = batch["entries"].as_array_mut().unwrap();
            entries.retain(|entry| entry["subject"] == token);
            if !entries.is_empty() {
                fields("", &batch, &mut found);
            }
        }
        found
    }
}

/// Key, headers and fields; of a token also what follows its version.
fn traits_of(record: &Record, schema: &str) -> Vec<(String, String)> {
    let key = record.key_text().to_owned();
    let tail = URL_SAFE_NO_PAD.decode(&key).map(|bytes| hex(&bytes[1..]));
    let mut found = vec![("key".to_owned(), key)];
    found.extend(tail.ok().map(|tail| ("key's token".to_owned(), tail)));
    for (name, value) in &record.headers {
        found.push((format!("header {name}"), String::from_utf8_lossy(value).into_owned()));
    }
    if let Some(value) = &record.value {
        fields("", &support::decode(schema, value), &mut found);
    }
    found
}

/// Every field with its name; an array of small numbers is bytes.
fn fields(name: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| fields(name, value, found));
        }
        Value::Array(items) if items.iter().all(Value::is_number) => {
            found.push((name.to_owned(), value.to_string()));
        }
        Value::Array(items) => items.iter().for_each(|item| fields(name, item, found)),
        Value::String(text) => found.push((name.to_owned(), text.clone())),
        other => found.push((name.to_owned(), other.to_string())),
    }
}

/// What stands in two places and should not. The audit and dead letters are for auditors, who may join
/// them to each other.
fn linked(traits: &Traits) -> Vec<String> {
    let is_auditors = |home: &str| ["audit", "letters"].contains(&home);
    let mut linked = Vec::new();
    for (one, its) in traits {
        for (other, others) in traits.range(one.clone()..).skip(1) {
            if is_auditors(one) && is_auditors(other) {
                continue;
            }
            for (name, value) in its {
                let same = others.iter().filter(|it| it.1 == *value);
                let bad = same.filter(|it| !may_be_equal((one, name), (other, &it.0)));
                linked
                    .extend(bad.map(|it| format!("{value}: {name} of {one}, {} of {other}", it.0)));
            }
        }
    }
    linked
}

/// Time, basis, rulebook; of one purpose under two keys, and of a session on two days, what they are in.
fn may_be_equal((one, name): (&str, &str), (other, others_name): (&str, &str)) -> bool {
    let common = |name: &str| {
        let bare = name.trim_start_matches("header ");
        ["decided_at", "occurred_at", "failed_at", "basis", "reason", "rulebook"].contains(&bare)
            || ["purposes", "verdicts"].contains(&bare)
    };
    let kind = |home: &str| home.split(['@', '-']).next().map(str::to_owned);
    let with_audit = one == "audit" || other == "audit";
    let of_kind = |name: &str| ["segments", "purpose", "expires_at"].contains(&name);
    (common(name) && common(others_name))
        || (kind(one) == kind(other) && of_kind(name) && name == others_name)
        // The audit's list of purposes, which is the rulebook's.
        || (with_audit && [name, others_name].iter().all(|it| ["purpose", "purposes"].contains(it)))
}
