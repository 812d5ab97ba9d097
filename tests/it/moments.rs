//! What time alone, a signal or an erasure does on a real Kafka, and how soon: leases (INV-13), the
//! ends of grants and windows, GPC, and that an erased subject is gone from the state.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::contract::{PURPOSES, WITHIN, keys, plan};
use crate::support::{
    self, Plan, Record, Service, Shop, consent, latest, now_ms, pseudonym, pseudonym_bytes, view,
    wait_until, with,
};

const LEASE_MS: i64 = 4_000;
/// A tombstone follows its moment within this (docs/contract/rulebook.md#time).
const FOLLOWS_WITHIN_MS: i64 = 5_000;
/// How late a renewal may be.
const GRACE_MS: i64 = 1_000;
const OBSERVED: Duration = Duration::from_secs(8);

/// One segment, which a click holds for four seconds.
const SHORT_WINDOW: &str = r"
rulebook: short-1
default_segment: all-visitors
purposes:
  - {id: offers, title: Own offers, sale_or_share: false, requires_opt_in: true, retention: 30d}
segments:
  - {id: just-here, title: Was here just now, why: To say hello, owner: shop@shop.example, approach: behavioral, purpose: offers, when: {count: {of: any, within: 4s, at_least: 1}}}
";

#[test]
fn a_lease_is_renewed_before_it_ends_and_a_grant_is_not_outlived() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan(json!({"pipeline": {"lease": "4s"}})));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let assigned = |subject| {
        let key = pseudonym("offers", subject);
        wait_until(WITHIN, "an assignment", || keys(&shop, "offers").remove(&key))
    };
    kafka.produce([shop.consent(&consent("stays", 1, "GRANTED", &PURPOSES))]);
    kafka.produce([shop.click(&view("stays"))]);
    assigned("stays");
    let ends = now_ms() + LEASE_MS;
    let ending = json!({"decisions": {"offers": {"expires_at": ends}}});
    kafka.produce([shop.consent(&with(consent("ends", 1, "GRANTED", &PURPOSES), ending))]);
    kafka.produce([shop.click(&view("ends"))]);
    assigned("ends");

    let observed = Instant::now();
    while observed.elapsed() < OBSERVED {
        let asked_at = now_ms();
        let live = keys(&shop, "offers").remove(&pseudonym("offers", "stays")).expect("assigned");
        let end = read(live.last().expect("a record"))["expires_at"].as_i64().expect("a time");
        assert!(asked_at <= end + GRACE_MS, "past its lease by {} ms", asked_at - end);
    }
    let topic = wait_until(WITHIN, "the grant's end", || {
        let topic = keys(&shop, "offers");
        topic[&pseudonym("offers", "ends")].last()?.value.is_none().then_some(topic)
    });
    let renewed = &topic[&pseudonym("offers", "stays")];
    assert!(renewed.len() >= 4, "{} records in {OBSERVED:?}", renewed.len());
    for record in renewed {
        let value = read(record);
        let lease = value["expires_at"].as_i64().unwrap() - value["decided_at"].as_i64().unwrap();
        assert_eq!(lease, LEASE_MS);
    }
    let ended = &topic[&pseudonym("offers", "ends")];
    assert_eq!(read(&ended[0])["expires_at"].as_i64(), Some(ends));
    assert_ended(ended, "consent_expired", ends);
    service.stop();
}

#[test]
fn a_window_that_passes_takes_its_segment_without_a_click() {
    let kafka = kafka_or_skip!();
    let rulebook = Some(SHORT_WINDOW.to_owned());
    let purposes = vec!["offers"];
    let shop = Shop::open_with(kafka, &Plan { rulebook, purposes, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &["offers"]))]);
    let click = view("kim");
    kafka.produce([shop.click(&click)]);
    let records = wait_until(WITHIN, "a tombstone", || {
        let records = keys(&shop, "offers").remove(&pseudonym("offers", "kim"))?;
        records.last()?.value.is_none().then_some(records)
    });
    let second = click["occurred_at"].as_i64().unwrap() / 1_000 * 1_000;
    assert_ended(&records, "segments_left", second + 4_000);
    service.stop();
}

