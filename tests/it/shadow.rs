//! `assent rules shadow` says beforehand what a rollout then does: `then` is what the segments hold after the sweep,
//! `settled` what another group makes of the same topics from their beginning.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Kafka, Plan, Service, Shop, consent, decode, latest, now_ms, view, wait_until, with,
};

const WITHIN: Duration = Duration::from_mins(2);
const OFFERS: &str = "personalized-offers";
const ADS: &str = "partner-advertising";
const NEWS: &str = "newsletter";
const PURPOSES: [&str; 4] = [ADS, "canary", NEWS, OFFERS];
const PEOPLE: usize = 120;
/// What both groups read.
const INPUTS: [&str; 2] = ["clickstream", "consent-changelog"];

const RUNNING: &str = "
rulebook: shadow-1
default_segment: everybody
canary: true
purposes:
  - {id: personalized-offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 30d}
  - {id: partner-advertising, title: Advertising, sale_or_share: true, requires_opt_in: false, retention: 30d}
  - {id: newsletter, title: Letters, sale_or_share: false, requires_opt_in: true, retention: 30d}
segments:
  - {id: lookers, title: Lookers, why: Offers, owner: o@shop.example, approach: behavioral, purpose: personalized-offers,
     when: {count: {of: PRODUCT_VIEW, within: 7d, at_least: 3}}}
  - {id: seekers, title: Seekers, why: Offers, owner: o@shop.example, approach: behavioral, purpose: personalized-offers,
     when: {count: {of: SEARCH, within: 7d, at_least: 1}}}
  - {id: old, title: Old, why: Offers, owner: o@shop.example, approach: behavioral, purpose: personalized-offers,
     when: {count: {of: PRODUCT_VIEW, within: 7d, at_least: 1}}}
  - {id: shown, title: Shown, why: Ads, owner: o@shop.example, approach: behavioral, purpose: partner-advertising,
     when: {count: {of: PRODUCT_VIEW, within: 7d, at_least: 1}}}
  - {id: readers, title: Readers, why: Letters, owner: o@shop.example, approach: behavioral, purpose: newsletter,
     when: {count: {of: PRODUCT_VIEW, within: 7d, at_least: 1}}}
";

/// A segment goes, one changes, two come; ads ask for an opt-in; letters are suspended.
fn next() -> String {
    let mut next = RUNNING
        .replace("shadow-1", "shadow-2")
        .replace("{of: SEARCH, within: 7d, at_least: 1}", "{of: SEARCH, within: 7d, at_least: 2}")
        .replace("sale_or_share: true, requires_opt_in: false", "sale_or_share: true, requires_opt_in: true")
        .replace("Letters, sale_or_share: false, requires_opt_in: true, retention: 30d}", "Letters, sale_or_share: false, requires_opt_in: true, retention: 30d, suspended: true}")
        .replace("id: old, title: Old", "id: buyers, title: Buyers")
        .replace("when: {count: {of: PRODUCT_VIEW, within: 7d, at_least: 1}}}\n  - {id: shown", "when: {count: {of: PURCHASE, within: 7d, at_least: 1}}}\n  - {id: shown");
    next += "  - {id: adults, title: Adults, why: Ads, owner: o@shop.example, approach: demographic, purpose: partner-advertising,
     when: {age_band: {in: [FROM_18]}}}\n";
    next
}

/// Members by purpose and segment.
type Counts = BTreeMap<(String, String), u64>;

fn open<'k>(kafka: &'k Kafka, rulebook: &str, settings: Value) -> Shop<'k> {
    let settings = with(json!({"canary": {"every": "1s"}}), settings);
    let rulebook = Some(rulebook.to_owned());
    Shop::open_with(
        kafka,
        &Plan { partitions: 2, rulebook, purposes: PURPOSES.to_vec(), settings, ..Plan::default() },
    )
}

/// Numbers that look drawn, the same in each run.
fn dice() -> impl FnMut(u64) -> u64 {
    let mut state: u64 = 11;
    move |most| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    }
}

/// They decide, click, change their mind, click again; some are erased, some send a signal, some are refused from
/// the first: what the counters of the running group hold is not what the topics hold.
fn live_through(shop: &Shop<'_>, service: &Service) {
    let mut dice = dice();
    let people: Vec<String> = (0..PEOPLE).map(|at| format!("kid-{at}")).collect();
    let all = [OFFERS, ADS, NEWS];
    let mut decided = 0;
    for round in 1..=3 {
        let mut records = Vec::new();
        for person in &people {
            if round > 1 && dice(4) > 0 {
                continue;
            }
            let mut record = consent(person, round, "GRANTED", &all);
            for purpose in all {
                let status =
                    ["GRANTED", "GRANTED", "GRANTED", "DENIED", "NOT_ASKED"][dice(5) as usize];
                record["decisions"][purpose]["status"] = status.into();
            }
            if dice(4) == 0 {
                record["age_band"] = "FROM_16_TO_17".into();
            }
            records.push(shop.consent(&record));
        }
        if round == 2 {
            records.push(shop.erasure("kid-7"));
        }
        shop.kafka.produce(records);
        let mut clicks = Vec::new();
        for person in &people {
            for _ in 0..dice(4) {
                let kind = ["PRODUCT_VIEW", "PRODUCT_VIEW", "SEARCH", "PURCHASE"][dice(4) as usize];
                let ago = dice(50_000) as i64;
                let gpc = dice(30) == 0;
                let occurred_at = now_ms() - ago;
                clicks.push(with(
                    view(person),
                    json!({"kind": kind, "gpc": gpc, "occurred_at": occurred_at}),
                ));
            }
        }
        decided += clicks.len() as u64;
        shop.kafka.produce(clicks.iter().map(|click| shop.click(click)));
        await_decided(service, decided);
    }
}

