//! A broker that is away for a minute, and as many connections as the front door has places: what is answered
//! 2xx is not lost, and nobody is kept out.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;

use super::platform::{KETCH, NOWHERE, ketch, map, open_platforms, records};
use super::*;

/// In each case as much as the front door has places for.
const CROWD: usize = 9_900;

/// What was answered: opt-outs with their requests, deliveries by number.
#[derive(Default)]
struct Answered {
    requests: Vec<serde_json::Value>,
    deliveries: Vec<i64>,
    refused: u64,
}

fn write(server: &Caller, source: &Caller, answered: &Mutex<Answered>, stop: &AtomicBool) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let body = json!({"subject_id": format!("minute-{}", number % 5), "scope": "all"});
        let sent = server.try_send("POST", "/v1/opt-out", &[], Some(&body));
        let word = if number % 2 == 0 { "denied" } else { "granted" };
        let delivery = ketch("kim@example.com", &json!({"offers": word}), 1_795_000_000 + number);
        let delivered = source.try_send("POST", "/v1/intake/ketch", &[], Some(&delivery));
        let mut answered = answered.lock().unwrap();
        for answer in [&sent, &delivered].into_iter().flatten() {
            assert!(matches!(answer.status, 202 | 503), "{answer:?}");
            if answer.status == 503 {
                answered.refused += 1;
                assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
            }
        }
        if let Some(answer) = sent.ok().filter(|answer| answer.status == 202) {
            answered.requests.push(answer.json());
        }
        if delivered.is_ok_and(|answer| answer.status == 202) {
            answered.deliveries.push(number);
        }
    }
}

#[test]
fn a_broker_that_is_away_for_a_minute_loses_nothing_that_was_answered() {
    ci_or_skip!();
    let kafka = own_kafka_or_skip!();
    let shop = open_platforms(&kafka, NOWHERE);
    let (run, serve) = (Service::start(&shop, "a"), Service::start_serving(&shop, "s", &[]));
    run.await_ready();
    let (server, source) = (Caller::of(&serve, SERVER), Caller::of(&serve, KETCH));
    map(&server, "kim@example.com", "kim");
    let (answered, is_over) = (Mutex::<Answered>::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| write(&server, &source, &answered, &is_over));
        let _ends_with_this = super::doubt::Stops(&is_over);
        std::thread::sleep(Duration::from_secs(4));
        kafka.kill();
        std::thread::sleep(Duration::from_mins(1));
        kafka.restart();
        let back = answered.lock().unwrap().requests.len();
        wait_until(WITHIN, "requests that are taken again", || {
            (answered.lock().unwrap().requests.len() > back + 5).then_some(())
        });
    });
    let answered = answered.into_inner().unwrap();
    assert!(answered.refused > 0, "nothing was refused");
    for request in &answered.requests {
        server.await_honored(request);
    }
    wait_until(WITHIN, "no commands left", || {
        crate::support::latest(&shop.committed("consent-intake-state")).is_empty().then_some(())
    });
    let last = records(&shop, "kim").pop().expect("a record");
    let since = last["decisions"][OFFERS]["since"].as_i64().unwrap() / 1_000 - 1_795_000_000;
    assert!(since >= *answered.deliveries.last().expect("a delivery"), "{since}");
    run.stop();
    serve.stop();
}

#[test]
fn ten_thousand_connections_keep_nobody_out() {
    ci_or_skip!();
    let kafka = kafka_or_skip!();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(most > 2 * CROWD as u64, "a limit of {most} descriptors is too low for this test");
    let wanted = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted).expect("allowed");
    let shop = open(kafka);
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    let half = format!("POST /v1/lookup HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SERVER}\r\n");
    let began = Instant::now();
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut connection = TcpStream::connect(&server.address).expect("a place");
        if number % 3 == 0 {
            connection.write_all(half.as_bytes()).expect("written");
        }
        crowd.push(connection);
    }
    let asked = Instant::now();
    for _ in 0..20 {
        assert_eq!(server.look_up("kim", OFFERS)["is_default"], true);
    }
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?} after {:?}", began.elapsed());
    drop(crowd);
    wait_until(WITHIN, "an answer after the crowd", || {
        (server.post("/v1/lookup", &json!({"purpose": OFFERS})).status == 200).then_some(())
    });
    serve.stop();
}
