//! Who may read what, on a broker with an authorizer: one principal has one purpose, and `check` and
//! `run` name who has two.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::examples;
use crate::support::{self, BrokerPlan, Kafka, Plan, Service, Shop, wait_until};

const OFFERS: &str = "personalized-offers";
const ADS: &str = "partner-advertising";

#[test]
fn a_principal_that_reads_two_purposes_is_named() {
    let python = match examples::python() {
        Ok(python) => python,
        Err(why) => return support::leave_out(&why),
    };
    let settings = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS",
    ];
    let kafka = match Kafka::start_as(BrokerPlan { settings: &settings, ..BrokerPlan::default() }) {
        Ok(kafka) => kafka,
        Err(why) => return support::leave_out(&why),
    };
    let shop = Shop::open_with(&kafka, &Plan { partitions: 1, ..Plan::of_lookers("roles-1", 2) });
    let printed = |arguments: &[&str]| printed(&shop, arguments);
    let granted = |lines: &str| grant(&python, &kafka, lines);
    let roles = || roles(&shop);

    granted(&printed(&[]));
    granted(&printed(&["User:verifier", "--verifier"]));
    for (principal, purpose) in [
        ("User:mail", OFFERS),
        ("User:ads", ADS),
        ("User:web", "contextual"),
        ("User:auditor", "audit"),
    ] {
        granted(&printed(&[principal, "--reader", purpose]));
    }
    let apart = roles();
    assert!(apart.iter().all(|finding| finding["ok"] == true), "{apart:#?}");
    assert!(
        apart[0]["detail"].as_str().unwrap().starts_with("User:verifier can read every"),
        "{apart:?}"
    );

    granted(&printed(&["User:mail", "--reader", ADS]));
    granted(&printed(&["User:auditor", "--reader", OFFERS]));
    let linked = roles();
    let problems: Vec<&str> = linked
        .iter()
        .filter(|finding| finding["ok"] == false)
        .map(|finding| finding["detail"].as_str().expect("a detail"))
        .collect();
    let [auditor, mail] = problems[..] else { panic!("two, not {problems:?}") };
    assert!(
        auditor.starts_with("User:auditor can read ") && auditor.contains("audit and"),
        "{auditor}"
    );
    assert!(mail.starts_with("User:mail can read ") && mail.contains(ADS), "{mail}");

    let service = Service::start(&shop, "a");
    service.await_ready();
    wait_until(Duration::from_mins(1), "the findings", || {
        let told = service.metrics().count("assent_cluster_findings", &[("check", "roles")]);
        (told == 2).then_some(())
    });
    let log = service.log();
    let warned = log.lines().filter(|line| line.contains("WARN") && line.contains("can read"));
    assert_eq!(warned.count(), 2, "{log}");
    service.stop();
}

fn printed(shop: &Shop<'_>, arguments: &[&str]) -> String {
    shop.run(&[&["check", "--print-acls"], arguments].concat()).ok().stdout
}

/// Does what the lines say.
fn grant(python: &Path, kafka: &Kafka, lines: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/kafka-acls.py");
    let mut script = Command::new(python)
        .args([script, kafka.bootstrap(), "nobody", "a password"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("python starts");
    script.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("written");
    assert!(script.wait().expect("it ends").success(), "{lines}");
}

fn roles(shop: &Shop<'_>) -> Vec<Value> {
    let report = shop.run(&["check", "--json"]).json();
    let findings = report["findings"].as_array().expect("findings").clone();
    findings.into_iter().filter(|it| it["check"] == "roles").collect()
}

#[test]
fn readers_have_a_principal_of_their_own() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let shared = shop.run(&["check", "--print-acls", "--reader", OFFERS]);
    assert_eq!(shared.code, Some(64), "{shared:?}");
    let unknown = shop.run(&["check", "--print-acls", "User:mail", "--reader", "ofers"]);
    assert_eq!(unknown.code, Some(64), "{unknown:?}");
    assert!(unknown.stderr.contains(OFFERS), "{unknown:?}");
    // This broker has no authorizer: said, and no problem.
    let checked = shop.run(&["check", "--json"]).ok().json();
    assert!(checked.to_string().contains("the brokers list no ACLs"), "{checked}");
}