#[test]
fn a_signal_of_the_browser_takes_the_partners_key_at_once_and_for_good() {
    let kafka = kafka_or_skip!();
    let shop = assigned(kafka, "kim");
    let service = Service::start(&shop, "b");
    service.await_ready();
    let sent = now_ms();
    kafka.produce([shop.click(&with(view("kim"), json!({"gpc": true})))]);
    let key = pseudonym("partners", "kim");
    let gone = wait_until(WITHIN, "a tombstone", || {
        keys(&shop, "partners")[&key].iter().find(|it| it.value.is_none()).cloned()
    });
    assert!(gone.timestamp - sent < FOLLOWS_WITHIN_MS, "{} ms", gone.timestamp - sent);
    assert_eq!(gone.header("reason"), Some("opt_out_signal"));

    kafka.produce([shop.click(&view("kim"))]);
    wait_until(WITHIN, "the next click decided", || {
        let labels = [("purpose", "partners"), ("verdict", "opt_out_signal")];
        (service.metrics().count("assent_verdicts_total", &labels) == 2).then_some(())
    });
    assert_eq!(keys(&shop, "partners")[&key].len(), 2, "one assignment, one tombstone");
    assert!(latest(&shop.committed("segments.offers")).len() == 1, "own offers go on");
    service.stop();
}

#[test]
fn an_erasure_leaves_nothing_of_a_subject_but_that_it_was() {
    let kafka = kafka_or_skip!();
    let shop = assigned(kafka, "kim");
    let tokens = ["offers", "open", "partners", "audit"].map(|it| pseudonym_bytes(it, "kim"));
    let kept = || tokens.map(|token| state_holds(&shop, &token[1..]));
    assert_eq!(kept(), [true; 4], "the state holds the tokens as bytes");

    let service = Service::start(&shop, "b");
    service.await_ready();
    kafka.produce([shop.erasure("kim")]);
    wait_until(WITHIN, "every key gone", || {
        let gone =
            |purpose: &&str| latest(&shop.committed(&format!("segments.{purpose}"))).is_empty();
        PURPOSES.iter().all(gone).then_some(())
    });
    for purpose in &PURPOSES[..3] {
        let records = &keys(&shop, purpose)[&pseudonym(purpose, "kim")];
        let gone = records.last().expect("a tombstone");
        assert_eq!(gone.header("reason"), Some("erasure"));
        assert!(gone.header("decided_at").is_some());
        assert_eq!(gone.headers.len(), 2, "{:?}", gone.headers);
    }
    assert_eq!(kept(), [false; 4], "what compaction leaves of the state");
    let metrics = service.metrics();
    assert_eq!(metrics.sum("assent_subjects", &[("consent", "erased")]), Some(1.0));
    assert_eq!(metrics.count("assent_subjects", &[("consent", "record")]), 0);
    assert_eq!(metrics.count("assent_live_keys", &[]), 0);
    service.stop();
}

/// A shop in which the subject was assigned for three purposes, and whose service has ended.
fn assigned<'k>(kafka: &'k support::Kafka, subject: &str) -> Shop<'k> {
    let shop = Shop::open_with(kafka, &plan(json!({})));
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([shop.consent(&consent(subject, 1, "GRANTED", &PURPOSES))]);
    kafka.produce([shop.click(&view(subject))]);
    for purpose in &PURPOSES[..3] {
        wait_until(WITHIN, "assigned", || (keys(&shop, purpose).len() == 1).then_some(()));
    }
    service.stop();
    shop
}

/// After compaction.
fn state_holds(shop: &Shop<'_>, token: &[u8]) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(token.len()).any(|window| window == token);
    latest(&shop.committed("assent-state"))
        .iter()
        .any(|(key, record)| holds(key) || record.value.as_deref().is_some_and(holds))
}

/// The last record is a tombstone for this reason, and came when it should.
fn assert_ended(records: &[Record], reason: &str, moment: i64) {
    let last = records.last().expect("a record");
    assert_eq!((last.value.is_none(), last.header("reason")), (true, Some(reason)));
    let late = last.timestamp - moment;
    assert!((0..FOLLOWS_WITHIN_MS).contains(&late), "{reason} came {late} ms after its moment");
}

fn read(record: &Record) -> Value {
    support::decode("segment_assignment", record.value.as_deref().expect("an assignment"))
}
