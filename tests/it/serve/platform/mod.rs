//! Consent platforms post to a real Kafka: what they say is merged once, held where nobody is mapped, and
//! read back where it is a hint.

mod api;
mod held;
mod kills;
mod reconciled;
mod refused;

use serde_json::json;

use super::*;

/// The secrets of the sources.
pub const ONETRUST: &str = "secret-of-onetrust-alone";
pub const TRUSTARC: &str = "secret-of-trustarc-alone";
pub const ZIGPOLL: &str = "secret-of-zigpoll-alone";
pub const KETCH: &str = "secret-of-ketch-alone";

/// The ids of purposes at OneTrust.
pub const THEIR_ADS: &str = "ed2b82e3-db0b-4481-a55e-4a3d0cc57891";
pub const THEIR_OFFERS: &str = "0f5d4c1e-77aa-4d25-9a30-1f3f2f1f0a11";

/// A shop with all four sources; `api`: where the lists of two of them are.
pub fn open_platforms<'k>(kafka: &'k Kafka, api: &str) -> Shop<'k> {
    let api = json!({"url": api, "token_file": "api.token"});
    let purposes = json!({THEIR_ADS: ADS, THEIR_OFFERS: OFFERS});
    let source = |secret: &str, rest: serde_json::Value| {
        crate::support::with(json!({"secret_file": secret, "identifier_kind": "email"}), rest)
    };
    let intake = json!({"intake": {"sources": {
        "onetrust": source("onetrust.secret", json!({"purposes": purposes, "api": api})),
        "trustarc": source("trustarc.secret", json!({
            "purposes": {"Sale or sharing": ADS}, "api": api,
            "statuses": {"OPT_OUT": "WITHDRAWN", "OPT_IN": "GRANTED"},
        })),
        "zigpoll": source("zigpoll.secret", json!({
            "age_questions": {"child-age": {"6 to 9": "UNDER_13"}},
        })),
        "ketch": source("ketch.secret", json!({
            "purposes": {"advertising": ADS, "offers": OFFERS},
        })),
    }}});
    let shop = open_with_all(kafka, &json!({}), &intake);
    for (file, text) in [
        ("onetrust.secret", ONETRUST),
        ("trustarc.secret", TRUSTARC),
        ("zigpoll.secret", ZIGPOLL),
        ("ketch.secret", KETCH),
        ("api.token", api::TOKEN),
    ] {
        std::fs::write(shop.folder().join(file), text).expect("written");
    }
    shop
}

/// An address where nobody listens.
pub const NOWHERE: &str = "http://127.0.0.1:9";

pub fn map(server: &Caller, email: &str, subject: &str) {
    let body = json!({"kind": "email", "identifier": email, "subject_id": subject});
    // As a client does: 503 says that nothing was written, and when to try again.
    let answer = wait_until(Duration::from_mins(1), "an answer to a mapping", || {
        Some(server.put("/v1/identities", &body)).filter(|answer| answer.status != 503)
    });
    answer.ok(202);
}

/// What Ketch sends; `at` in seconds.
pub fn ketch(email: &str, purposes: &serde_json::Value, at: i64) -> serde_json::Value {
    json!({
        "apiVersion": "consent/v1", "kind": "ConsentRequest",
        "request": {
            "identities": [{"identitySpace": "email", "identityValue": email}],
            "purposes": purposes, "collectedAt": at,
        },
    })
}

/// A receipt of OneTrust.
pub fn receipt(email: &str, purposes: &[(&str, &str)], at: &str) -> serde_json::Value {
    let purposes = purposes.iter().map(|(id, word)| json!({"Id": id, "TransactionType": word}));
    json!({
        "identifier": email, "interactionDate": at, "test": false,
        "purposes": purposes.collect::<Vec<_>>(),
    })
}

/// The records of a subject on the changelog.
pub fn records(shop: &Shop<'_>, subject: &str) -> Vec<serde_json::Value> {
    let all = shop.committed("consent-changelog").into_iter();
    let of_subject = all.filter(|record| record.key_text() == subject);
    let values = of_subject.filter_map(|record| record.value);
    values.map(|value| crate::support::decode("consent_record", &value)).collect()
}

#[test]
fn what_platforms_say_is_merged_and_never_raises_what_they_do_not_know() {
    let kafka = kafka_or_skip!();
    let shop = open_platforms(kafka, NOWHERE);
    let (run, serve) = (Service::start(&shop, "a"), Service::start_serving(&shop, "s", &[]));
    let server = Caller::of(&serve, SERVER);
    let [onetrust, zigpoll, ketch_caller] =
        [ONETRUST, ZIGPOLL, KETCH].map(|secret| Caller::of(&serve, secret));
    bring_in(&server, "kim");
    map(&server, "Kim@Example.com", "kim");
    let past = now_ms() / 1_000 - 86_400;
    let late = ketch("kim@example.com", &json!({"advertising": "denied"}), past);
    assert_eq!(ketch_caller.post("/v1/intake/ketch", &late).ok(202)["taken"], 1);
    assert_eq!(records(&shop, "kim").len(), 1, "it is older than what stands");
    let out =
        receipt(" KIM@example.com", &[(THEIR_ADS, "OPT_OUT")], &(now_ms() / 1_000).to_string());
    assert_eq!(
        onetrust.post("/v1/intake/onetrust", &out).ok(202),
        json!({"taken": 1, "held": 0, "known": 0})
    );
    wait_until(WITHIN, "the default", || {
        (server.look_up("kim", ADS)["is_default"] == true).then_some(())
    });
    assert_eq!(server.look_up("kim", OFFERS)["is_default"], false);
    let consent = server.get("/v1/consent/kim").ok(200);
    assert_eq!(consent["decisions"][ADS]["status"], "WITHDRAWN");
    assert_eq!(consent["decisions"][OFFERS]["status"], "GRANTED");
    assert_eq!(consent["age_band"], "FROM_18");
    // The same again is known, and makes no second version.
    assert_eq!(onetrust.post("/v1/intake/onetrust", &out).ok(202)["known"], 1);
    let versions = records(&shop, "kim").len();
    let answer = json!({"type": "track", "properties": {"email": "kim@example.com",
        "question_id": "child-age", "answer": "6 to 9"}});
    zigpoll.post("/v1/intake/zigpoll", &answer).ok(202);
    wait_until(WITHIN, "a lower age", || {
        (server.get("/v1/consent/kim").ok(200)["age_band"] == "UNDER_13").then_some(())
    });
    assert_eq!(records(&shop, "kim").len(), versions + 1);
    wait_until(WITHIN, "the default of a child without a guardian", || {
        (server.look_up("kim", OFFERS)["is_default"] == true).then_some(())
    });
    let metrics = serve.metrics();
    let count = |source: &str, outcome: &str| {
        let labels = [("source", source), ("outcome", outcome)];
        metrics.count("assent_intake_deliveries_total", &labels)
    };
    assert_eq!((count("onetrust", "taken"), count("onetrust", "known")), (1, 1));
    let last = records(&shop, "kim").pop().expect("a record");
    assert_eq!(last["source"], "zigpoll");
    wait_until(WITHIN, "no commands left", || {
        crate::support::latest(&shop.committed("consent-intake-state")).is_empty().then_some(())
    });
    run.stop();
    serve.stop();
}
