//! INV-6 on a real Kafka: what people are called, and what they sent, stands in the two inputs and
//! nowhere else: no topic, no log at its most talkative, no file, no endpoint. Nor do the secrets.
//!
//! Every identifier of the run has the marker in it; what is looked for is the marker, as it is and
//! in the forms that code gives bytes by accident.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::bad_input::{self, PURPOSES};
use crate::contract::WITHIN;
use crate::support::{
    Isolation, Message, Plan, Record, Service, Shop, consent, secret, view, wait_until, with,
};

/// Of 24 bytes, so that its base64 is found wherever in a longer text it begins.
const MARKER: &str = "zq7marker-of-a-person-9x";

/// Unique per event, so it leads to a person, too. Of random bytes.
const EVENT_ID: &str = "c2b1f6a4-93d7-4e0b-8a5c-71e94f0d3b26";

const OUTPUTS: [&str; 6] = [
    "segments.partner-advertising",
    "segments.personalized-offers",
    "contextual-segments",
    "segmentation-audit",
    "assent-state",
    "segmentation-dead-letters",
];

/// Kafka's own, with what a client says of its group and its transactions.
const INTERNAL: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

#[test]
fn no_identifier_and_no_secret_leaves_the_inputs() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { settings: bad_input::sources(), ..Plan::default() });
    let debug = [("RUST_LOG", "debug")];
    let first = Service::start_with(&shop, "a", &debug);
    first.await_ready();
    kafka.produce(good(&shop));
    let bad = bad_input::cases(&shop, MARKER);
    kafka.produce(bad.into_iter().map(|case| case.message));
    bad_input::await_decided(&shop, &first);
    let mut places = endpoints(&first);
    first.kill();

    let second = Service::start_with(&shop, "a", &debug);
    second.await_ready();
    kafka.produce(farewells(&shop));
    wait_until(WITHIN, "nobody there any more", || {
        let gone = |topic: &&&str| crate::support::latest(&shop.committed(topic)).is_empty();
        (OUTPUTS[..2].iter().filter(gone).count() == 2).then_some(())
    });
    places.extend(endpoints(&second));
    second.stop();

    places.extend(OUTPUTS.map(|topic| whole_topic(&shop, &shop.topic(topic))));
    places.extend(INTERNAL.map(|topic| whole_topic(&shop, topic)));
    places.extend(files(shop.folder()));
    for log in ["a-0.log", "a-1.log"] {
        assert!(places.iter().any(|it| it.name == log && it.bytes.len() > 100), "{log}");
    }
    assert_eq!(found(&inputs(&shop), &forms(MARKER.as_bytes())).len(), 2, "the search finds");
    for needle in [MARKER.as_bytes(), EVENT_ID.as_bytes(), &secret()] {
        assert_eq!(found(&places, &forms(needle)), Vec::<String>::new());
    }
}

/// Somewhere an identifier could be.
struct Place {
    name: String,
    bytes: Vec<u8>,
}

fn id(name: &str) -> String {
    format!("{MARKER}-{name}")
}

/// People who are assigned, also for what the page says, and all that a record may say of them.
fn good(shop: &Shop<'_>) -> Vec<Message> {
    let record = |name: &str, fields: Value| {
        let marked = json!({"source": id("source"), "receipt_id": id("receipt")});
        let record = with(consent(&id(name), 1, "GRANTED", &PURPOSES), marked);
        shop.consent(&with(record, fields))
    };
    let guardian = json!({"verified_at": 1, "method": id("method"), "coppa_consent": true});
    let notice = json!({"decisions": {PURPOSES[0]: {"notice_version": id("notice")}}});
    let mut messages = vec![
        record("grown-up", json!({})),
        record("child", json!({"age_band": "UNDER_13", "guardian": guardian})),
        record("teen", json!({"age_band": "FROM_13_TO_15"})),
        record("noticed", notice),
    ];
    for name in ["grown-up", "child", "teen", "noticed", "nobody-known"] {
        let session = json!({"session_id": id("session"), "event_id": EVENT_ID});
        let click = with(view(&id(name)), session);
        messages.extend(vec![shop.click(&click); 3]);
        messages.push(shop.click(&with(click.clone(), json!({"gpc": true}))));
        messages.push(shop.click(&with(click, json!({"subject_id": null}))));
    }
    messages
}

