//! The default whenever in doubt: through kills and restarts of everything that can be killed, and never later
//! than 100 ms after an opt-out is committed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;

use super::*;

/// docs/contract/http.md: no look-up answers with the segment later than this after the commit.
const SEEN_WITHIN: Duration = Duration::from_millis(100);

#[test]
fn no_look_up_has_the_segment_100_ms_after_the_commit_under_load() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let (run, serve) = (Service::start(&shop, "a"), Service::start_serving(&shop, "s", &[]));
    run.await_ready();
    let server = Caller::of(&serve, SERVER);
    let subjects: Vec<String> = (0..12).map(|number| format!("seen-{number}")).collect();
    for subject in &subjects {
        bring_in(&server, subject);
    }
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (over, asked, address) = (&over, &asked, server.address.clone());
            scope.spawn(move || load(&address, worker, over, asked));
        }
        let _ends_with_this = Stops(&over);
        for subject in &subjects {
            watch_opt_out(&server, subject);
        }
    });
    assert!(asked.load(Ordering::Relaxed) > 500, "there was no load");
    run.stop();
    serve.stop();
}

/// Ends the load, also where a check failed.
pub struct Stops<'a>(pub &'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Look-ups as fast as one kept connection takes them, with a pause in which others get the processor.
fn load(address: &str, worker: usize, stop: &AtomicBool, asked: &AtomicUsize) {
    let mut connection = TcpStream::connect(address).expect("connected");
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let body = json!({"subject_id": format!("seen-{worker}"), "purpose": OFFERS}).to_string();
        let length = body.len();
        let request = format!(
            "POST /v1/lookup HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {SERVER}\r\ncontent-type: \
             application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        connection.write_all(request.as_bytes()).expect("written");
        assert!(connection.read(&mut buffer).expect("an answer") > 0, "the connection was closed");
        asked.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// From the moment at which the register says honored, which is after the commit, no look-up that is asked
/// for has the segment any more; and none that ends over 100 ms after the first default has it either.
fn watch_opt_out(server: &Caller, subject: &str) {
    let body = json!({"subject_id": subject, "scope": "all"});
    let accepted = server.post("/v1/opt-out", &body).ok(202);
    let path = format!("/v1/requests/{}", accepted["request_id"].as_str().unwrap());
    let mut honored_at: Option<Instant> = None;
    let deadline = Instant::now() + WITHIN;
    loop {
        if honored_at.is_none() && server.get(&path).ok(200)["status"] == "honored" {
            honored_at = Some(Instant::now());
        }
        let asked_at = Instant::now();
        let found = server.look_up(subject, OFFERS);
        if let Some(honored_at) = honored_at {
            assert!(asked_at < honored_at || found["is_default"] == true, "{subject}: {found}");
            if honored_at.elapsed() > 3 * SEEN_WITHIN {
                return;
            }
        }
        assert!(Instant::now() < deadline, "{subject} was not honored");
    }
}

/// A tombstone that a reader of committed records has seen is seen at the front door 100 ms later, on an
/// instance that had nothing to do with it.
#[test]
fn what_a_reader_sees_a_look_up_sees_100_ms_later() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    for number in 0..10 {
        let subject = format!("plain-{number}");
        let key = crate::support::pseudonym(OFFERS, &subject);
        let written = shop.assignment(OFFERS, &key, &["lookers"], now_ms() + 3_600_000);
        kafka.produce([written]);
        await_segment(&server, &subject, OFFERS);
        // Acknowledged outside of a transaction: readable from then on.
        kafka.produce([crate::support::Message::new(shop.segments(OFFERS)).key(key.as_str())]);
        let removed = Instant::now();
        while removed.elapsed() < 3 * SEEN_WITHIN {
            let found = server.look_up(&subject, OFFERS);
            let ended = removed.elapsed();
            assert!(
                found["is_default"] == true || ended <= SEEN_WITHIN,
                "after {ended:?}: {found}"
            );
        }
    }
    serve.stop();
}

#[test]
fn expired_unreadable_and_aborted_values_are_no_segments() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    let of = |subject: &str, expires: i64| {
        let key = crate::support::pseudonym(OFFERS, subject);
        shop.assignment(OFFERS, &key, &["lookers"], expires)
    };
    kafka.produce([of("expires", now_ms() + 4_000), of("stays", now_ms() + 3_600_000)]);
    await_segment(&server, "expires", OFFERS);
    await_segment(&server, "stays", OFFERS);
    let at = now_ms() + 4_100;
    wait_until(WITHIN, "the end of its lease", || (now_ms() > at).then_some(()));
    assert_eq!(server.look_up("expires", OFFERS)["is_default"], true);
    let key = crate::support::pseudonym(OFFERS, "stays");
    let garbage = crate::support::Message::new(shop.segments(OFFERS)).key(key.as_str());
    kafka.produce([garbage.value("not an assignment")]);
    wait_until(WITHIN, "the default for what can't be read", || {
        (server.look_up("stays", OFFERS)["is_default"] == true).then_some(())
    });
    let keys = serve.metrics().sum("assent_lookup_copy_keys", &[("purpose", OFFERS)]);
    let member = serve.metrics().sum("assent_group_member", &[]);
    assert_eq!(member, None, "it is no pipeline that stands still");
    assert!(keys.is_some_and(|keys| keys <= 1.0), "{keys:?}");
    serve.stop();
}

