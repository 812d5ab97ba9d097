//! Rights on a broker with an authorizer: auditor and publisher do their work with exactly what `assent check
//! --print-acls` prints, and nothing else.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{bodies, shop, write};
use crate::examples;
use crate::support::{self, BrokerPlan, Finished, Kafka, LeftOut, Shop};

const PASSWORD: &str = "correct horse";

#[test]
fn auditor_and_publisher_do_their_work_and_nothing_else() {
    let (python, kafka) = match start() {
        Ok(started) => started,
        Err(why) => return support::leave_out(&why),
    };
    let shop = shop(&kafka, 1);
    shop.run(&["topics", "create", "--partitions", "1"]).ok();
    let chain = format!("{}/0", shop.group_id());
    write(&kafka, &shop.topic("segmentation-audit"), 0, &chain, &bodies(&chain, 20));
    for (user, role) in [
        ("publisher", &["--publisher"][..]),
        ("auditor", &["--auditor"]),
        ("reporter", &["--reporter"]),
        ("mail", &["--reader", "personalized-offers"]),
    ] {
        grant(&python, &shop, user, role);
    }

    let published = run(&shop, "publisher", &["audit", "publish", "--once", "--json"]).ok();
    assert_eq!(published.json()["size"], 20);
    let arguments = ["audit", "verify", "--json", "--from", "log/checkpoint"];
    let verified = run(&shop, "auditor", &arguments).ok().json();
    assert_eq!((&verified["ok"], &verified["chains"][0]["entries"]), (&true.into(), &20.into()));
    let notes = verified["notes"].to_string();
    assert!(notes.contains("assent-state") && notes.contains("can't be read"), "{notes}");

    let asked = run(&shop, "auditor", &["audit", "query", "--limit", "3", "--json"]).ok();
    assert_eq!(asked.json_lines().len(), 3);
    let unread = "1970-01-01T00:00:00Z";
    run(&shop, "auditor", &["audit", "affected", "--from", unread, "--to", "now"]).ok();
    assert_eq!(shop.committed("segmentation-audit-access").len(), 2);

    reports_are_made(&shop);

    let segments = ["segments", "list", "--purpose", "personalized-offers"];
    run(&shop, "mail", &segments).ok();
    for (user, arguments) in [
        ("publisher", &segments[..]),
        ("auditor", &segments),
        ("mail", &["audit", "verify"]),
        ("mail", &["audit", "publish", "--once"]),
        ("auditor", &["dead-letters", "list"]),
        ("publisher", &["consent", "show", "somebody"]),
        ("publisher", &["audit", "query"]),
        ("mail", &["audit", "query"]),
        ("auditor", &["subject", "report", "somebody"]),
        ("reporter", &["audit", "query"]),
        ("reporter", &segments),
        ("mail", &["report", "kpi", "--month", "2026-11"]),
    ] {
        let refused = run(&shop, user, arguments);
        assert!(!matches!(refused.code, Some(0)), "{user} {arguments:?}: {refused:?}");
        let said = refused.stderr.lines().last().unwrap_or_default();
        assert!(
            said.contains("may not") || said.contains("allowed"),
            "{user} {arguments:?}: {said}"
        );
    }
    for role in ["--auditor", "--publisher", "--reporter"] {
        let shared = shop.run(&["check", "--print-acls", role]);
        assert_eq!(shared.code, Some(64), "{shared:?}");
    }
}

/// With the grants of `--reporter` alone.
fn reports_are_made(shop: &Shop<'_>) {
    let verified = r#"{"ok": true, "checked": {}, "violations": []}"#;
    std::fs::write(shop.folder().join("verified.json"), verified).expect("written");
    for report in [
        &["retention-policy"][..],
        &["risk-assessment"],
        &["kpi", "--month", "2026-11"],
        &["privacy-metrics", "--year", "2026"],
        &["opt-out-test", "--year", "2026", "--verify", "verified.json"],
    ] {
        let told = run(shop, "reporter", &[&["report"], report].concat()).ok();
        assert!(told.stdout.starts_with("# "), "{report:?}: {told:?}");
        assert!(!told.stdout.contains("may not read"), "{report:?}: {told:?}");
    }
    run(shop, "auditor", &["report", "kpi", "--month", "2026-11"]).ok();
}

fn run(shop: &Shop<'_>, user: &str, arguments: &[&str]) -> Finished {
    let mut command = shop.command(arguments);
    command.envs([
        ("ASSENT__KAFKA__BOOTSTRAP_SERVERS", shop.kafka.listener("SECURE").as_str()),
        ("ASSENT__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("ASSENT__KAFKA__PROPERTIES__SASL_MECHANISM", "SCRAM-SHA-512"),
        ("ASSENT__KAFKA__PROPERTIES__SASL_USERNAME", user),
        ("ASSENT__KAFKA__PROPERTIES__SASL_PASSWORD", PASSWORD),
    ]);
    Finished::of(&mut command)
}

/// Makes the user, and runs what Assent prints for it.
fn grant(python: &Path, shop: &Shop<'_>, user: &str, role: &[&str]) {
    let principal = format!("User:{user}");
    let printed = shop.run(&[&["check", "--print-acls", &principal], role].concat()).ok().stdout;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/kafka-acls.py");
    let mut script = Command::new(python)
        .args([script, shop.kafka.bootstrap(), user, PASSWORD])
        .stdin(Stdio::piped())
        .spawn()
        .expect("python starts");
    script.stdin.take().expect("piped").write_all(printed.as_bytes()).expect("written");
    assert!(script.wait().expect("it ends").success(), "{printed}");
}

fn start() -> Result<(std::path::PathBuf, Kafka), LeftOut> {
    let python = examples::python()?;
    let settings = [
        "listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512",
        "listener.name.secure.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS",
    ];
    let listeners = ["SECURE=SASL_PLAINTEXT"];
    let plan = BrokerPlan { settings: &settings, listeners: &listeners, ..BrokerPlan::default() };
    Kafka::start_as(plan).map(|kafka| (python, kafka))
}
