//! The examples in Python against the running service: what docs/producers.md and docs/readers.md say is
//! what stock clients and stock Avro do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Finished, LeftOut, Plan, Service, Shop, leave_out, wait_until};

const SUBJECT: &str = "family-000042";
const OTHER: &str = "family-000043";
const PURPOSE: &str = "personalized-offers";
/// 2100-01-01.
const NEVER: i64 = 4_102_444_800_000;
const WITHIN: Duration = Duration::from_secs(30);

/// Python with examples/requirements.txt: the one that .ci/run makes, else the one on the PATH.
pub fn python() -> Result<PathBuf, LeftOut> {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    let python = if made.exists() { made } else { "python3".into() };
    let found = Command::new(&python).args(["-c", "import confluent_kafka, fastavro"]).output();
    match found {
        Ok(found) if found.status.success() => Ok(python),
        _ => Err(LeftOut::because(
            "Python lacks confluent-kafka and fastavro: python3 -m venv target/python && \
             target/python/bin/pip install -r examples/requirements.txt",
        )),
    }
}

struct Examples<'s, 'k> {
    python: PathBuf,
    shop: &'s Shop<'k>,
}

impl Examples<'_, '_> {
    fn run(&self, script: &str, arguments: &[&str]) -> Finished {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(script);
        let mut command = Command::new(&self.python);
        Finished::of(command.arg(script).args(arguments).current_dir(self.shop.folder()))
    }

    /// examples/producer/shop.py; where it says each record went.
    fn produce(&self, arguments: &[&str]) -> Vec<Value> {
        let topics = [self.shop.topic("clickstream"), self.shop.topic("consent-changelog")];
        let common = [
            "--bootstrap",
            self.shop.kafka.bootstrap(),
            "--clickstream",
            &topics[0],
            "--consent-changelog",
            &topics[1],
        ];
        self.run("producer/shop.py", &[&common[..], arguments].concat()).ok().json_lines()
    }

    /// examples/reader/segments.py follow --once, into a copy of this name; what it told.
    fn follow(&self, copy: &str) -> String {
        let topic = self.shop.segments(PURPOSE);
        let bootstrap = self.shop.kafka.bootstrap();
        let arguments = ["follow", &topic, "--copy", copy, "--once", "--bootstrap", bootstrap];
        self.run("reader/segments.py", &arguments).ok().stderr
    }

    fn segments(&self, copy: &str, pseudonym: &str) -> Value {
        self.run("reader/segments.py", &["show", copy, pseudonym]).ok().json()["segments"].clone()
    }

    /// Follows until the copy says this.
    fn await_segments(&self, copy: &str, pseudonym: &str, expect: &Value) {
        wait_until(WITHIN, "segments in the reader's copy", || {
            self.follow(copy);
            (self.segments(copy, pseudonym) == *expect).then_some(())
        });
    }

    fn grant_and_look(&self, subject: &str) {
        let decision = format!("{PURPOSE}=GRANTED");
        self.produce(&["consent", subject, "--decide", &decision, "--age-band", "FROM_18"]);
        for _ in 0..3 {
            self.produce(&["click", "visit", "--subject", subject, "--category", "preschool-toys"]);
        }
    }

    fn pseudonym(&self, subject: &str) -> String {
        let found = wait_until(WITHIN, "an assignment", || {
            let arguments =
                ["segments", "get", "--subject", subject, "--purpose", PURPOSE, "--json"];
            let found = self.shop.run(&arguments);
            (found.code == Some(0)).then(|| found.json())
        });
        found["pseudonym"].as_str().expect("a pseudonym").to_owned()
    }
}

macro_rules! examples_or_skip {
    ($shop:expr) => {
        match python() {
            Ok(python) => Examples { python, shop: $shop },
            Err(why) => return leave_out(&why),
        }
    };
}

#[test]
fn consent_and_clicks_of_a_stock_client_become_a_segment_that_a_stock_reader_sees_end() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan::default());
    let examples = examples_or_skip!(&shop);
    let service = Service::start(&shop, "a");
    service.await_ready();

    examples.grant_and_look(SUBJECT);
    examples.grant_and_look(OTHER);
    let (pseudonym, other) = (examples.pseudonym(SUBJECT), examples.pseudonym(OTHER));
    examples.await_segments("copy.db", &pseudonym, &json!(["preschool-explorers"]));
    examples.await_segments("copy.db", &other, &json!(["preschool-explorers"]));

    let withdrawn = format!("{PURPOSE}=WITHDRAWN");
    examples.produce(&["consent", SUBJECT, "--decide", &withdrawn, "--age-band", "FROM_18"]);
    examples.await_segments("copy.db", &pseudonym, &json!(["all-visitors"]));
    examples.produce(&["erase", OTHER]);
    examples.await_segments("copy.db", &other, &json!(["all-visitors"]));
    assert_eq!(service.metrics().count("assent_dead_letters_total", &[]), 0);
    service.stop();
}

