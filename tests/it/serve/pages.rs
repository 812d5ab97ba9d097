//! What a front end does from the first visit to the last: consent, clicks, look-ups, an opt-out, an erasure.

use serde_json::json;

use super::*;
use crate::support::latest;

#[test]
fn from_the_first_consent_to_the_last_default() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let (run, serve) = (Service::start(&shop, "a"), Service::start_serving(&shop, "s", &[]));
    run.await_ready();
    let (server, browser) = (Caller::of(&serve, SERVER), Caller::of(&serve, BROWSER));
    let stranger = server.look_up("kim", OFFERS);
    let nobody = json!({
        "segments": ["everybody"], "contextual": [], "is_default": true, "purpose": OFFERS,
        "basis": null, "expires_at": null, "opt_out": null,
    });
    assert_eq!(stranger, nobody);

    bring_in(&server, "kim");
    let found = await_segment(&server, "kim", ADS);
    let (_, written) = latest(&shop.committed("segments.partner-advertising")).pop_first().unwrap();
    let written = crate::support::decode("segment_assignment", &written.value.unwrap());
    assert_eq!(found["segments"], json!(["shown"]));
    assert_eq!((&found["basis"], &found["opt_out"]), (&json!("OPT_IN"), &json!(null)));
    assert_eq!(found["expires_at"], written["expires_at"]);

    // This very request bears a signal: it binds sale and sharing, and nothing else.
    let asked = json!({"subject_token": subject_token("kim"), "purpose": ADS});
    let gpc = [("sec-gpc", "1")];
    let signaled = browser.send("POST", "/v1/lookup", &gpc, Some(&asked)).ok(200);
    assert_eq!(signaled["is_default"], true);
    let asked = json!({"subject_token": subject_token("kim"), "purpose": OFFERS});
    wait_until(WITHIN, "the segment that a signal says nothing of", || {
        let signaled = browser.send("POST", "/v1/lookup", &gpc, Some(&asked)).ok(200);
        (signaled["segments"] == json!(["lookers"])).then_some(())
    });

    let body = json!({"subject_token": subject_token("kim"), "scope": "sale_or_share"});
    let before = now_ms();
    let accepted = browser.post("/v1/opt-out", &body).ok(202);
    let request = browser.await_honored(&accepted);
    assert_eq!(request["kind"], "opt_out");
    assert_eq!(
        request["audit"]["chain"].as_str().unwrap().split('/').next(),
        Some(shop.group_id())
    );
    let since = request["received_at"].as_i64().unwrap();
    assert!(since >= before && request["honored_at"].as_i64().unwrap() >= since, "{request}");
    let after = server.look_up("kim", ADS);
    assert_eq!(after["opt_out"], json!({"honored": true, "since": since}));
    assert_eq!(after["segments"], json!(["everybody"]));
    await_segment(&server, "kim", OFFERS); // it was not meant

    let consent = server.get("/v1/consent/kim").ok(200);
    assert_eq!(consent["decisions"][ADS]["status"], "WITHDRAWN");
    let again = consent["may_ask_again_at"].as_object().unwrap();
    let year = 365 * 86_400_000;
    assert!((again[ADS].as_i64().unwrap() - since - year).abs() <= 86_400_000, "{again:?}");
    assert_eq!(again.len(), 1);

    let accepted = server.delete("/v1/subjects/kim").ok(202);
    assert_eq!(server.await_honored(&accepted)["kind"], "erasure");
    assert_eq!(server.look_up("kim", OFFERS), nobody);
    assert_eq!(server.get("/v1/consent/kim").status, 404);
    run.stop();
    let verified = shop.run(&["verify", "--json"]).ok().json();
    assert_eq!(verified["ok"], true, "{verified:#}");
    serve.stop();
}

