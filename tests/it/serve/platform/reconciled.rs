//! TrustArc is read back, and lists find what webhooks lost.

use serde_json::json;

use super::api::Api;
use super::*;

fn consent(email: &str, value: &str, at: i64) -> serde_json::Value {
    json!({
        "id": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "createdDate": at,
        "dataSubjectIdentifiers": [{"identifierValues": [
            {"identifier": {"name": "email"}, "formValues": [{"display": email, "value": email}]}]}],
        "dataFieldValues": [{"dataField": {"id": "d1", "name": "Sale or sharing"},
            "formValues": [{"display": "x", "value": value}],
            "consent": {"createdDate": at.to_string()}}],
    })
}

fn detail(email: &str, purpose: &str, status: &str, at: i64) -> serde_json::Value {
    json!({"id": purpose, "identifier": email, "status": status, "lastTransactionDate": at})
}

#[test]
fn a_callback_of_trustarc_is_read_back_or_refused() {
    let kafka = kafka_or_skip!();
    let api = Api::start();
    let shop = open_platforms(kafka, &api.url);
    let run = Service::start(&shop, "a");
    let serve = Service::start_serving(&shop, "s", &[]);
    let (server, source) = (Caller::of(&serve, SERVER), Caller::of(&serve, TRUSTARC));
    map(&server, "kim@example.com", "kim");
    let id = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
    api.set_consents(vec![consent("kim@example.com", "OPT_OUT", now_ms() / 1_000 - 60)]);
    api.refuse(1);
    let hint = json!({"eventType": "CREATED", "dataSubjectId": id, "OPT_OUT": "OPT_IN"});
    let refused = source.post("/v1/intake/trustarc", &hint);
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    assert!(records(&shop, "kim").is_empty());
    wait_until(WITHIN, "a mapped answer", || {
        (source.post("/v1/intake/trustarc", &hint).ok(202)["held"] == 0).then_some(())
    });
    let said = wait_until(WITHIN, "a record", || records(&shop, "kim").pop());
    assert_eq!(said["decisions"][ADS]["status"], "WITHDRAWN");
    assert_eq!(said["source"], "trustarc");
    assert_eq!(source.post("/v1/intake/trustarc", &json!({})).ok(202)["known"], 1);
    let asked = api.asked();
    assert!(asked.iter().any(|path| path.contains(&format!("dataSubjectId={id}"))), "{asked:?}");
    assert!(asked.last().unwrap().contains("isFetchLatest=true"), "{asked:?}");
    std::fs::write(shop.folder().join("api.token"), "another-token").unwrap();
    assert_eq!(source.post("/v1/intake/trustarc", &hint).status, 503);
    run.stop();
    serve.stop();
}

#[test]
fn what_webhooks_lost_is_found_and_only_what_is_stricter_is_written() {
    let kafka = kafka_or_skip!();
    let api = Api::start();
    let shop = open_platforms(kafka, &api.url);
    let run = Service::start(&shop, "a");
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    let granted = |subject: &str| {
        let body = statement("GRANTED", &[OFFERS]);
        server.put(&format!("/v1/consent/{subject}"), &body).ok(202)
    };
    for subject in ["kim", "lee", "mo"] {
        map(&server, &format!("{subject}@example.com"), subject);
        granted(subject);
    }
    // mo refused here, and the platform does not know.
    let refused = server.post("/v1/opt-out", &json!({"subject_id": "mo", "scope": OFFERS})).ok(202);
    server.await_honored(&refused);
    let now = now_ms();
    let day = 86_400_000;
    for (email, status, at) in [
        ("kim@example.com", "ACTIVE", now - 20 * day), // long ago
        ("kim@example.com", "WITHDRAWN", now - 1_000), // its webhook was lost
        ("lee@example.com", "WITHDRAWN", now - 15 * day), // older than what stands
        ("mo@example.com", "ACTIVE", now - 9 * day),
        ("nobody@example.com", "OPT_OUT", now - 3 * day),
    ] {
        api.add_detail(at, detail(email, THEIR_OFFERS, status, at));
    }
    api.refuse(2);
    let since = (now - 30 * day).to_string();
    let arguments =
        ["consent", "reconcile", "--source", "onetrust", "--since", since.as_str(), "--json"];
    let ended = shop.run(&arguments).ok();
    let found: serde_json::Value = serde_json::from_str(ended.stdout.trim()).expect("JSON");
    assert_eq!(found["read"], 5, "{found}");
    assert_eq!((&found["stricter"], &found["unmapped"]), (&json!(1), &json!(1)), "{found}");
    let looser = found["looser"].as_array().expect("a list");
    assert_eq!(looser.len(), 1, "{found}");
    assert_eq!(looser[0]["purpose"], OFFERS);
    for name in ["kim", "lee", "mo", "nobody"] {
        assert!(!ended.stdout.contains(&format!("{name}@")), "{found}");
    }
    let status = |subject: &str| {
        server.get(&format!("/v1/consent/{subject}")).ok(200)["decisions"][OFFERS]["status"].clone()
    };
    wait_until(WITHIN, "what was lost", || (status("kim") == "WITHDRAWN").then_some(()));
    assert_eq!((status("lee"), status("mo")), (json!("GRANTED"), json!("WITHDRAWN")));
    let drift = |kind: &str| {
        let labels = [("source", "onetrust"), ("kind", kind)];
        serve.metrics().count("assent_consent_source_drift_total", &labels)
    };
    wait_until(WITHIN, "the metric", || (drift("stricter") == 1).then_some(()));
    assert_eq!((drift("looser"), drift("unmapped")), (1, 1));
    wait_until(WITHIN, "a stranger's refusal", || {
        (serve.metrics().count("assent_intake_held", &[]) == 1).then_some(())
    });
    // Once more, there is nothing to write.
    let versions = records(&shop, "kim").len();
    let again = shop.run(&arguments).ok();
    let found: serde_json::Value = serde_json::from_str(again.stdout.trim()).expect("JSON");
    assert_eq!(found["stricter"], 0, "{found}");
    assert_eq!(records(&shop, "kim").len(), versions);
    run.stop();
    serve.stop();
}

#[test]
fn a_source_without_a_list_and_a_token_that_ended_are_said() {
    let kafka = kafka_or_skip!();
    let api = Api::start();
    let shop = open_platforms(kafka, &api.url);
    let ended = shop.run(&["consent", "reconcile", "--source", "ketch"]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("no list of consents is documented"), "{}", ended.stderr);
    assert_eq!(shop.run(&["consent", "reconcile", "--source", "other"]).code, Some(64));
    std::fs::write(shop.folder().join("api.token"), "a-token-that-ended").unwrap();
    let ended = shop.run(&["consent", "reconcile", "--source", "onetrust"]);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    assert!(ended.stderr.contains("renew the token"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("a-token-that-ended"), "{}", ended.stderr);
}
