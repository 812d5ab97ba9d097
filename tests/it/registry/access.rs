//! Who may ask the registry, and what a person is told who may not; a registry that is not there.

use std::time::{Duration, Instant};

use serde_json::json;

use super::registered;
use crate::contract::plan;
use crate::support::{self, Gateway, Registry, Service, Shop};

const USER: &str = "assent:open sesame";

#[test]
fn a_password_and_a_certificate_of_ones_own_let_in_and_wrong_ones_are_one_message() {
    let kafka = kafka_or_skip!();
    let registry = registry_or_skip!();
    let folder = tempfile::tempdir().expect("temp dir");
    let gateway = match Gateway::open(registry, folder.path(), USER) {
        Ok(gateway) => gateway,
        Err(why) => return support::leave_out(&why),
    };
    let password = folder.path().join("password");
    std::fs::write(&password, "open sesame\n").expect("written");
    let settings = json!({"schema_registry": {
        "url": gateway.url(), "username": "assent", "password_file": password,
        "ca_file": Gateway::certificate(folder.path()),
    }});
    let shop = Shop::open_with(kafka, &plan(settings));
    let service = Service::start(&shop, "a");
    service.await_ready();
    shop.run(&["consent", "put", "ann", "--age-band", "from-18", "--purpose", "offers=granted"])
        .ok();
    let checked = shop.run(&["check"]).ok();
    assert!(checked.stdout.contains("segments.offers-value: id "), "{}", checked.stdout);
    assert!(!service.log().contains("sesame"));
    service.stop();

    let wrong = ["ASSENT__SCHEMA_REGISTRY__PASSWORD", "a shot in the dark"];
    let refused = |name: &str, value: &str, expect: &str| {
        let mut command = shop.command(&["run"]);
        command.env(name, value);
        let finished = crate::support::Finished::of(&mut command);
        assert_eq!(finished.code, Some(78), "{}", finished.stderr);
        assert!(finished.stderr.contains(expect), "{}", finished.stderr);
        assert!(!finished.stderr.contains("sesame") && !finished.stderr.contains(wrong[1]));
    };
    refused(wrong[0], wrong[1], "it answered 401: schema_registry.username and password");
    let unsigned = folder.path().join("none.pem");
    std::fs::write(&unsigned, "no certificate\n").expect("written");
    let name = "ASSENT__SCHEMA_REGISTRY__CA_FILE";
    refused(name, unsigned.to_str().unwrap(), "none.pem: contains no certificate");
    let other = tempfile::tempdir().expect("temp dir");
    let _other = Gateway::open(registry, other.path(), USER);
    let other = Gateway::certificate(other.path());
    refused(name, other.to_str().unwrap(), "TLS fails: ");
    let here = gateway.url().replace("/apis/ccompat/v7", "/elsewhere");
    refused("ASSENT__SCHEMA_REGISTRY__URL", &here, "check the path in schema_registry.url");
}

#[test]
fn a_schema_of_somebody_elses_is_not_written_over() {
    let kafka = kafka_or_skip!();
    let registry = registry_or_skip!();
    let shop = Shop::open_with(kafka, &registered(registry));
    let theirs =
        r#"{"type": "record", "name": "Theirs", "fields": [{"name": "a", "type": "string"}]}"#;
    registry.register(&shop.topic("segmentation-audit"), theirs);
    let checked = shop.run(&["check"]);
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
    assert!(
        checked.stdout.contains("segmentation-audit-value: the registered schema"),
        "{}",
        checked.stdout
    );
    let run = shop.run(&["run"]);
    assert_eq!(run.code, Some(78), "{}", run.stderr);
    assert!(run.stderr.contains("rejects the schema of assent for subject"), "{}", run.stderr);
    assert_eq!(registry.versions(&shop.topic("segmentation-audit")), [1]);
}

#[test]
fn without_a_registry_a_start_ends_after_half_a_minute() {
    let kafka = kafka_or_skip!();
    if let Err(why) = Registry::shared() {
        return support::leave_out(&why); // left out together with what it belongs to
    }
    // A port that nobody listens on: it was free a moment ago, and is held without listening.
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/apis/ccompat/v7", held.local_addr().unwrap());
    drop(held);
    let shop = Shop::open_with(kafka, &plan(json!({"schema_registry": {"url": url}})));
    let started = Instant::now();
    let run = shop.run(&["run"]);
    assert_eq!(run.code, Some(69), "{}", run.stderr);
    assert!(run.stderr.contains("no answer within 30 s"), "{}", run.stderr);
    assert!(started.elapsed() >= Duration::from_secs(30));
}
