//! The log tells what runs, and each change once.

use serde_json::{Value, json};

use super::{WITHIN, await_line, lines};
use crate::support::{Plan, Service, Shop, consent, view, wait_until};

const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];

fn has(line: &Value, field: &str) -> bool {
    line[field].is_string() || line[field].is_number()
}

#[test]
fn one_line_at_the_start_and_one_at_each_change() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan::of_lookers("log-1", 1));
    let first = Service::start(&shop, "a");
    first.await_ready();
    let started = await_line(&first, "assent starts");
    for field in ["version", "revision", "rulebook_sha256"] {
        assert!(has(&started, field), "{field}: {started}");
    }
    assert_eq!(started["rulebook"], "log-1");
    assert_eq!(started["key_version"], 1);
    assert_eq!(started["group"], shop.group_id());
    assert_eq!(started["brokers"], kafka.bootstrap());
    assert_eq!(started["topics.clickstream"], shop.topic("clickstream"));
    assert_eq!(started["topics.segments"], shop.topic("segments.{purpose}"));
    assert_eq!(lines(&first, "assent starts").len(), 1);
    assert_eq!(await_line(&first, "partitions assigned")["partitions"], "[0, 1, 2, 3]");
    await_line(&first, "gate open");

    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES))]);
    kafka.produce([shop.click(&view("kim"))]);
    wait_until(WITHIN, "kim assigned", || {
        (first.metrics().sum("assent_live_keys", &[]) == Some(2.0)).then_some(())
    });

    let second = Service::start(&shop, "b");
    second.await_ready();
    assert_eq!(await_line(&first, "partitions given back")["partitions"], "[0, 1, 2, 3]");
    second.stop();

    assert!(shop.run(&["keys", "rotate"]).code == Some(0));
    let changed = await_line(&first, "the keyset changed");
    assert_eq!((&changed["before"], &changed["active"]), (&json!(1), &json!(2)));
    for edge in ["sweep begun", "sweep done"] {
        let line = wait_until(WITHIN, edge, || {
            lines(&first, edge).into_iter().find(|line| line["of"] == "keys")
        });
        assert!(line["partitions"].is_string(), "{line}");
    }
    first.sigterm();
    await_line(&first, "stopping: committing the open batches, then leaving the group");
    await_line(&first, "ended");
    let log = first.log();
    assert!(!log.contains("kim"), "no raw id in it: {log}");
}

#[test]
fn a_new_rulebook_is_swept_and_the_sweep_is_told() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan::of_lookers("log-1", 1));
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES))]);
    kafka.produce([shop.click(&view("kim"))]);
    wait_until(WITHIN, "kim assigned", || {
        (service.metrics().sum("assent_live_keys", &[]) == Some(2.0)).then_some(())
    });
    service.stop();
    let next = Plan::of_lookers("log-2", 2).rulebook.expect("a rulebook");
    std::fs::write(shop.folder().join("rulebook.yaml"), next).expect("written");
    let service = Service::start(&shop, "a");
    service.await_ready();
    assert_eq!(await_line(&service, "sweep begun")["of"], "rulebook");
    assert_eq!(await_line(&service, "sweep done")["of"], "rulebook");
    service.stop();
}

#[test]
fn a_stop_is_printed_once_in_the_format_of_the_log() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 1, ..Plan::default() });
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce((0..8).map(|_| shop.click(&view("kim"))));
    wait_until(WITHIN, "decided", || {
        (service.metrics().count("assent_outcomes_total", &[("outcome", "decided")]) == 8)
            .then_some(())
    });
    service.stop();
    kafka.produce((0..8).map(|_| shop.click(&view("kim"))));
    kafka.delete_records(&shop.topic("clickstream"), &[(0, 12)].into());
    let what = "offsets 8 to 11";
    for format in ["text", "json"] {
        let ended = shop.run(&["--log-format", format, "run"]);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let said: Vec<&str> = ended.stderr.lines().filter(|line| line.contains(what)).collect();
        assert_eq!(said.len(), 1, "{format}: {}", ended.stderr);
        if format == "json" {
            let line: Value = serde_json::from_str(said[0]).expect("a JSON line");
            assert_eq!((&line["level"], &line["exit"]), (&json!("ERROR"), &json!(1)));
        } else {
            assert!(said[0].starts_with("assent: "), "{}", said[0]);
        }
    }
}