#[test]
fn a_session_that_no_subject_has_is_honored_at_once() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let serve = Service::start_serving(&shop, "s", &[]);
    let browser = Caller::of(&serve, BROWSER);
    let body = json!({"session_id": "visit-1", "scope": "all"});
    let accepted = browser.post("/v1/opt-out", &body).ok(202);
    let path = format!("/v1/requests/{}", accepted["request_id"].as_str().unwrap());
    let request = browser.get(&path).ok(200);
    assert_eq!((&request["status"], &request["audit"]), (&json!("honored"), &json!(null)));

    // One that was seen with a subject is the subject's.
    let mut seen = event("visit-2");
    seen["subject_token"] = subject_token("lee").into();
    browser.post("/v1/events", &seen).ok(202);
    let body = json!({"session_id": "visit-2", "scope": "all"});
    let accepted = browser.post("/v1/opt-out", &body).ok(202);
    let path = format!("/v1/requests/{}", accepted["request_id"].as_str().unwrap());
    assert_eq!(browser.get(&path).ok(200)["status"], "received");
    let server = Caller::of(&serve, SERVER);
    let consent = server.get("/v1/consent/lee").ok(200);
    assert_eq!(consent["decisions"][OFFERS]["status"], "WITHDRAWN");
    assert_eq!(consent["age_band"], "UNKNOWN");
    serve.stop();
}

#[test]
fn events_say_what_the_request_said_of_gpc() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let serve = Service::start_serving(&shop, "s", &[]);
    let (server, browser) = (Caller::of(&serve, SERVER), Caller::of(&serve, BROWSER));
    let gpc = [("sec-gpc", "1")];
    let denies = |session: &str| crate::support::with(event(session), json!({"gpc": false}));
    browser.send("POST", "/v1/events", &gpc, Some(&denies("browser-1"))).ok(202);
    browser.post("/v1/events", &event("browser-0")).ok(202);
    server.send("POST", "/v1/events", &gpc, Some(&denies("server-1"))).ok(202);
    server.post("/v1/events", &denies("server-0")).ok(202);
    server.post("/v1/events", &event("server-null")).ok(202);
    let mut found = BTreeMap::new();
    for record in shop.committed("clickstream") {
        let click = crate::support::decode("click_event", record.value.as_deref().unwrap());
        assert_eq!(record.key_text(), click["session_id"]);
        found.insert(record.key_text().to_owned(), click["gpc"].clone());
    }
    let expected = [
        ("browser-0", json!(false)),
        ("browser-1", json!(true)),
        ("server-0", json!(false)),
        ("server-1", json!(true)),
        ("server-null", json!(null)),
    ];
    assert_eq!(found, expected.map(|(id, gpc)| (id.to_owned(), gpc)).into());
    serve.stop();
}

#[test]
fn a_page_has_contextual_segments_whoever_looks() {
    let kafka = kafka_or_skip!();
    let rulebook = "rulebook: pages\ndefault_segment: everybody\npurposes: []\nsegments:\n  - \
        {id: on-toys, title: Toys, why: To test, owner: o@shop.example, approach: contextual, \
        when: {page: {category: preschool-toys}}}\n";
    let shop = open(kafka);
    std::fs::write(shop.folder().join("rulebook.yaml"), {
        let both = std::fs::read_to_string(shop.folder().join("rulebook.yaml")).unwrap();
        both + rulebook.split_once("segments:\n").unwrap().1
    })
    .unwrap();
    let serve = Service::start_serving(&shop, "s", &[]);
    let browser = Caller::of(&serve, BROWSER);
    let on = |category: &str| {
        let body = json!({"session_id": "v", "purpose": OFFERS, "page": {"category": category}});
        browser.post("/v1/lookup", &body).ok(200)["contextual"].clone()
    };
    assert_eq!(on("preschool-toys"), json!(["on-toys"]));
    assert_eq!(on("books"), json!([]));
    serve.stop();
}

#[test]
fn pages_of_configured_origins_may_call_and_no_others() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let serve = Service::start_serving(&shop, "s", &[]);
    let address = serve.front_door();
    let preflight = |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        raw(&address, "OPTIONS", "/v1/lookup", &headers, b"").unwrap()
    };
    let allowed = preflight("https://shop.example");
    assert_eq!(allowed.status, 204, "{allowed:?}");
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://shop.example");
    assert_eq!(allowed.headers["access-control-allow-headers"], "authorization, content-type");
    let refused = preflight("https://elsewhere.example");
    assert!(!refused.headers.contains_key("access-control-allow-origin"), "{refused:?}");
    let browser = Caller::of(&serve, BROWSER);
    let asked = json!({"purpose": OFFERS});
    for (origin, is_allowed) in [("https://shop.example", true), ("https://other.example", false)] {
        let answer = browser.send("POST", "/v1/lookup", &[("origin", origin)], Some(&asked));
        let named = answer.headers.get("access-control-allow-origin").map(String::as_str);
        assert_eq!(named, is_allowed.then_some(origin));
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    serve.stop();
}
