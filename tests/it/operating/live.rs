//! A real Prometheus that scrapes a real run: every panel that tells of one has data, and an alert fires because a
//! consent source stopped, and clears when it starts again. So does one of a process that hangs.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::dashboard::{filled_in, queries};
use super::{RULES, read, tool_or_skip};
use crate::support::{
    Message, Plan, Service, Shop, Signal, consent, signal, view, wait_until, with,
};

const WITHIN: Duration = Duration::from_mins(2);

/// Labels of the alerts that are made to fire.
type Labels = [(&'static str, &'static str)];
const SILENT: &Labels = &[("alertname", "AssentConsentSourceSilent"), ("source", "cmp")];
const HANGS: &Labels = &[("alertname", "AssentMetricsMissing"), ("sign", "no_answer")];

/// What `assent serve` tells, and a run does not.
const OF_SERVE: [&str; 5] = [
    "assent_http_",
    "assent_lookup_",
    "assent_intake_",
    "assent_consent_source_drift",
    "assent_rate_limited",
];

const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];

#[test]
fn every_panel_has_data_and_a_source_that_stops_is_an_alert_until_it_starts_again() {
    let program = tool_or_skip!("prometheus");
    let kafka = kafka_or_skip!();
    let settings = json!({"consent": {"sources": {"cmp": {"max_silence": "20s"}}}});
    let lookers = Plan::of_lookers("live-1", 1);
    let readers = "retention: 30d, readers: [{id: mail, kind: own, group_id: mailer}]}";
    let rulebook = lookers.rulebook.map(|it| it.replacen("retention: 30d}", readers, 1));
    let rulebook = rulebook.map(|it| format!("canary: true\n{it}"));
    let purposes = [&PURPOSES[..], &["canary"]].concat();
    let shop = Shop::open_with(kafka, &Plan { rulebook, purposes, settings, ..Plan::default() });
    let service = Service::start_run(&shop, "a", &["--canary"]);
    service.await_ready();
    let prometheus = Prometheus::scraping(&program, service.address());
    prometheus.await_some("assent_build_info");
    // A counter has no rate before its second sample.
    prometheus.await_some("count_over_time(assent_records_consumed_total[1m]) > 2");

    let mut missing = Vec::new();
    let mut round = 0;
    wait_until(WITHIN, "data in every panel", || {
        someone_comes_and_goes(&shop, round);
        round += 1;
        let of_a_run = |query: &String| !OF_SERVE.iter().any(|prefix| query.contains(prefix));
        let all = queries().into_iter().filter(|(_, query)| of_a_run(query));
        missing = all.filter(|(_, query)| !prometheus.has_number(query)).collect();
        println!("{} panels without data: {missing:?}", missing.len());
        missing.is_empty().then_some(())
    });
    assert_eq!(prometheus.firing(SILENT), None, "it has just spoken");

    let fired = wait_until(WITHIN, "the alert", || prometheus.firing(SILENT));
    let summary = fired["annotations"]["summary"].as_str().expect("a summary");
    assert!(summary.starts_with("Consent source cmp has said nothing for "), "{summary}");
    println!("fired: {summary}");
    for alert in prometheus.alerts() {
        let notes = alert["annotations"].to_string();
        assert!(!notes.contains("no value") && !notes.contains("error"), "{notes}");
    }

    heartbeat(&shop);
    wait_until(WITHIN, "its end", || prometheus.firing(SILENT).is_none().then_some(()));

    signal(service.pid(), Signal::Stop);
    wait_until(WITHIN, "a process that hangs", || prometheus.firing(HANGS));
    signal(service.pid(), Signal::Continue);
    wait_until(WITHIN, "its end", || prometheus.firing(HANGS).is_none().then_some(()));
    service.stop();
}

/// Agrees, looks at a toy, opts out; somebody else leaves by a signal.
fn someone_comes_and_goes(shop: &Shop<'_>, round: i64) {
    let id = format!("person-{round}");
    let says = |version, status| {
        shop.consent(&with(consent(&id, version, status, &PURPOSES), json!({"source": "cmp"})))
    };
    shop.kafka.produce([says(1, "GRANTED")]);
    shop.kafka.produce([shop.click(&view(&id))]);
    let key = crate::support::pseudonym("personalized-offers", &id);
    wait_until(WITHIN, "an assignment", || {
        let topic = shop.kafka.read_committed(&shop.segments("personalized-offers"));
        topic.iter().any(|record| record.key.as_deref() == Some(key.as_bytes())).then_some(())
    });
    shop.kafka.produce([says(2, "WITHDRAWN")]);
    heartbeat(shop);
    std::thread::sleep(Duration::from_secs(2));
}

fn heartbeat(shop: &Shop<'_>) {
    let beat = |partition: i32| {
        let beat = Message::new(shop.topic("consent-changelog")).partition(partition);
        beat.key(format!("__assent_heartbeat_{partition}")).header("source", "cmp")
    };
    shop.kafka.produce((0..shop.partitions).map(beat));
}

/// Ends with its value.
struct Prometheus {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// With our rules, which it looks at each second in the place of each minute.
    fn scraping(program: &std::path::Path, target: &str) -> Self {
        let folder = tempfile::tempdir().expect("temp dir");
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        let waits = read(RULES).lines().map(quicker).collect::<Vec<_>>().join("\n");
        file("rules.yml", &waits);
        file(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: assent, static_configs: [{{targets: ['{target}']}}]}}]\n"
            ),
        );
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let child = Command::new(program)
            .arg(format!("--web.listen-address={address}"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus starts");
        Self { child, address, _folder: folder }
    }

    /// `data` of an answer; `None`: it does not answer yet, or refuses.
    fn ask(&self, path: &str) -> Option<Value> {
        let mut connection = TcpStream::connect(&self.address).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        write!(connection, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        let body = answer.split_once("\r\n\r\n")?.1;
        let body: Value = serde_json::from_str(body).ok()?;
        assert_ne!(body["status"], "error", "{path}: {body}");
        Some(body["data"].clone())
    }

    fn query(&self, query: &str) -> Vec<Value> {
        let encoded =
            query.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02x}"));
        let answer = self.ask(&format!("/api/v1/query?query={encoded}"));
        answer.and_then(|data| data["result"].as_array().cloned()).unwrap_or_default()
    }

    fn await_some(&self, query: &str) {
        wait_until(WITHIN, query, || (!self.query(query).is_empty()).then_some(()));
    }

    /// Does the panel's query return at least one value that is one?
    fn has_number(&self, query: &str) -> bool {
        let values = self.query(&filled_in(query));
        values.iter().any(|sample| sample["value"][1].as_str().is_some_and(|it| it != "NaN"))
    }

    fn alerts(&self) -> Vec<Value> {
        let answer = self.ask("/api/v1/alerts").expect("an answer");
        answer["alerts"].as_array().expect("alerts").clone()
    }

    fn firing(&self, labels: &Labels) -> Option<Value> {
        let is = |alert: &Value| {
            let bears = |(name, value): &(&str, &str)| alert["labels"][*name] == *value;
            alert["state"] == "firing" && labels.iter().all(bears)
        };
        self.alerts().into_iter().find(is)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Intervals and waits of a line of the rules become a second.
fn quicker(line: &str) -> String {
    let is_time = ["interval: ", "for: "].iter().find(|name| line.trim_start().starts_with(**name));
    let second = |name: &&str| format!("{}{name}1s", &line[..line.len() - line.trim_start().len()]);
    is_time.map_or_else(|| line.to_owned(), second)
}
