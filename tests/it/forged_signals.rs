//! Opt-out signals under made-up ids, more than are kept: nobody whose signal gave way is sold or shared,
//! also after a restart, and `assent verify` agrees.

use serde_json::json;

use crate::contract::WITHIN;
use crate::support::{
    Message, Plan, Service, Shop, consent, latest, now_ms, view, wait_until, with,
};
use crate::verify::assert_sound;

const ADS: &str = "partner-advertising";
const OFFERS: &str = "personalized-offers";
const MINUTE: i64 = 60_000;
const KEPT: i64 = 3;

fn shop(kafka: &crate::support::Kafka) -> Shop<'_> {
    let settings = json!({"consent": {"signals_without_record_max": KEPT}});
    Shop::open_with(kafka, &Plan { partitions: 1, settings, ..Plan::of_lookers("1", 2) })
}

/// Grants both purposes as of then, in two steps, and looks twice. Returns in how many they are live.
fn appears(shop: &Shop<'_>, id: &str, since: i64) -> usize {
    let decision = json!({"since": since});
    let decisions = json!({(ADS): decision, (OFFERS): decision});
    let granted = with(
        consent(id, 1, "GRANTED", &[ADS, OFFERS]),
        json!({"decisions": decisions, "double_opt_in_at": since}),
    );
    shop.kafka.produce([shop.consent(&granted)]);
    shop.kafka.produce(vec![shop.click(&view(id)); 2]);
    let live = |purpose: &str| {
        let key = crate::support::pseudonym(purpose, id).into_bytes();
        let topic = format!("segments.{purpose}");
        latest(&shop.committed(&topic)).get(&key).is_some_and(|it| it.value.is_some())
    };
    // Both are written in one transaction.
    wait_until(WITHIN, "offers", || live(OFFERS).then_some(()));
    usize::from(live(ADS)) + 1
}

#[test]
fn nobody_whose_signal_gave_way_to_forged_ones_counts_as_not_opted_out() {
    let kafka = kafka_or_skip!();
    let shop = shop(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let first = (now_ms() - 120 * MINUTE) / MINUTE * MINUTE;
    let signal = |n: i64| -> Message {
        let at = json!({"gpc": true, "occurred_at": first + n * MINUTE});
        shop.click(&with(view(&format!("made-up-{n}")), at))
    };
    kafka.produce((0..20).map(signal));
    let kept = |service: &Service| {
        service.metrics().count("assent_signals_without_record", &[("partition", "0")]) as i64
    };
    let decided = |service: &Service| service.metrics().count("assent_outcomes_total", &[]);
    wait_until(WITHIN, "all are decided", || (decided(&service) == 20).then_some(()));
    wait_until(WITHIN, "the gauge", || (kept(&service) == KEPT).then_some(()));
    assert!(service.log().contains("consent.signals_without_record_max"), "told in the log");
    // The last that gave way is number 16.
    let floor = first + 16 * MINUTE;
    assert_eq!(appears(&shop, "made-up-0", floor), 1, "its own signal gave way");
    assert_eq!(appears(&shop, "never-there", floor), 1, "nobody can tell it from one that did");
    assert_eq!(appears(&shop, "made-up-19", floor + MINUTE), 1, "its own is kept");
    assert_eq!(appears(&shop, "made-up-2", floor + MINUTE), 2, "opted in again since");
    wait_until(WITHIN, "one is no stranger now", || (kept(&service) == KEPT - 1).then_some(()));
    service.kill();

    let service = Service::start(&shop, "a");
    service.await_ready();
    wait_until(WITHIN, "the gauge", || (kept(&service) == KEPT - 1).then_some(()));
    assert_eq!(appears(&shop, "made-up-5", floor), 1, "restored with the state");
    service.stop();
    let found = assert_sound(&shop);
    let notes = found["notes"].to_string();
    assert!(notes.contains("it was dropped for later ones"), "{notes}");
}