/// The canary's own clicks are among them.
fn await_decided(service: &Service, clicks: u64) {
    wait_until(WITHIN, "every click to be decided", || {
        let decided = [("outcome", "decided")];
        (service.metrics().count("assent_outcomes_total", &decided) >= clicks).then_some(())
    });
}

fn counts(shop: &Shop<'_>) -> Counts {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = shop.run(&["segments", "count", "--json"]).ok().json();
    let counts = all["counts"].as_array().expect("counts").iter();
    let people = counts.filter(|it| it["purpose"] != "canary");
    people
        .map(|it| ((text(&it["purpose"]), text(&it["segment"])), it["members"].as_u64().unwrap()))
        .collect()
}

fn shadow(shop: &Shop<'_>, options: &[&str]) -> Value {
    shop.run(&[&["rules", "shadow", "next.yaml", "--json"], options].concat()).ok().json()
}

fn of(shadow: &Value, number: &str) -> Counts {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let rows = shadow["segments"].as_array().expect("segments").iter();
    rows.map(|it| ((text(&it["purpose"]), text(&it["segment"])), it[number].as_u64().unwrap()))
        .collect()
}

/// Those of the segments that this rulebook has.
fn only(counts: Counts, like: &Counts) -> Counts {
    let (kept, rest): (Counts, Counts) =
        counts.into_iter().partition(|(key, _)| like.contains_key(key));
    assert!(rest.values().all(|count| *count == 0), "{rest:?}");
    kept
}

/// Everything live rests on this rulebook.
fn await_swept(shop: &Shop<'_>, version: &str) {
    wait_until(WITHIN, "the sweep to be through", || {
        let mut all = PURPOSES.iter().flat_map(|purpose| {
            latest(&shop.committed(&format!("segments.{purpose}"))).into_values()
        });
        let is_new = |record: crate::support::Record| {
            decode("segment_assignment", &record.value.unwrap())["rulebook"] == version
        };
        all.all(is_new).then_some(())
    });
}

fn ends(shop: &Shop<'_>) -> Vec<BTreeMap<i32, i64>> {
    let topics = [
        "clickstream",
        "consent-changelog",
        "assent-state",
        "segmentation-audit",
        "segmentation-dead-letters",
    ];
    let topics = topics.iter().map(|topic| (*topic).to_owned());
    let segments = PURPOSES.iter().map(|purpose| format!("segments.{purpose}"));
    topics.chain(segments).map(|topic| shop.kafka.ends(&shop.topic(&topic))).collect()
}

#[test]
fn a_rollout_does_what_the_shadow_said() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka, RUNNING, json!({}));
    std::fs::write(shop.folder().join("next.yaml"), next()).expect("written");
    let service = Service::start(&shop, "a");
    service.await_ready();
    let canary = Service::start_canary(&shop);
    live_through(&shop, &service);
    canary.stop();
    service.stop();

    let before = ends(&shop);
    let said = shadow(&shop, &[]);
    assert_eq!(ends(&shop), before, "nothing is written");
    assert_eq!((&said["running"], &said["new"]), (&json!("shadow-1"), &json!("shadow-2")));
    assert_eq!(said["clicks_from"], Value::Null, "the topics hold all there was");
    let now = counts(&shop);
    assert_eq!(only(of(&said, "now"), &now), now);
    assert!(now.values().all(|count| *count > 5), "worth comparing: {now:?}");
    each_adds_up(&said);
    reasons_are_those_of_the_change(&said);

    std::fs::write(shop.folder().join("rulebook.yaml"), next()).expect("written");
    let service = Service::start(&shop, "a");
    service.await_ready();
    await_swept(&shop, "shadow-2");
    service.stop();
    let then = counts(&shop);
    assert_eq!(only(of(&said, "then"), &then), then);

    let settled = replayed(kafka, &shop);
    assert_eq!(only(of(&said, "settled"), &settled), settled);
    assert_ne!(then, settled, "a changed condition starts empty");
    // Once it is rolled out, nothing changes at once any more.
    let again = shadow(&shop, &[]);
    assert_eq!((of(&again, "now"), of(&again, "then")), (then.clone(), then));
}

