//! Whom nobody maps: held, told, applied once the mapping comes; and an erasure takes identifiers along.

use assent::serve::intake::kept::{HELD_FOR, Held};
use assent::serve::intake::seal;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Span, Timestamp};
use serde_json::json;

use super::*;
use crate::support::{self, Message};

fn pending(shop: &Shop<'_>) -> Vec<serde_json::Value> {
    let ended = shop.run(&["intake", "pending", "--json"]).ok();
    let lines = ended.stdout.lines();
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn what_nobody_maps_is_held_until_the_mapping_comes() {
    let kafka = kafka_or_skip!();
    let shop = open_platforms(kafka, NOWHERE);
    let run = Service::start(&shop, "a");
    let serve = Service::start_serving(&shop, "s", &[]);
    let (server, source) = (Caller::of(&serve, SERVER), Caller::of(&serve, KETCH));
    let at = now_ms() / 1_000 - 60;
    for (email, word) in [("lee@example.com", "denied"), ("max@example.com", "granted")] {
        let body = ketch(email, &json!({"offers": word}), at);
        assert_eq!(source.post("/v1/intake/ketch", &body).ok(202)["held"], 1);
        // The platform sends it again: it is held once.
        source.post("/v1/intake/ketch", &body).ok(202);
    }
    let held = || serve.metrics().count("assent_intake_held", &[]);
    wait_until(WITHIN, "two that are held", || (held() == 2).then_some(()));
    let listed = pending(&shop);
    assert_eq!(listed.len(), 2, "{listed:?}");
    for one in &listed {
        assert_eq!((&one["source"], &one["kind"]), (&json!("ketch"), &json!("email")));
        assert_eq!(one["identity"].as_str().map(str::len), Some(22));
        let kept = one["held_until"].as_i64().unwrap() - one["received_at"].as_i64().unwrap();
        assert_eq!(kept, 7 * 86_400_000);
        assert!(!one.to_string().contains("example.com"), "{one}");
    }
    assert!(records(&shop, "lee").is_empty());
    // Through a kill, and by a file.
    serve.kill();
    let serve = Service::start_serving(&shop, "s", &[]);
    let file = shop.folder().join("identities.csv");
    std::fs::write(&file, "kind,identifier,subject_id\nemail,Lee@Example.com,lee\n").unwrap();
    let imported = shop.run(&["identities", "import", "identities.csv", "--json"]).ok();
    assert_eq!(imported.stdout.trim(), r#"{"imported":1}"#);
    let said = wait_until(WITHIN, "what was held of lee", || records(&shop, "lee").pop());
    assert_eq!(said["decisions"][OFFERS]["status"], "DENIED");
    assert_eq!(said["decisions"][OFFERS]["since"], at * 1_000);
    let server = Caller { address: serve.front_door(), ..server };
    map(&server, "max@example.com", "max");
    wait_until(WITHIN, "what was held of max", || records(&shop, "max").pop());
    wait_until(WITHIN, "nothing that is held", || pending(&shop).is_empty().then_some(()));
    let labels = [("source", "ketch"), ("outcome", "applied")];
    assert_eq!(serve.metrics().count("assent_intake_held_total", &labels), 2);
    run.stop();
    serve.stop();
}

/// The one hold that there is gets a receipt so long ago that it ends this soon.
fn make_it_end(kafka: &Kafka, shop: &Shop<'_>, within: Span) {
    let keys = KeyRing::new(&Keyset::first(support::secret().try_into().unwrap()), &[]);
    let held = support::latest(&shop.committed("consent-intake-state"));
    let held: Vec<_> = held.into_iter().filter(|(key, _)| key.starts_with(b"h/")).collect();
    let [(key, record)] = &held[..] else { panic!("{} holds", held.len()) };
    let plain = seal::open_lasting(&keys, key, record.value.as_deref().unwrap()).unwrap();
    let mut held: Held = serde_json::from_slice(&plain).unwrap();
    held.received_at = Timestamp(now_ms()) + within - HELD_FOR;
    let sealed = seal::seal_lasting(&keys, key, &held.encode()).unwrap();
    let message = Message::new(shop.topic("consent-intake-state")).partition(record.partition);
    kafka.produce([message.key(key.clone()).value(sealed)]);
}

#[test]
fn what_nobody_mapped_in_a_week_ends_unapplied() {
    let kafka = kafka_or_skip!();
    let shop = open_platforms(kafka, NOWHERE);
    let run = Service::start(&shop, "a");
    let serve = Service::start_serving(&shop, "s", &[]);
    let source = Caller::of(&serve, KETCH);
    let body = ketch("max@example.com", &json!({"offers": "granted"}), now_ms() / 1_000 - 60);
    assert_eq!(source.post("/v1/intake/ketch", &body).ok(202)["held"], 1);
    serve.stop();
    make_it_end(kafka, &shop, Span(15_000));
    let serve = Service::start_serving(&shop, "s", &[]);
    wait_until(WITHIN, "one that is held", || {
        (serve.metrics().count("assent_intake_held", &[]) == 1).then_some(())
    });
    assert_eq!(pending(&shop).len(), 1);
    let expired = [("source", "ketch"), ("outcome", "expired")];
    wait_until(WITHIN, "its end", || {
        (serve.metrics().count("assent_intake_held_total", &expired) == 1).then_some(())
    });
    assert!(pending(&shop).is_empty());
    let server = Caller::of(&serve, SERVER);
    map(&server, "max@example.com", "max");
    map(&server, "lee@example.com", "lee");
    let source = Caller::of(&serve, KETCH);
    let later = ketch("lee@example.com", &json!({"offers": "granted"}), now_ms() / 1_000 - 60);
    wait_until(WITHIN, "the mappings", || {
        (source.post("/v1/intake/ketch", &later).ok(202)["held"] == 0).then_some(())
    });
    wait_until(WITHIN, "what comes after the mapping", || records(&shop, "lee").pop());
    assert!(records(&shop, "max").is_empty(), "a grant of more than a week ago was applied");
    run.stop();
    serve.stop();
}

#[test]
fn an_erasure_takes_the_identifiers_along() {
    let kafka = kafka_or_skip!();
    let shop = open_platforms(kafka, NOWHERE);
    let run = Service::start(&shop, "a");
    let serve = Service::start_serving(&shop, "s", &[]);
    let (server, source) = (Caller::of(&serve, SERVER), Caller::of(&serve, KETCH));
    for (email, subject) in [
        ("kim@example.com", "kim"),
        ("kim@work.example", "kim"),
        ("lee@example.com", "lee"),
        ("mo@example.com", "mo"),
    ] {
        map(&server, email, subject);
    }
    let at = now_ms() / 1_000 - 60;
    let say = |email: &str, at: i64| {
        source.post("/v1/intake/ketch", &ketch(email, &json!({"offers": "granted"}), at)).ok(202)
    };
    wait_until(WITHIN, "the mappings", || (say("kim@example.com", at)["held"] == 0).then_some(()));
    let known = || support::latest(&shop.committed("identity-map")).len();
    assert_eq!(known(), 4);
    let accepted = server.delete("/v1/subjects/kim").ok(202);
    server.await_honored(&accepted);
    assert_eq!(known(), 2, "both of kim's are gone with the erasure");
    assert_eq!(say("kim@example.com", at + 1)["held"], 1);
    // Another producer's erasure, which knows no identifiers.
    say("lee@example.com", at);
    shop.run(&["consent", "erase", "lee"]).ok();
    wait_until(WITHIN, "the end of lee's identifier", || (known() == 1).then_some(()));
    assert_eq!(say("lee@example.com", at + 1)["held"], 1);
    assert_eq!(say("mo@example.com", at)["held"], 0);
    run.stop();
    serve.stop();
}

#[test]
fn a_file_that_is_wrong_maps_nobody() {
    let kafka = kafka_or_skip!();
    let shop = open_platforms(kafka, NOWHERE);
    let import = |text: &str| {
        std::fs::write(shop.folder().join("i.csv"), text).unwrap();
        shop.run(&["identities", "import", "i.csv"])
    };
    for (text, expect) in [
        ("email,a@b.c,kim\n", "i.csv:1: the first line must be kind,identifier,subject_id"),
        ("kind,identifier,subject_id\nemail,a@b.c,kim\nemail,x\n", "i.csv:3: a line has three"),
        ("kind,identifier,subject_id\nEmail,a@b.c,kim\n", "i.csv:2: kind: `Email` is not a kind"),
        ("kind,identifier,subject_id\nemail, ,kim\n", "i.csv:2: identifier must not be empty"),
        ("kind,identifier,subject_id\nemail,a@b.c,__assent_x\n", "i.csv:2: subject_id must have"),
    ] {
        let ended = import(text);
        assert_eq!(ended.code, Some(65), "{}", ended.stderr);
        assert!(ended.stderr.contains(expect), "{}", ended.stderr);
        assert!(!ended.stderr.contains("a@b.c"), "{}", ended.stderr);
    }
    assert_eq!(shop.run(&["identities", "import", "none.csv"]).code, Some(65));
    assert!(shop.committed("identity-map").is_empty());
}