#[test]
fn a_copy_that_is_too_old_or_of_a_shorter_topic_is_made_from_the_beginning() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let examples = examples_or_skip!(&shop);
    let pseudonym = "AaquPNlry1_CLUedrU35O-s";
    let assignment =
        |expires_at: i64| shop.assignment(PURPOSE, pseudonym, &["preschool-explorers"], expires_at);

    kafka.produce([assignment(NEVER)]);
    examples.follow("copy.db");
    assert_eq!(examples.segments("copy.db", pseudonym), json!(["preschool-explorers"]));

    examples
        .change("copy.db", "UPDATE progress SET current_at = current_at - 15 * 86400000 - 60000");
    examples
        .change("copy.db", "INSERT INTO assignment VALUES ('left', 0, '[]', 9223372036854775807)");
    assert!(examples.follow("copy.db").contains("the copy is too old"));
    assert_eq!(examples.count("copy.db"), 1, "what was compacted away in the meantime is gone");

    examples.change("copy.db", "UPDATE progress SET next_offset = 1000");
    assert!(examples.follow("copy.db").contains("read again from the beginning"));
    assert_eq!(examples.segments("copy.db", pseudonym), json!(["preschool-explorers"]));

    kafka.produce([assignment(crate::support::now_ms() - 1)]);
    examples.follow("copy.db");
    assert_eq!(examples.segments("copy.db", pseudonym), json!(["all-visitors"]), "its lease ended");
    kafka.produce([assignment(NEVER)]);
    kafka.produce([shop.assignment(PURPOSE, pseudonym, &["x"], 0).value("no Avro")]);
    assert!(examples.follow("copy.db").contains("its key is dropped"));
    assert_eq!(examples.segments("copy.db", pseudonym), json!(["all-visitors"]));
}

impl Examples<'_, '_> {
    fn change(&self, copy: &str, statement: &str) {
        let script = format!(
            "import sqlite3; db = sqlite3.connect('{copy}'); db.execute(\"{statement}\"); db.commit()"
        );
        self.python(&script);
    }

    fn count(&self, copy: &str) -> u64 {
        let script = format!(
            "import sqlite3; print(sqlite3.connect('{copy}').execute('SELECT count(*) FROM \
             assignment').fetchone()[0])"
        );
        self.python(&script).stdout.trim().parse().expect("a number")
    }

    fn python(&self, script: &str) -> Finished {
        let mut command = Command::new(&self.python);
        Finished::of(command.args(["-c", script]).current_dir(self.shop.folder())).ok()
    }
}

#[test]
fn a_reader_with_a_registry_reads_both_framings() {
    let kafka = kafka_or_skip!();
    let registry = registry_or_skip!();
    let settings = json!({"schema_registry": {"url": registry.url()}});
    let shop = Shop::open_with(kafka, &Plan { settings, ..Plan::default() });
    let examples = examples_or_skip!(&shop);
    let service = Service::start(&shop, "a");
    service.await_ready();
    examples.grant_and_look(SUBJECT);
    let (confluent, single) = (examples.pseudonym(SUBJECT), "AaquPNlry1_CLUedrU35O-s");
    kafka.produce([shop.assignment(PURPOSE, single, &["preschool-explorers"], NEVER)]);
    let topic = shop.segments(PURPOSE);
    let arguments = ["follow", &topic, "--copy", "copy.db", "--once", "--bootstrap"];
    let arguments = [&arguments[..], &[kafka.bootstrap(), "--registry", registry.url()]].concat();
    examples.run("reader/segments.py", &arguments).ok();
    for pseudonym in [confluent.as_str(), single] {
        assert_eq!(examples.segments("copy.db", pseudonym), json!(["preschool-explorers"]));
    }
    service.stop();
}

#[test]
fn a_heartbeat_reaches_every_partition_and_is_no_erasure() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let examples = examples_or_skip!(&shop);
    let service = Service::start(&shop, "a");
    service.await_ready();

    let places = examples.produce(&["heartbeat", "cmp"]);

    assert_eq!(places.len(), 4);
    let topic = shop.topic("consent-changelog");
    let labels = [("topic", topic.as_str()), ("outcome", "heartbeat")];
    wait_until(WITHIN, "heartbeats", || {
        (service.metrics().count("assent_outcomes_total", &labels) == 4).then_some(())
    });
    assert_eq!(service.metrics().count("assent_dead_letters_total", &[]), 0);
    service.stop();
}

