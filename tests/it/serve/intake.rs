//! Changes of consent through kills and zombies: what was answered 202 has its effect, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;

/// The versions of each subject's records on the changelog, as written.
fn versions(shop: &Shop<'_>) -> BTreeMap<String, Vec<i64>> {
    let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for record in shop.committed("consent-changelog") {
        let Some(value) = &record.value else { continue };
        let read = crate::support::decode("consent_record", value);
        let of_subject = versions.entry(record.key_text().to_owned()).or_default();
        of_subject.push(read["version"].as_i64().unwrap());
    }
    versions
}

/// No subject's id is in what the intake keeps for itself, or in the register.
fn assert_sealed(shop: &Shop<'_>, id: &str) {
    for topic in ["consent-intake-state", "privacy-requests"] {
        for record in shop.committed(topic) {
            for bytes in [record.key, record.value].into_iter().flatten() {
                let holds = bytes.windows(id.len()).any(|window| window == id.as_bytes());
                assert!(!holds, "{topic} holds {id}");
            }
        }
    }
}

#[test]
fn whatever_ends_in_between_a_change_is_made_once_and_none_is_lost() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let run = Service::start(&shop, "a");
    let mut accepted: Vec<(String, serde_json::Value)> = Vec::new();
    for round in 0..4 {
        let serve = Service::start_serving(&shop, "s", &[]);
        let server = Caller::of(&serve, SERVER);
        let (over, done) = (AtomicBool::new(false), std::sync::Mutex::new(&mut accepted));
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (over, done, server) = (&over, &done, server.clone());
                scope.spawn(move || {
                    for number in 0.. {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        let subject = format!("subject-{writer}-{}", number % 3);
                        let body = json!({"subject_id": subject, "scope": "all"});
                        let sent = server.try_send("POST", "/v1/opt-out", &[], Some(&body));
                        if let Ok(answer) = sent
                            && answer.status == 202
                        {
                            done.lock().unwrap().push((subject, answer.json()));
                        }
                    }
                });
            }
            let _ends_with_this = super::doubt::Stops(&over);
            wait_until(Duration::from_mins(1), "changes that were accepted", || {
                (done.lock().unwrap().len() >= 10 * (round + 1)).then_some(())
            });
            std::thread::sleep(Duration::from_millis(300));
            if round == 3 { serve.stop() } else { serve.kill() }
        });
    }
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    assert!(accepted.len() >= 40, "{}", accepted.len());
    for (_, request) in &accepted {
        server.await_honored(request);
    }
    let written = versions(&shop);
    let subjects: BTreeSet<&String> = accepted.iter().map(|(subject, _)| subject).collect();
    for subject in subjects {
        let of_subject = &written[subject];
        let in_order: Vec<i64> = (1..=of_subject.len() as i64).collect();
        assert_eq!(of_subject, &in_order, "each version once, without a gap");
    }
    // A request may be in the register without its answer having come: never the other way round.
    let total: usize = written.values().map(Vec::len).sum();
    assert!(total >= accepted.len(), "{total} < {}", accepted.len());
    let requests: BTreeSet<Vec<u8>> =
        shop.committed("privacy-requests").into_iter().filter_map(|it| it.key).collect();
    assert_eq!(total, requests.len(), "one record a request");
    assert_sealed(&shop, "subject-0-0");
    wait_until(WITHIN, "no commands left", || {
        crate::support::latest(&shop.committed("consent-intake-state")).is_empty().then_some(())
    });
    run.stop();
    serve.stop();
}

#[test]
fn two_instances_share_the_work_and_a_zombie_writes_nothing() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let run = Service::start(&shop, "a");
    let (first, second) =
        (Service::start_serving(&shop, "s1", &[]), Service::start_serving(&shop, "s2", &[]));
    let owned = |service: &Service| service.metrics().count("assent_intake_partitions", &[]);
    wait_until(WITHIN, "both own partitions", || {
        (owned(&first) == 2 && owned(&second) == 2).then_some(())
    });
    let (one, other) = (Caller::of(&first, SERVER), Caller::of(&second, SERVER));
    let opt_out = |caller: &Caller, subject: &str| {
        caller.post("/v1/opt-out", &json!({"subject_id": subject, "scope": "all"})).ok(202)
    };
    for number in 0..20 {
        let subject = format!("shared-{number}");
        let accepted = opt_out(if number % 2 == 0 { &one } else { &other }, &subject);
        // Whoever is asked knows of it.
        let asked = if number % 3 == 0 { &one } else { &other };
        asked.await_honored(&accepted);
    }
    first.sigstop();
    wait_until(WITHIN, "the other one owns all", || (owned(&second) == 4).then_some(()));
    for number in 0..20 {
        let accepted = opt_out(&other, &format!("shared-{number}"));
        other.await_honored(&accepted);
    }
    first.sigcont();
    let accepted = opt_out(&one, "after-all");
    other.await_honored(&accepted);
    wait_until(WITHIN, "both own partitions again", || {
        (owned(&first) == 2 && owned(&second) == 2).then_some(())
    });
    for (subject, versions) in versions(&shop) {
        let expected: &[i64] = if subject == "after-all" { &[1] } else { &[1, 2] };
        assert_eq!(versions, expected, "{subject}");
    }
    run.stop();
    first.stop();
    second.stop();
}

#[test]
fn what_others_wrote_is_the_base_and_a_higher_version_is_gone_above() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let run = Service::start(&shop, "a");
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    kafka.produce([shop.consent(&crate::support::consent("kim", 7, "GRANTED", &[OFFERS, ADS]))]);
    let accepted = server.post("/v1/opt-out", &json!({"subject_id": "kim", "scope": ADS})).ok(202);
    server.await_honored(&accepted);
    assert_eq!(versions(&shop)["kim"], [7, 8]);
    let consent = server.get("/v1/consent/kim").ok(200);
    assert_eq!(consent["decisions"][OFFERS]["status"], "GRANTED");
    assert_eq!(consent["decisions"][ADS]["status"], "WITHDRAWN");

    // The state stands at 9 although the log's last record says 3: what is merged above 3 is superseded.
    kafka.produce([
        shop.consent(&crate::support::consent("lee", 9, "GRANTED", &[OFFERS])),
        shop.consent(&crate::support::consent("lee", 3, "GRANTED", &[OFFERS])),
    ]);
    let accepted =
        server.post("/v1/opt-out", &json!({"subject_id": "lee", "scope": "all"})).ok(202);
    server.await_honored(&accepted);
    assert_eq!(versions(&shop)["lee"].last(), Some(&10));
    run.stop();
    serve.stop();
}