/// They leave, each in their way.
fn farewells(shop: &Shop<'_>) -> Vec<Message> {
    let denial = consent(&id("teen"), 2, "WITHDRAWN", &PURPOSES);
    let contradiction = with(consent(&id("noticed"), 1, "DENIED", &PURPOSES), json!({}));
    vec![
        shop.erasure(&id("grown-up")),
        shop.erasure(&id("child")),
        shop.consent(&denial),
        shop.consent(&contradiction),
    ]
}

fn endpoints(service: &Service) -> Vec<Place> {
    let place = |path: &str| Place { name: path.to_owned(), bytes: service.get(path).1.into() };
    ["/metrics", "/readyz", "/livez", "/version"].map(place).into()
}

/// Keys, values and headers, also of what was aborted.
fn whole_topic(shop: &Shop<'_>, topic: &str) -> Place {
    let records = shop.kafka.read(topic, Isolation::Uncommitted);
    assert!(!records.is_empty(), "{topic} holds something to look through");
    Place { name: topic.to_owned(), bytes: records.iter().flat_map(raw).collect() }
}

fn raw(record: &Record) -> Vec<u8> {
    let mut parts = vec![record.key.clone(), record.value.clone()];
    for (name, value) in &record.headers {
        parts.extend([Some(name.clone().into_bytes()), Some(value.clone())]);
    }
    // A byte that is in no form of a marker, so that nothing is found across two parts.
    parts.into_iter().flatten().flat_map(|part| [part, vec![0xfe]].concat()).collect()
}

fn inputs(shop: &Shop<'_>) -> Vec<Place> {
    ["clickstream", "consent-changelog"].map(|topic| whole_topic(shop, &shop.topic(topic))).into()
}

/// All that the two services wrote: their logs and their state_dir. What the test itself put there
/// is not theirs.
fn files(folder: &Path) -> Vec<Place> {
    let mut places = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            places.extend(files(&path));
        } else if !["keyset.json", "rulebook.yaml", "assent.yaml"].contains(&name.as_str()) {
            places.push(Place { name, bytes: std::fs::read(path).expect("readable") });
        }
    }
    places
}

/// The bytes as they are, in hex, as a list of numbers, and in base64 wherever it begins.
fn forms(needle: &[u8]) -> Vec<Vec<u8>> {
    let hex = crate::audit::hex(needle);
    let numbers = format!("{needle:?}");
    let numbers = numbers.trim_matches(['[', ']']).to_owned();
    let mut forms = vec![needle.to_vec(), hex.to_uppercase().into(), hex.into()];
    forms.extend([numbers.replace(' ', "").into_bytes(), numbers.into_bytes()]);
    for before in 0..3 {
        // Four characters stand for three bytes: those that the needle alone decides.
        let from = (3 - before) % 3;
        let whole = &needle[from..from + (needle.len() - from) / 3 * 3];
        forms
            .extend([STANDARD_NO_PAD.encode(whole), URL_SAFE_NO_PAD.encode(whole)].map(Into::into));
    }
    forms
}

/// Which places hold which form.
fn found(places: &[Place], forms: &[Vec<u8>]) -> Vec<String> {
    let holds =
        |place: &Place, form: &[u8]| place.bytes.windows(form.len()).any(|window| window == form);
    let of = |place| forms.iter().enumerate().filter(move |(_, form)| holds(place, form));
    places
        .iter()
        .flat_map(|place| of(place).map(|(at, _)| format!("{}: form {at}", place.name)))
        .collect()
}