#[test]
fn a_broker_that_is_away_leaves_the_default_and_loses_nothing_that_was_accepted() {
    let kafka = own_kafka_or_skip!();
    let shop = open(&kafka);
    let (run, serve) = (Service::start(&shop, "a"), Service::start_serving(&shop, "s", &[]));
    run.await_ready();
    let server = Caller::of(&serve, SERVER);
    bring_in(&server, "kim");
    bring_in(&server, "lee");
    kafka.kill();
    let killed = Instant::now();
    std::thread::sleep(Duration::from_millis(150));
    for _ in 0..20 {
        assert_eq!(server.look_up("kim", OFFERS)["is_default"], true, "{:?}", killed.elapsed());
    }
    let refused = [
        server.post("/v1/events", &event("v")),
        server.post("/v1/opt-out", &json!({"subject_id": "kim", "scope": "all"})),
        server.put("/v1/consent/lee", &statement("DENIED", &[OFFERS])),
    ];
    for answer in refused {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    }
    let (status, body) = serve.readyz();
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    kafka.restart();
    await_segment(&server, "kim", OFFERS);
    // What was refused was not done.
    assert_eq!(server.get("/v1/consent/kim").ok(200)["decisions"][OFFERS]["status"], "GRANTED");
    let accepted = wait_until(WITHIN, "an accepted opt-out", || {
        let answer = server.post("/v1/opt-out", &json!({"subject_id": "kim", "scope": "all"}));
        (answer.status == 202).then(|| answer.json())
    });
    server.await_honored(&accepted);
    assert_eq!(server.look_up("kim", OFFERS)["is_default"], true);
    wait_until(WITHIN, "readiness", || (serve.readyz().0 == 200).then_some(()));
    run.stop();
    serve.stop();
}

#[test]
fn after_a_restart_of_either_the_answers_are_right_or_the_default() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let run = Service::start(&shop, "a");
    run.await_ready();
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    bring_in(&server, "kim");
    bring_in(&server, "lee");
    run.kill();
    // Assent is down: an opt-out is accepted, and not honored before it decides again.
    let body = json!({"subject_id": "kim", "scope": "all"});
    let accepted = server.post("/v1/opt-out", &body).ok(202);
    let path = format!("/v1/requests/{}", accepted["request_id"].as_str().unwrap());
    assert_eq!(server.get(&path).ok(200)["status"], "received");
    serve.kill();
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    assert_eq!(server.get(&path).ok(200)["status"], "received");
    let run = Service::start(&shop, "a");
    let honored = server.await_honored(&accepted);
    assert!(honored["audit"]["sequence"].is_i64(), "{honored}");
    for _ in 0..10 {
        assert_eq!(server.look_up("kim", OFFERS)["is_default"], true);
    }
    await_segment(&server, "lee", OFFERS);
    run.stop();
    serve.stop();
}

#[test]
fn a_rotation_of_keys_leaves_nobody_out() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let (run, serve) = (Service::start(&shop, "a"), Service::start_serving(&shop, "s", &[]));
    run.await_ready();
    let server = Caller::of(&serve, SERVER);
    bring_in(&server, "kim");
    let accepted =
        server.post("/v1/opt-out", &json!({"subject_id": "lee", "scope": "all"})).ok(202);
    server.await_honored(&accepted);
    shop.run(&["keys", "rotate"]).ok();
    wait_until(WITHIN, "the old key's end", || {
        let live = crate::support::latest(&shop.committed("segments.personalized-offers"));
        let new = crate::support::pseudonym(OFFERS, "kim").into_bytes();
        (live.len() == 1 && !live.contains_key(&new)).then_some(())
    });
    await_segment(&server, "kim", OFFERS);
    // The register knows who opted out under the old key, too.
    let after = server.look_up("lee", OFFERS);
    assert_eq!(after["opt_out"]["honored"], true, "{after}");
    let accepted =
        server.post("/v1/opt-out", &json!({"subject_id": "kim", "scope": "all"})).ok(202);
    server.await_honored(&accepted);
    assert_eq!(server.look_up("kim", OFFERS)["is_default"], true);
    run.stop();
    serve.stop();
}
