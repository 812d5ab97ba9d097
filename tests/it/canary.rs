//! The canary on a real broker: it gets through round by round, fails where people's opt-outs would wait, recovers
//! by itself, is in no count, and lends its name to nobody.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Kafka, Message, Plan, Service, Shop, consent, meanwhile, now_ms, pseudonym, view, wait_until,
    with,
};

const WITHIN: Duration = Duration::from_mins(2);
const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];

/// With the canary switched on, a round a second.
pub fn open<'k>(kafka: &'k Kafka, settings: &Value) -> Shop<'k> {
    open_every(kafka, "1s", settings)
}

pub fn open_every<'k>(kafka: &'k Kafka, every: &str, settings: &Value) -> Shop<'k> {
    let lookers = Plan::of_lookers("1", 1);
    let rulebook = lookers.rulebook.map(|it| format!("canary: true\n{it}"));
    let settings = with(json!({"canary": {"every": every}}), settings.clone());
    let purposes = [&PURPOSES[..], &["canary"]].concat();
    Shop::open_with(kafka, &Plan { rulebook, purposes, settings, ..lookers })
}

/// Of how many partitions it got through since then.
fn got_through(canary: &Service, since_ms: i64) -> usize {
    let metrics = canary.metrics();
    let of = |partition: i32| {
        let partition = partition.to_string();
        let labels = [("partition", partition.as_str())];
        metrics.sum("assent_canary_last_success_timestamp_seconds", &labels).unwrap_or_default()
    };
    (0..4).filter(|&partition| of(partition) * 1_000.0 > since_ms as f64).count()
}

fn await_through(canary: &Service) {
    let since = now_ms();
    wait_until(WITHIN, "every partition's canary to get through", || {
        (got_through(canary, since) == 4).then_some(())
    });
}

fn failures(canary: &Service, step: &str) -> f64 {
    canary.metrics().sum("assent_canary_failures_total", &[("step", step)]).unwrap_or_default()
}

fn await_failure(canary: &Service, step: &str) {
    let before = failures(canary, step);
    wait_until(WITHIN, &format!("a failure at {step}"), || {
        (failures(canary, step) > before).then_some(())
    });
}

#[test]
fn it_gets_through_round_by_round_and_is_in_no_count() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka, &json!({}));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let canary = Service::start_canary(&shop);
    await_through(&canary);
    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES))]);
    kafka.produce([shop.click(&view("kim"))]);
    await_through(&canary);
    await_through(&canary);
    let told = canary.metrics();
    assert!(told.sum("assent_canary_opt_out_seconds_count", &[]) >= Some(12.0));
    assert_eq!(told.sum("assent_canary_failures_total", &[]), Some(0.0));
    assert_eq!(told.sum("assent_group_member", &[]), None, "it is no pipeline that stands still");
    canary.stop();
    assert_counted(&shop, &service);
    let report = shop.run(&["--json", "verify"]).json();
    assert_eq!((&report["ok"], &report["violations"]), (&json!(true), &json!([])), "{report}");
    service.stop();
}

/// One person, and no canary.
fn assert_counted(shop: &Shop<'_>, service: &Service) {
    let metrics = wait_until(WITHIN, "one person", || {
        let metrics = service.metrics();
        (metrics.sum("assent_segment_members", &[]) == Some(2.0)).then_some(metrics)
    });
    assert_eq!(metrics.sum("assent_subjects", &[]), Some(1.0));
    assert_eq!(metrics.sum("assent_live_keys", &[]), Some(2.0));
    assert_eq!(metrics.sum("assent_verdicts_total", &[]), Some(2.0), "of one click");
    assert_eq!(metrics.sum("assent_verdicts_total", &[("purpose", "canary")]), None);
    assert_eq!(metrics.sum("assent_opt_out_propagation_seconds_count", &[]), Some(0.0));
    assert!(metrics.sum("assent_outcomes_total", &[("outcome", "applied")]) > Some(24.0));
    assert!(metrics.sum("assent_tombstones_total", &[("purpose", "canary")]) >= Some(12.0));
    let listed = shop.run(&["--json", "segments", "list"]).ok().json_lines();
    assert_eq!(listed.len(), 2, "{listed:?}");
    let asked = shop.run(&["--json", "segments", "list", "--purpose", "canary"]).ok();
    assert_eq!(asked.json_lines().len(), 0, "it opted out last");
    assert!(shop.committed("contextual-segments").is_empty());
}

fn heartbeat(shop: &Shop<'_>) {
    let beat = |partition: i32| {
        let beat = Message::new(shop.topic("consent-changelog")).partition(partition);
        beat.key(format!("__assent_heartbeat_{partition}")).header("source", "cmp")
    };
    shop.kafka.produce((0..shop.partitions).map(beat));
}

/// The source speaks every second meanwhile.
pub fn while_it_speaks(shop: &Shop<'_>, act: impl FnOnce() + Send) {
    meanwhile(|| heartbeat(shop), act);
}

/// What the alert asks, but for the minutes.
fn is_late(canary: &Service) -> bool {
    got_through(canary, now_ms() - 5_000) < 4
}

