//! Deliveries through kills and zombies: what was answered 2xx has its effect, and none has two.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;
use crate::serve::doubt::Stops;

/// The second at which a writer's first delivery is collected: each is a second later than the one before.
const FROM: i64 = 1_795_000_000;

/// Delivers until it is told to stop: each statement until it is answered 2xx, as a platform does. Notes what
/// was answered.
fn deliver(
    caller: &Caller,
    writer: usize,
    next: &Mutex<BTreeMap<usize, i64>>,
    stop: &AtomicBool,
    twice: bool,
) {
    loop {
        let number = next.lock().unwrap().get(&writer).copied().unwrap_or_default();
        let word = if number % 2 == 0 { "denied" } else { "granted" };
        let email = format!("writer-{writer}@example.com");
        let body = ketch(&email, &json!({"offers": word}), FROM + number);
        for _ in 0..=usize::from(twice) {
            loop {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let sent = caller.try_send("POST", "/v1/intake/ketch", &[], Some(&body));
                if sent.is_ok_and(|answer| answer.status == 202) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        next.lock().unwrap().insert(writer, number + 1);
    }
}

/// The last statement that was answered stands, each version once and without a gap, one for each statement
/// at most.
#[track_caller]
fn assert_once(shop: &Shop<'_>, writer: usize, answered: i64) {
    let records = records(shop, &format!("subject-{writer}"));
    let versions: Vec<i64> = records.iter().filter_map(|it| it["version"].as_i64()).collect();
    let in_order: Vec<i64> = (1..=versions.len() as i64).collect();
    assert_eq!(versions, in_order, "each version once");
    let since = |record: &serde_json::Value| {
        record["decisions"][OFFERS]["since"].as_i64().expect("a time") / 1_000 - FROM
    };
    let all: Vec<i64> = records.iter().map(since).collect();
    let each: Vec<i64> = (0..all.len() as i64).collect();
    assert_eq!(all, each, "each statement once, and none is missing");
    // One more may have been committed without its answer having come.
    let last = all.last().copied().expect("a record");
    assert!(last == answered - 1 || last == answered, "{last} after {answered}");
}

#[test]
fn whatever_ends_in_between_a_delivery_counts_once_and_none_is_lost() {
    let kafka = kafka_or_skip!();
    let shop = open_platforms(kafka, NOWHERE);
    let run = Service::start(&shop, "a");
    let next: Mutex<BTreeMap<usize, i64>> = Mutex::default();
    for round in 0..4 {
        let serve = Service::start_serving(&shop, "s", &[]);
        if round == 0 {
            let server = Caller::of(&serve, SERVER);
            for writer in 0..4 {
                map(&server, &format!("writer-{writer}@example.com"), &format!("subject-{writer}"));
            }
        }
        let source = Caller::of(&serve, KETCH);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (source, next, is_over) = (&source, &next, &is_over);
                scope.spawn(move || deliver(source, writer, next, is_over, writer == 3));
            }
            let _ends_with_this = Stops(&is_over);
            std::thread::sleep(Duration::from_secs(2));
            if round == 3 { serve.stop() } else { serve.kill() }
        });
    }
    let serve = Service::start_serving(&shop, "s", &[]);
    wait_until(WITHIN, "no commands left", || {
        crate::support::latest(&shop.committed("consent-intake-state")).is_empty().then_some(())
    });
    let answered = next.into_inner().unwrap();
    assert!(answered.values().sum::<i64>() > 12, "{answered:?}");
    for (writer, answered) in answered {
        assert_once(&shop, writer, answered);
    }
    for topic in ["consent-intake-state", "privacy-requests", "identity-map"] {
        for record in shop.committed(topic) {
            for bytes in [record.key, record.value].into_iter().flatten() {
                let text = String::from_utf8_lossy(&bytes);
                assert!(!text.contains("subject-") && !text.contains("writer-"), "{topic}: {text}");
            }
        }
    }
    run.stop();
    serve.stop();
}

#[test]
fn two_instances_share_deliveries_and_a_zombie_writes_nothing() {
    let kafka = kafka_or_skip!();
    let shop = open_platforms(kafka, NOWHERE);
    let run = Service::start(&shop, "a");
    let (first, second) =
        (Service::start_serving(&shop, "s1", &[]), Service::start_serving(&shop, "s2", &[]));
    let owned = |service: &Service| service.metrics().count("assent_intake_partitions", &[]);
    wait_until(WITHIN, "both own partitions", || {
        (owned(&first) == 2 && owned(&second) == 2).then_some(())
    });
    let server = Caller::of(&first, SERVER);
    for number in 0..12 {
        map(&server, &format!("shared-{number}@example.com"), &format!("shared-{number}"));
    }
    let callers = [&first, &second].map(|service| Caller::of(service, KETCH));
    let say = |caller: &Caller, number: i64, word: &str, at: i64| {
        let body = ketch(&format!("shared-{number}@example.com"), &json!({"offers": word}), at);
        caller.post("/v1/intake/ketch", &body).ok(202)
    };
    // The same delivery comes to both.
    for number in 0..12 {
        for caller in &callers {
            say(caller, number, "granted", FROM);
        }
    }
    let settled = || {
        wait_until(WITHIN, "no commands left", || {
            let left = crate::support::latest(&shop.committed("consent-intake-state"));
            left.is_empty().then_some(())
        });
    };
    settled();
    first.sigstop();
    wait_until(WITHIN, "the other one owns all", || (owned(&second) == 4).then_some(()));
    for number in 0..12 {
        say(&callers[1], number, "denied", FROM + 1);
    }
    first.sigcont();
    for number in 0..12 {
        say(&callers[0], number, "denied", FROM + 1);
    }
    settled();
    for number in 0..12 {
        let all = records(&shop, &format!("shared-{number}"));
        let words: Vec<&str> =
            all.iter().filter_map(|it| it["decisions"][OFFERS]["status"].as_str()).collect();
        assert_eq!(words, ["GRANTED", "DENIED"], "shared-{number}");
    }
    run.stop();
    first.stop();
    second.stop();
}