#[test]
fn a_click_is_the_contracts_bytes() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let examples = examples_or_skip!(&shop);

    examples.produce(&["click", "visit", "--sec-gpc", "1", "--category", "books"]);

    let records = shop.committed("clickstream");
    assert_eq!(records[0].key_text(), "visit");
    let click =
        crate::support::decode("click_event", records[0].value.as_deref().expect("a value"));
    assert_eq!((&click["gpc"], &click["category"]), (&json!(true), &json!("books")));
}

/// A mistake is answered with one line that says what to do.
#[track_caller]
fn assert_told(finished: &Finished, code: i32, expected: &str) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    assert!(finished.stderr.contains(expected), "{finished:?}");
}

const NOBODY: &str = "127.0.0.1:1";

#[test]
fn a_python_that_lacks_the_packages_is_told_what_to_install() {
    for script in ["producer/shop.py", "reader/segments.py"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(script);
        // Without site-packages, whatever is installed.
        let finished = Finished::of(Command::new("python3").args(["-I", "-S"]).arg(path));
        assert_told(&finished, 1, "examples/requirements.txt");
    }
}

#[test]
fn no_broker_a_missing_topic_and_other_mistakes_are_one_line_each() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..Plan::default() });
    let examples = examples_or_skip!(&shop);
    let shop_py = |arguments: &[&str]| examples.run("producer/shop.py", arguments);
    let segments_py = |arguments: &[&str]| examples.run("reader/segments.py", arguments);
    let (here, topic) = (kafka.bootstrap(), shop.topic("absent"));

    assert_told(&shop_py(&["--bootstrap", NOBODY, "click", "s"]), 1, "no broker answers at 127");
    let follow = ["follow", &topic, "--copy", "copy.db", "--bootstrap"];
    assert_told(&segments_py(&[&follow[..], &[NOBODY]].concat()), 1, "no broker answers at 127");

    let absent = ["--bootstrap", here, "--clickstream", &topic, "--consent-changelog", &topic];
    for command in [&["click", "s"][..], &["erase", "s"], &["heartbeat", "cmp"]] {
        assert_told(&shop_py(&[&absent[..], command].concat()), 1, "does not exist");
    }
    assert_told(&segments_py(&[&follow[..], &[here]].concat()), 1, "does not exist");

    let unknown = ["--bootstrap", here, "--set", "no.such=1", "click", "s"];
    assert_told(&shop_py(&unknown), 1, "no.such");
    let nowhere = ["follow", &topic, "--copy", "no/such/copy.db", "--bootstrap", here];
    assert_told(&segments_py(&nowhere), 1, "no/such/copy.db");
    assert_told(&segments_py(&["show", "absent.db", "x"]), 1, "the copy does not exist");
    std::fs::write(shop.folder().join("text.db"), "no database, but long enough to be looked at")
        .expect("written");
    assert_told(&segments_py(&["show", "text.db", "x"]), 1, "not a database");
}

#[test]
fn a_value_that_the_schema_lacks_is_one_line() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let examples = examples_or_skip!(&shop);
    let topics = [shop.topic("clickstream"), shop.topic("consent-changelog")];
    let common = ["--bootstrap", kafka.bootstrap(), "--clickstream", &topics[0]];
    let common = [&common[..], &["--consent-changelog", &topics[1]]].concat();
    for wrong in [
        &["click", "s", "--kind", "STARE"][..],
        &["consent", "s", "--age-band", "TEEN"],
        &["consent", "s", "--decide", "offers=PERHAPS"],
    ] {
        let finished = examples.run("producer/shop.py", &[&common[..], wrong].concat());
        assert_told(&finished, 1, "not a record of the schema");
    }
}

#[test]
fn ctrl_c_ends_the_examples_without_a_word() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open(kafka);
    let examples = examples_or_skip!(&shop);
    let topic = shop.segments(PURPOSE);
    for (script, arguments, code) in [
        ("producer/shop.py", &["--bootstrap", NOBODY, "click", "s"][..], 130),
        (
            "reader/segments.py",
            &["follow", &topic, "--copy", "c.db", "--bootstrap", kafka.bootstrap()],
            0,
        ),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(script);
        let mut command = Command::new(&examples.python);
        command.arg(path).args(arguments).current_dir(shop.folder());
        let child = command.stderr(std::process::Stdio::piped()).spawn().expect("it starts");
        wait_until(Duration::from_secs(30), "it has a Kafka client", || has_client(child.id()));
        std::thread::sleep(Duration::from_secs(3));
        crate::support::signal(child.id(), crate::support::Signal::Int);
        let output = child.wait_with_output().expect("its output");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.as_ref()), (Some(code), ""), "{script}");
    }
}

/// A process that is interrupted while Python still imports what it needs ends in a traceback. Where there
/// is no /proc, it is given a while.
fn has_client(pid: u32) -> Option<()> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"));
    maps.map_or(true, |maps| maps.contains("librdkafka")).then_some(())
}