#[test]
fn it_fails_behind_a_closed_gate_and_without_a_run_and_recovers_by_itself() {
    let kafka = kafka_or_skip!();
    let source =
        json!({"consent": {"sources": {"cmp": {"max_silence": "8s", "on_silence": "close"}}}});
    let shop = open(kafka, &source);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let canary = Service::start_canary(&shop);
    while_it_speaks(&shop, || await_through(&canary));
    await_failure(&canary, "assignment");
    assert!(is_late(&canary), "the source is silent, and so the gate is closed");
    while_it_speaks(&shop, || await_through(&canary));
    service.stop();
    await_failure(&canary, "assignment");
    assert!(is_late(&canary), "nothing is decided");
    let again = Service::start(&shop, "a");
    while_it_speaks(&shop, || await_through(&canary));
    canary.stop();
    again.stop();
}

#[test]
fn an_instance_has_the_canaries_of_its_partitions() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka, &json!({}));
    let first = Service::start_run(&shop, "a", &["--canary"]);
    first.await_ready();
    await_through(&first);
    let second = Service::start_run(&shop, "b", &["--canary"]);
    second.await_ready();
    let since = now_ms();
    wait_until(WITHIN, "each to have its own", || {
        let both = (got_through(&first, since), got_through(&second, since));
        (both == (2, 2)).then_some(())
    });
    second.stop();
    first.stop();
}

/// What a canary left that was killed between its opt-in and its opt-out.
fn left_in(shop: &Shop<'_>, lasts_ms: i64) {
    let id = "__assent_canary_0";
    let of_canary = json!({"age_band": "FROM_13_TO_15", "double_opt_in_at": null,
        "decisions": {"canary": {"expires_at": now_ms() + lasts_ms}}});
    let opt_in = with(consent(id, now_ms(), "GRANTED", &["canary"]), of_canary);
    shop.kafka.produce([shop.consent(&opt_in).partition(0)]);
    shop.kafka.produce([shop.click(&view(id)).partition(0)]);
    wait_until(WITHIN, "it in the segment", || is_live(shop).then_some(()));
}

fn is_live(shop: &Shop<'_>) -> bool {
    let key = pseudonym("canary", "__assent_canary_0");
    let records = shop.committed("segments.canary");
    let last = records.iter().rfind(|it| it.key.as_deref() == Some(key.as_bytes()));
    last.is_some_and(|it| it.value.is_some())
}

#[test]
fn what_a_killed_canary_leaves_ends_with_its_grant_or_with_the_next_round() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka, &json!({}));
    let service = Service::start(&shop, "a");
    service.await_ready();
    left_in(&shop, 3_000);
    wait_until(WITHIN, "its grant to end", || (!is_live(&shop)).then_some(()));
    left_in(&shop, 3_600_000);
    let round = shop.run(&["--json", "canary", "--once"]).ok().json_lines();
    assert_eq!(round.len(), 4);
    assert!(round.iter().all(|it| it["opt_out_seconds"].as_f64() < Some(10.0)), "{round:?}");
    assert!(!is_live(&shop));
    service.stop();
}

#[test]
fn nobody_gains_by_its_name_or_its_purpose() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka, &json!({}));
    let service = Service::start(&shop, "a");
    service.await_ready();
    let all = [&PURPOSES[..], &["canary"]].concat();
    let young = json!({"age_band": "FROM_13_TO_15"});
    let [zero, other] = ["__assent_canary_0", "__assent_canary_1"];
    kafka.produce([
        // A person who agrees to be the canary is none.
        shop.consent(&consent("kim", 1, "GRANTED", &["canary"])),
        // Who has the canary's name has no other purpose, and no band in which silence is consent.
        shop.consent(&with(consent(zero, 1, "GRANTED", &all), young.clone())).partition(0),
        shop.consent(&consent(zero, 2, "GRANTED", &["canary"])).partition(0),
        shop.erasure(zero).partition(0),
        // Nor is it anybody elsewhere.
        shop.consent(&with(consent(other, 3, "GRANTED", &["canary"]), young)).partition(0),
    ]);
    let signal = json!({"gpc": true});
    kafka.produce([
        shop.click(&view("kim")),
        shop.click(&with(view(zero), signal)).partition(0),
        shop.click(&view(other)).partition(0),
    ]);
    wait_until(WITHIN, "six dead letters", || {
        let dead = service.metrics().sum("assent_dead_letters_total", &[]);
        (dead == Some(6.0)).then_some(())
    });
    wait_until(WITHIN, "a click decided", || {
        let decided = service.metrics().sum("assent_outcomes_total", &[("outcome", "decided")]);
        (decided == Some(1.0)).then_some(())
    });
    assert!(shop.committed("segments.canary").is_empty());
    assert_eq!(service.metrics().sum("assent_subjects", &[]), Some(1.0), "kim");
    let report = shop.run(&["--json", "verify"]).json();
    assert_eq!(report["violations"], json!([]), "{report}");
    service.stop();
}

#[test]
fn a_rulebook_without_it_is_refused_and_says_what_to_write() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    for command in [&["canary"][..], &["run", "--canary"]] {
        let refused = shop.run(command);
        assert_eq!(refused.code, Some(78));
        assert!(refused.stderr.contains("canary: true"), "{}", refused.stderr);
    }
}
