//! TLS, SASL/SCRAM and ACLs: Assent runs with exactly what `assent check --print-acls` prints, also
//! after a kill and across the broker's death.
//!
//! The broker has a second listener; on the first, the test is nobody in particular and may do
//! everything. `kafka-acls.py` stands in for Kafka's own script and takes the lines as they are
//! printed.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{Crowd, accounted, decided, during, recovered};
use crate::contract::{PURPOSES, plan};
use crate::examples;
use crate::support::{
    self, BrokerPlan, Finished, Kafka, LeftOut, Plan, Service, Shop, consent, latest, view,
    wait_until,
};

const PASSWORD: &str = "correct horse";

#[test]
fn it_runs_with_tls_and_scram_and_exactly_the_acls_that_it_prints() {
    ci_or_skip!();
    let folder = tempfile::tempdir().expect("temp dir");
    let (python, kafka) = match start(folder.path()) {
        Ok(started) => started,
        Err(why) => return support::leave_out(&why),
    };
    let read = "retention: 30d, readers: [{id: mail, kind: own, group_id: mailer}]}";
    let rulebook = plan(json!({})).rulebook.map(|it| it.replacen("retention: 30d}", read, 1));
    let shop = Shop::open_with(&kafka, &Plan { rulebook, ..plan(json!({})) });
    let secured = Secured { python: &python, folder: folder.path(), shop: &shop };
    secured.grant();
    let environment = secured.environment();

    let mut check = shop.command(&["check"]);
    Finished::of(check.envs(environment.iter().copied())).ok();
    let mut crowd = Crowd::new();
    let service = Service::start_with(&shop, "a", &environment);
    service.await_ready();
    let service = during(&mut crowd, &shop, || {
        decided(&shop);
        service.kill();
        let service = Service::start_with(&shop, "a", &environment);
        recovered(&shop, "SIGKILL, the same instance again (TLS, SCRAM, ACLs)");
        kafka.kill();
        kafka.restart();
        recovered(&shop, "SIGKILL of the broker (TLS, SCRAM, ACLs)");
        service
    });
    accounted(&shop, &[&service], &crowd);
    // The broker was away for a while; no right was missing.
    let log = service.log();
    let of_readers = log.lines().filter(|line| line.contains("can't tell how far a reader is"));
    let refused: Vec<&str> = of_readers.filter(|line| line.contains("uthorization")).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let behind = ("assent_reader_lag_seconds", [("purpose", "offers"), ("reader", "mail")]);
    wait_until(super::RECOVERED_WITHIN, "a reader who has read nothing", || {
        (service.metrics().sum(behind.0, &behind.1) > Some(0.0)).then_some(())
    });
    misrouted_consent_is_sent_on(&shop);
    service.stop();
}

/// Needs Write on consent-changelog.
fn misrouted_consent_is_sent_on(shop: &Shop<'_>) {
    let says = |version, status| shop.consent(&consent("misrouted", version, status, &PURPOSES));
    let place = shop.kafka.produce([says(1, "GRANTED")])[0];
    shop.kafka.produce([shop.click(&view("misrouted"))]);
    decided(shop);
    let live = || latest(&shop.committed("segments.offers")).len();
    let before = live();
    shop.kafka.produce([says(2, "DENIED").partition((place.0 + 1) % shop.partitions)]);
    wait_until(super::RECOVERED_WITHIN, "its denial", || (live() < before).then_some(()));
}

pub struct Secured<'a, 'k> {
    pub python: &'a Path,
    pub folder: &'a Path,
    pub shop: &'a Shop<'k>,
}

impl Secured<'_, '_> {
    /// Makes the user, and runs what Assent prints.
    fn grant(&self) {
        self.grant_lines(&self.shop.run(&["check", "--print-acls"]).ok().stdout);
    }

    /// Makes the user, and does what the lines say.
    pub fn grant_lines(&self, printed: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/kafka-acls.py");
        let mut script = Command::new(self.python)
            .args([script, self.shop.kafka.bootstrap(), "assent", PASSWORD])
            .stdin(Stdio::piped())
            .spawn()
            .expect("python starts");
        let mut lines = script.stdin.take().expect("piped");
        lines.write_all(printed.as_bytes()).expect("written");
        drop(lines);
        assert!(script.wait().expect("it ends").success(), "{printed}");
    }

    pub fn environment(&self) -> Vec<(&'static str, &'static str)> {
        let text = |path: &str| self.folder.join(path).to_str().expect("UTF-8").to_owned();
        let pairs = [
            ("ASSENT__KAFKA__BOOTSTRAP_SERVERS", self.shop.kafka.listener("SECURE")),
            ("ASSENT__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_SSL".into()),
            ("ASSENT__KAFKA__PROPERTIES__SASL_MECHANISM", "SCRAM-SHA-512".into()),
            ("ASSENT__KAFKA__PROPERTIES__SASL_USERNAME", "assent".into()),
            ("ASSENT__KAFKA__PROPERTIES__SASL_PASSWORD_FILE", text("password")),
            ("ASSENT__KAFKA__PROPERTIES__SSL_CA_LOCATION", text("ca.pem")),
        ];
        pairs.map(|(name, value)| (name, &*value.leak())).to_vec()
    }
}

pub fn start(folder: &Path) -> Result<(std::path::PathBuf, Kafka), LeftOut> {
    let python = examples::python()?;
    std::fs::write(folder.join("password"), PASSWORD).expect("written");
    let keytool = |arguments: &[&str]| {
        let mut command = Command::new("keytool");
        command.args(arguments).current_dir(folder);
        command.args(["-alias", "broker", "-keystore", "broker.p12", "-storepass", "changeit"]);
        Finished::of(&mut command).ok();
    };
    let san = ["-ext", "san=ip:127.0.0.1", "-validity", "2", "-storetype", "PKCS12"];
    keytool(&[&["-genkeypair", "-keyalg", "EC", "-dname", "CN=127.0.0.1"][..], &san].concat());
    keytool(&["-exportcert", "-rfc", "-file", "ca.pem"]);
    let keystore = format!("ssl.keystore.location={}/broker.p12", folder.display());
    let settings = [
        keystore.as_str(),
        "ssl.keystore.type=PKCS12",
        "ssl.keystore.password=changeit",
        "listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512",
        "listener.name.secure.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS",
    ];
    let listeners = ["SECURE=SASL_SSL"];
    let plan = BrokerPlan { settings: &settings, listeners: &listeners, ..BrokerPlan::default() };
    Kafka::start_as(plan).map(|kafka| (python, kafka))
}
