//! Whatever is wrong with a request: its status, the field, and that nothing was written.

use serde_json::json;

use super::*;

#[track_caller]
fn check(answer: &Answer, status: u16, field: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let error = &answer.json()["error"];
    assert_eq!(error["field"], if field.is_empty() { json!(null) } else { field.into() });
    assert!(error["code"].is_string() && error["message"].is_string(), "{error}");
}

#[test]
fn every_wrong_request_has_its_status_and_writes_nothing() {
    let kafka = kafka_or_skip!();
    let shop = open(kafka);
    let serve = Service::start_serving(&shop, "s", &[]);
    let (server, browser) = (Caller::of(&serve, SERVER), Caller::of(&serve, BROWSER));
    callers(&server, &browser, &Caller::of(&serve, EVENTS_ONLY));
    bodies(&server);
    look_ups(&server, &browser);
    events(&server, &browser);
    changes(&server);
    for topic in ["clickstream", "consent-changelog", "privacy-requests", "consent-intake-state"] {
        assert!(shop.committed(topic).is_empty(), "{topic}");
    }
    let log = serve.log();
    for secret in [SERVER, BROWSER, "kim", "unheard-of", "nobody-made"] {
        assert!(!log.contains(secret), "the log has {secret}");
    }
    serve.stop();
}

fn callers(server: &Caller, browser: &Caller, collector: &Caller) {
    let stranger = Caller { token: "no-clients-token-at-all", ..server.clone() };
    let look = json!({"purpose": OFFERS});
    check(&stranger.post("/v1/lookup", &look), 401, "authorization");
    check(&stranger.get("/v1/openapi.json"), 401, "authorization");
    check(&collector.post("/v1/lookup", &look), 403, "");
    check(&browser.get("/v1/consent/kim"), 403, "");
    check(&collector.get("/v1/requests/x"), 403, "");
    check(&server.get("/v1/nowhere"), 404, "");
    check(&server.get("/v1/requests/nobody-made-this-one"), 404, "request_id");
    check(&server.get("/v1/consent/nobody"), 404, "subject_id");
    check(&server.delete("/v1/lookup"), 405, "");
}