/// Another group of its own topics, from the beginning of the same inputs.
fn replayed(kafka: &Kafka, shop: &Shop<'_>) -> Counts {
    let [clickstream, consent] = INPUTS.map(|topic| shop.topic(topic));
    let other =
        open(kafka, &next(), json!({"topics": {"clickstream": clickstream, "consent": consent}}));
    let service = Service::start(&other, "a");
    service.await_ready();
    let clicks = shop.committed("clickstream").len() as u64;
    await_decided(&service, clicks);
    service.stop();
    counts(&other)
}

fn each_adds_up(said: &Value) {
    let number =
        |it: &Value, name: &str| it[name].as_i64().unwrap_or_else(|| panic!("{it} {name}"));
    for row in said["segments"].as_array().unwrap() {
        let sum = number(row, "now") + number(row, "enter") - number(row, "leave");
        assert_eq!(sum, number(row, "settled"), "{row}");
        assert_eq!(row["partial_history"], false, "{row}");
        let reasons = said["reasons"].as_array().unwrap().iter();
        let of_row =
            reasons.filter(|it| it["purpose"] == row["purpose"] && it["segment"] == row["segment"]);
        for (place, of_row) in of_row.enumerate() {
            assert_eq!(place, 0);
            for way in ["enter", "leave"] {
                let all = of_row[way].as_object().unwrap().values();
                assert_eq!(
                    all.map(|it| it.as_i64().unwrap()).sum::<i64>(),
                    number(row, way),
                    "{of_row}"
                );
            }
        }
    }
}

fn reasons_are_those_of_the_change(said: &Value) {
    let reasons = |purpose: &str, segment: &str, way: &str| -> Vec<String> {
        let all = said["reasons"].as_array().unwrap().iter();
        let mut of_it = all.filter(|it| it["purpose"] == purpose && it["segment"] == segment);
        let found = of_it.next().map(|it| it[way].as_object().unwrap().keys().cloned().collect());
        found.unwrap_or_default()
    };
    assert_eq!(reasons(OFFERS, "old", "leave"), ["segment_removed"]);
    assert_eq!(reasons(OFFERS, "buyers", "enter"), ["segment_added"]);
    assert_eq!(reasons(ADS, "adults", "enter"), ["segment_added"]);
    assert_eq!(reasons(NEWS, "readers", "leave"), ["purpose_suspended"]);
    assert!(reasons(OFFERS, "seekers", "leave").contains(&"segment_changed".to_owned()));
    assert!(reasons(ADS, "shown", "leave").contains(&"opt_in_missing".to_owned()));
    let verdicts = said["verdicts"].as_array().unwrap();
    let suspended = verdicts.iter().find(|it| it["verdict"] == "PURPOSE_SUSPENDED").unwrap();
    assert_eq!((&suspended["purpose"], &suspended["now"]), (&json!(NEWS), &json!(0)));
    assert!(verdicts.iter().all(|it| it["purpose"] != "canary"));
}

#[test]
fn clicks_that_are_gone_or_left_out_are_said_to_be_missing() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka, RUNNING, json!({}));
    std::fs::write(shop.folder().join("next.yaml"), next()).expect("written");
    let service = Service::start(&shop, "a");
    service.await_ready();
    live_through(&shop, &service);
    service.stop();
    let partial = |said: &Value| -> Vec<String> {
        let rows = said["segments"].as_array().unwrap().iter();
        let partial = rows.filter(|it| it["partial_history"] == true);
        partial.map(|it| it["segment"].as_str().unwrap().to_owned()).collect()
    };
    let behavioral = ["readers", "shown", "buyers", "lookers", "seekers"];
    std::thread::sleep(Duration::from_secs(2));
    let said = shadow(&shop, &["--since", "1s"]);
    assert_eq!(partial(&said), behavioral);
    let settled = of(&said, "settled");
    assert!(
        settled.iter().all(|((_, segment), count)| (*count > 0) == (segment == "adults")),
        "{settled:?}"
    );

    let clicks = shop.topic("clickstream");
    let half = kafka.ends(&clicks).into_iter().map(|(partition, end)| (partition, end / 2));
    kafka.delete_records(&clicks, &half.collect());
    let said = shadow(&shop, &[]);
    assert_eq!(partial(&said), behavioral);
    assert!(said["clicks_from"].as_i64().is_some_and(|at| at > 0));
    let text = shop.run(&["rules", "shadow", "next.yaml"]).ok().stdout;
    assert!(
        text.contains(
            "personalized-offers buyers: its conditions look further back than the clicks"
        ),
        "{text}"
    );

    std::fs::write(shop.folder().join("next.yaml"), RUNNING.replace("7d", "6d")).expect("written");
    let refused = shop.run(&["rules", "shadow", "next.yaml"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(65), ""), "{refused:?}");
    assert!(
        refused.stderr.contains("next.yaml: rulebook: version \"shadow-1\" is also the version"),
        "{refused:?}"
    );
    let missing = shop.run(&["rules", "shadow", "nowhere.yaml"]);
    assert!(missing.code == Some(65) && missing.stderr.contains("nowhere.yaml"), "{missing:?}");
}
