//! Whatever is wrong with a delivery: its status, the field, and that nothing was written.

use serde_json::json;

use super::*;

#[track_caller]
fn check(answer: &Answer, status: u16, field: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let error = &answer.json()["error"];
    assert_eq!(
        error["field"],
        if field.is_empty() { json!(null) } else { field.into() },
        "{error}"
    );
}

#[test]
fn every_wrong_delivery_has_its_status_and_writes_nothing() {
    let kafka = kafka_or_skip!();
    let shop = open_platforms(kafka, NOWHERE);
    let serve = Service::start_serving(&shop, "s", &[]);
    let server = Caller::of(&serve, SERVER);
    let [onetrust, trustarc, zigpoll, of_ketch] =
        [ONETRUST, TRUSTARC, ZIGPOLL, KETCH].map(|secret| Caller::of(&serve, secret));
    let good = ketch("kim@example.com", &json!({"offers": "denied"}), 1_785_777_669);
    let to = "/v1/intake/ketch";
    let stranger = Caller { token: "nobodys-secret-at-all", ..server.clone() };
    check(&stranger.post(to, &good), 401, "authorization");
    check(&server.post(to, &good), 403, "");
    check(&onetrust.post(to, &good), 403, "source");
    check(&of_ketch.post("/v1/intake/didomi", &good), 404, "source");
    check(&of_ketch.get("/v1/openapi.json"), 403, "");
    check(&of_ketch.post("/v1/opt-out", &json!({"subject_id": "kim", "scope": "all"})), 403, "");
    check(&of_ketch.get(to), 405, "");
    let posted = |caller: &Caller, path: &str, body: &str, kind: &str| {
        let headers = [
            ("authorization".to_owned(), format!("Bearer {}", caller.token)),
            ("content-type".to_owned(), kind.to_owned()),
        ];
        raw(&caller.address, "POST", path, &headers, body.as_bytes()).expect("an answer")
    };
    let json = "application/json";
    check(&posted(&of_ketch, to, "{}", "text/plain"), 415, "content-type");
    check(&posted(&of_ketch, to, "{", json), 400, "");
    check(&posted(&of_ketch, to, "", json), 400, "");
    let large = format!("{{\"a\": \"{}\"}}", "a".repeat(1 << 20));
    check(&posted(&of_ketch, to, &large, json), 413, "");
    check(&posted(&of_ketch, to, &"{\"a\":".repeat(100_000), json), 422, "");
    check(&posted(&of_ketch, to, "{}", json), 422, "apiVersion");
    check(&posted(&of_ketch, to, "[]", json), 422, "");
    let twice = good.to_string().replacen("\"offers\":", "\"offers\":\"granted\",\"offers\":", 1);
    check(&posted(&of_ketch, to, &twice, json), 422, "request.purposes");
    check(&onetrust.post("/v1/intake/onetrust", &json!({"purposes": []})), 422, "identifier");
    check(&zigpoll.post("/v1/intake/zigpoll", &json!({})), 422, "properties");
    // A hint that can't be read back is not answered 2xx.
    check(&trustarc.post("/v1/intake/trustarc", &json!({"dataSubjectId": "a"})), 503, "");
    let identity = |fields: serde_json::Value| {
        let whole = json!({"kind": "email", "identifier": "a@b.c", "subject_id": "kim"});
        server.put("/v1/identities", &crate::support::with(whole, fields))
    };
    check(&identity(json!({"kind": "Email"})), 422, "kind");
    check(&identity(json!({"identifier": " "})), 422, "identifier");
    check(&identity(json!({"subject_id": "__assent_x"})), 422, "subject_id");
    check(&identity(json!({"name": "kim"})), 422, "name");
    check(&Caller::of(&serve, EVENTS_ONLY).put("/v1/identities", &json!({})), 403, "");
    // A test, and what nobody mapped, say nothing.
    let test = crate::support::with(
        receipt("kim@example.com", &[(THEIR_ADS, "OPT_OUT")], "1785777669"),
        json!({"test": true}),
    );
    let nothing = json!({"taken": 0, "held": 0, "known": 0});
    assert_eq!(onetrust.post("/v1/intake/onetrust", &test).ok(202), nothing);
    for topic in ["consent-changelog", "privacy-requests", "consent-intake-state", "identity-map"] {
        assert!(shop.committed(topic).is_empty(), "{topic}");
    }
    let log = serve.log();
    for secret in [ONETRUST, TRUSTARC, ZIGPOLL, KETCH, "kim@example.com", super::api::TOKEN] {
        assert!(!log.contains(secret), "the log has {secret}");
    }
    serve.stop();
}

#[test]
fn what_can_not_be_taken_in_is_said_in_one_message() {
    let kafka = kafka_or_skip!();
    let shop = open_platforms(kafka, NOWHERE);
    let refused = |expect: &str| {
        let ended = shop.run(&["serve"]);
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        assert!(ended.stderr.contains(expect), "{}", ended.stderr);
    };
    std::fs::write(shop.folder().join("ketch.secret"), ONETRUST).unwrap();
    refused("it is also the token of ketch");
    std::fs::write(shop.folder().join("ketch.secret"), "short").unwrap();
    refused("intake.sources.ketch.secret_file");
    std::fs::write(shop.folder().join("ketch.secret"), KETCH).unwrap();
    let config = std::fs::read_to_string(shop.config()).unwrap();
    std::fs::write(
        shop.config(),
        config.replace("\"offers\": \"personalized-offers\"", "\"offers\": \"unheard-of\""),
    )
    .unwrap();
    refused("intake.sources.ketch.purposes: the rulebook has no purpose unheard-of");
}