fn bodies(server: &Caller) {
    let posted = |body: &str, kind: &str, length: Option<&str>| {
        let mut headers = vec![
            ("authorization".to_owned(), format!("Bearer {SERVER}")),
            ("content-type".to_owned(), kind.to_owned()),
        ];
        headers.extend(length.map(|length| ("content-length".to_owned(), length.to_owned())));
        raw(&server.address, "POST", "/v1/lookup", &headers, body.as_bytes()).unwrap()
    };
    let kind = "application/json; charset=utf-8";
    assert_eq!(posted(r#"{"purpose": "personalized-offers"}"#, kind, None).status, 200);
    check(&posted("", kind, None), 400, "");
    check(&posted("{", kind, None), 400, "");
    check(&posted("{}", "text/plain", None), 415, "content-type");
    check(&posted("", kind, Some("1048577")), 413, "");
    check(&posted(&format!("\"{}\"", "a".repeat(1 << 20)), kind, None), 413, "");
    check(&posted(&"[".repeat(100_000), kind, None), 422, "");
    let deep = format!("{{\"page\": {{\"category\": {}", "[".repeat(100_000));
    check(&posted(&deep, kind, None), 422, "page.category");
}

fn look_ups(server: &Caller, browser: &Caller) {
    let posted = |caller: &Caller, fields: serde_json::Value| {
        let body = crate::support::with(json!({"purpose": OFFERS}), fields);
        caller.post("/v1/lookup", &body)
    };
    check(&posted(server, json!({"purpose": "unheard-of"})), 422, "purpose");
    check(&posted(server, json!({"subject": "a"})), 422, "subject");
    check(&posted(server, json!({"page": {"kind": "NO_KIND"}})), 422, "page.kind");
    check(&posted(server, json!({"page": {"category": "a".repeat(513)}})), 422, "page.category");
    check(&posted(server, json!({"subject_id": ""})), 422, "subject_id");
    check(&posted(server, json!({"subject_id": "__assent_x"})), 422, "subject_id");
    check(&posted(browser, json!({"subject_id": "kim"})), 403, "subject_id");
    for claims in [
        json!({"sub": "kim", "exp": now_ms() / 1_000 - 1, "iss": "shop"}),
        json!({"sub": "kim", "exp": now_ms() / 1_000 + 7_200, "iss": "shop"}),
        json!({"sub": "kim", "exp": now_ms() / 1_000 + 60, "iss": "another"}),
        json!({"sub": "kim", "exp": now_ms() / 1_000 + 60}),
    ] {
        let token = subject_token_with(&claims);
        check(&posted(browser, json!({"subject_token": token})), 403, "subject_token");
    }
    let forged = subject_token("kim").replacen('.', ".A", 1);
    check(&posted(browser, json!({"subject_token": forged})), 403, "subject_token");
    let both = json!({"subject_id": "kim", "subject_token": subject_token("kim")});
    check(&posted(server, both), 422, "subject_token");
}

fn events(server: &Caller, browser: &Caller) {
    let sent = |caller: &Caller, fields: serde_json::Value| {
        caller.post("/v1/events", &crate::support::with(event("v"), fields))
    };
    check(&sent(server, json!({"event_id": "1"})), 422, "event_id");
    check(&sent(server, json!({"occurred_at": now_ms() + 400_000})), 422, "occurred_at");
    check(&sent(server, json!({"session_id": "a".repeat(513)})), 422, "session_id");
    check(&sent(server, json!({"kind": "LOOK"})), 422, "kind");
    check(&sent(server, json!({"birthday": "2019"})), 422, "birthday");
    check(&sent(browser, json!({"subject_id": "kim"})), 403, "subject_id");
    let wrong = crate::support::with(event("v"), json!({"value_cents": "1"}));
    check(&server.post("/v1/events", &json!([event("v"), wrong])), 422, "[1].value_cents");
    let many: Vec<_> = (0..101).map(|_| event("v")).collect();
    check(&server.post("/v1/events", &json!(many)), 422, "");
}

fn changes(server: &Caller) {
    let put = |fields: serde_json::Value| {
        let body = crate::support::with(statement("GRANTED", &[OFFERS]), fields);
        server.put("/v1/consent/kim", &body)
    };
    let unheard = json!({"decisions": {"unheard-of": {"status": "DENIED"}}});
    check(&put(unheard), 422, "decisions.unheard-of");
    check(&put(json!({"age_band": "CHILD"})), 422, "age_band");
    check(&put(json!({"double_opt_in_at": -1})), 422, "double_opt_in_at");
    check(&put(json!({"guardian": {"verified_at": 1, "consent": true}})), 422, "guardian.consent");
    check(&server.put("/v1/consent/__assent_x", &statement("GRANTED", &[])), 422, "subject_id");
    check(&server.delete("/v1/subjects/%FF"), 400, "subject_id");
    let opt_out = |fields: serde_json::Value| server.post("/v1/opt-out", &fields);
    check(&opt_out(json!({"scope": "all"})), 422, "subject_token");
    check(&opt_out(json!({"subject_id": "kim"})), 422, "scope");
    check(&opt_out(json!(["kim", null, null, "all"])), 422, "");
    check(&opt_out(json!({"subject_id": "kim", "scope": "unheard-of"})), 422, "scope");
    let both = json!({"subject_id": "kim", "session_id": "v", "scope": "all"});
    check(&opt_out(both), 422, "session_id");
}

#[test]
fn a_client_that_asks_too_much_waits_and_the_others_do_not() {
    let kafka = kafka_or_skip!();
    let shop = open_with(kafka, &json!({"rate_limit": "20/m"}));
    let serve = Service::start_serving(&shop, "s", &[]);
    let (server, browser) = (Caller::of(&serve, SERVER), Caller::of(&serve, BROWSER));
    let body = json!({"purpose": OFFERS});
    let asked: Vec<Answer> = (0..22).map(|_| browser.post("/v1/lookup", &body)).collect();
    let refused: Vec<&Answer> = asked.iter().filter(|it| it.status == 429).collect();
    assert!(!refused.is_empty(), "{asked:?}");
    assert!(refused.iter().all(|it| it.headers.contains_key("retry-after")), "{refused:?}");
    assert_eq!(server.post("/v1/lookup", &body).status, 200);
    let limited = serve.metrics().count("assent_rate_limited_total", &[("client", "browser")]);
    assert_eq!(limited, refused.len() as u64);
    serve.stop();
}

#[test]
fn what_can_not_be_served_is_said_in_one_message() {
    let kafka = kafka_or_skip!();
    let refused = |serve: serde_json::Value, before: &dyn Fn(&Shop<'_>), expect: &str| {
        let shop = open_with(kafka, &serve);
        before(&shop);
        let ended = shop.run(&["serve"]);
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(expect), "{last}");
    };
    let nothing = |_: &Shop<'_>| {};
    refused(json!({"listen": "0.0.0.0:0"}), &nothing, "serve.listen: 0.0.0.0:0 is not a loopback");
    refused(json!({"clients": []}), &nothing, "serve.clients: there is no client");
    let empty =
        |shop: &Shop<'_>| std::fs::write(shop.folder().join("server.token"), "short").unwrap();
    refused(json!({}), &empty, "serve.clients.server.token_file");
    let same =
        |shop: &Shop<'_>| std::fs::write(shop.folder().join("server.token"), BROWSER).unwrap();
    refused(json!({}), &same, "it is also the token of browser");
    let no_key =
        |shop: &Shop<'_>| std::fs::write(shop.folder().join("subject.key"), "short").unwrap();
    refused(json!({}), &no_key, "serve.subject_tokens.key_file");
    let tls = json!({"tls": {"cert_file": "none.pem", "key_file": "none.pem"}});
    refused(tls, &nothing, "serve.tls.cert_file");
}
