//! `assent verify` on a real Kafka: nothing is found in what Assent wrote, whatever happened to it, and
//! every kind of violation is found where it lies.

use serde_json::{Value, json};

use crate::bad_input;
use crate::support::{Finished, Plan, Service, Shop, consent, now_ms, view, with};

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

/// Nothing is found, and something was read.
pub fn assert_sound(shop: &Shop<'_>) -> Value {
    let (_, found) = verify(shop, &[]);
    assert_eq!(found["violations"], json!([]), "{found:#}");
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
