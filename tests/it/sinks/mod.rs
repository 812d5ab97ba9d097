//! The sinks of docs/sinks.md, with the files of examples/sinks that the page shows: Kafka Connect into PostgreSQL,
//! and Flink SQL. Each has to follow an opt-out, and to show nothing that was aborted.

mod mirror;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use crate::support::{
    Finished, Message, Plan, Registry, Service, Shop, Sink, confluent, consent, leave_out, now_ms,
    pseudonym, schema_text, view, wait_until,
};

const OFFERS: &str = "personalized-offers";
/// As the files have it.
const TOPIC: &str = "segments.personalized-offers";
/// A worker is up within 6 s on a machine that does nothing else.
const STARTED_WITHIN: Duration = Duration::from_mins(3);
const WITHIN: Duration = Duration::from_mins(1);

macro_rules! sink_or_skip {
    ($($argument:expr),*) => {
        match Sink::start($($argument),*) {
            Ok(sink) => sink,
            Err(why) => return leave_out(&why),
        }
    };
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sinks").join(name)
}

/// A copy of an example that reads this shop's topic.
fn of_shop(shop: &Shop<'_>, name: &str) -> PathBuf {
    let text = std::fs::read_to_string(example(name)).expect("an example");
    assert_eq!(text.matches(TOPIC).count(), 1, "{name}: the topic, once");
    let copy = shop.folder().join(name);
    std::fs::write(&copy, text.replace(TOPIC, &shop.segments(OFFERS))).expect("written");
    copy
}

/// Two people with an assignment each, written by Assent with schemas of the registry.
fn inhabited(shop: &Shop<'_>) -> Service {
    let service = Service::start(shop, "a");
    service.await_ready();
    for subject in ["kim", "lee"] {
        shop.kafka.produce([shop.consent(&consent(subject, 1, "GRANTED", &[OFFERS]))]);
    }
    shop.kafka.produce([shop.click(&view("kim")), shop.click(&view("lee"))]);
    wait_until(WITHIN, "assignments", || {
        (shop.committed(TOPIC).iter().filter(|it| it.value.is_some()).count() >= 2).then_some(())
    });
    service
}

fn registered(registry: &Registry) -> Plan {
    let settings = json!({"schema_registry": {"url": registry.url()}});
    Plan { settings, ..Plan::of_lookers("sinks-1", 1) }
}

/// An assignment in the registry's framing.
fn assignment(shop: &Shop<'_>, registry: &Registry, subject: &str, expires_at: i64) -> Message {
    let key = pseudonym(OFFERS, subject);
    let value = json!({
        "pseudonym": key, "purpose": OFFERS, "segments": ["lookers"], "basis": "OPT_IN",
        "decided_at": 0, "expires_at": expires_at, "rulebook": "test",
    });
    let schema = schema_text("segment_assignment");
    let id = registry.register(&shop.segments(OFFERS), &schema);
    confluent(shop.assignment(OFFERS, &key, &[], 0), id, &schema, &value)
}

fn abort(shop: &Shop<'_>, message: &Message) {
    let patience = Duration::from_secs(30);
    let producer: BaseProducer =
        shop.kafka.client().set("transactional.id", &shop.name).create().expect("a producer");
    producer.init_transactions(patience).expect("initialized");
    producer.begin_transaction().expect("begun");
    let (key, value) = (message.key.as_ref().unwrap(), message.value.as_ref().unwrap());
    producer.send(BaseRecord::to(&message.topic).key(key).payload(value)).expect("taken");
    producer.flush(patience).expect("delivered");
    producer.abort_transaction(patience).expect("aborted");
}

/// A PostgreSQL that has examples/sinks/postgres.sql.
struct Database(Sink);

impl Database {
    fn url(&self) -> String {
        format!("{}/postgres", self.0.told())
    }

    fn psql(&self, arguments: &[&str]) -> Finished {
        let url = format!("postgresql://assent@{}", self.url());
        let mut command = Command::new("psql");
        command.args(["--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-At", &url]).args(arguments);
        Finished::of(&mut command)
    }

    fn run(&self, file: &str) {
        self.psql(&["-q", "-f", example(file).to_str().expect("UTF-8")]).ok();
    }

    fn keys(&self, relation: &str) -> Vec<String> {
        let found = self.psql(&["-c", &format!("SELECT pseudonym FROM {relation}")]).ok();
        found.stdout.lines().map(str::to_owned).collect()
    }

    /// Until exactly these subjects are there, in any order.
    fn await_subjects(&self, relation: &str, worker: &Sink, subjects: &[&str]) {
        let mut expected: Vec<String> = subjects.iter().map(|it| pseudonym(OFFERS, it)).collect();
        expected.sort();
        wait_until(STARTED_WITHIN, &format!("{relation}: {subjects:?}"), || {
            assert!(!worker.log().contains("Task is being killed"), "{}", worker.log());
            let mut found = self.keys(relation);
            found.sort();
            (found == expected).then_some(())
        });
    }
}

#[test]
fn a_row_of_postgres_is_there_after_consent_and_gone_after_the_opt_out() {
    let kafka = kafka_or_skip!();
    let registry = registry_or_skip!();
    let database = Database(sink_or_skip!("postgres", &[], &[]));
    database.run("postgres.sql");
    let shop = Shop::open_with(kafka, &registered(registry));
    let service = inhabited(&shop);
    abort(&shop, &assignment(&shop, registry, "aborted", now_ms() + 3_600_000));
    kafka.produce([
        assignment(&shop, registry, "over", now_ms() - 1),
        assignment(&shop, registry, "max", now_ms() + 3_600_000),
    ]);
    let jdbc = format!("jdbc:postgresql://{}", database.url());
    let address = registry.url().replace("/apis/ccompat/v7", "/apis/registry/v2");
    let environment = [
        ("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap()),
        ("CONNECT_LISTENER", "http://127.0.0.1:0"),
        ("REGISTRY_URL", &address),
        ("JDBC_URL", &jdbc),
        ("JDBC_USERNAME", "assent"),
        ("JDBC_PASSWORD", "unused"),
    ];
    let files = [example("worker.properties"), of_shop(&shop, "postgres.properties")];
    let worker = sink_or_skip!("connect", &files.each_ref().map(PathBuf::as_path), &environment);

    database.await_subjects("personalized_offers", &worker, &["kim", "lee", "max", "over"]);
    database.await_subjects("personalized_offers_now", &worker, &["kim", "lee", "max"]);
    let row = "SELECT segments, basis FROM personalized_offers_now WHERE pseudonym =";
    let row = database.psql(&["-c", &format!("{row} '{}'", pseudonym(OFFERS, "kim"))]).ok();
    assert_eq!(row.stdout, "{lookers}|OPT_IN\n");

    kafka.produce([shop.consent(&consent("kim", 2, "WITHDRAWN", &[OFFERS])), shop.erasure("lee")]);
    database.await_subjects("personalized_offers_now", &worker, &["max"]);
    database.await_subjects("personalized_offers", &worker, &["max", "over"]);
    database.run("purge.sql");
    assert_eq!(database.keys("personalized_offers"), [pseudonym(OFFERS, "max")]);
    only_the_view_is_readable(&database);
    an_unreadable_value_stops_the_task(&shop, &worker);
    service.stop();
}

fn only_the_view_is_readable(database: &Database) {
    let ask = |relation: &str| {
        database.psql(&[
            "-q",
            "-c",
            "SET ROLE offers_readers",
            "-c",
            &format!("SELECT 1 FROM {relation}"),
        ])
    };
    ask("personalized_offers_now").ok();
    let refused = ask("personalized_offers");
    assert!(refused.stderr.contains("permission denied"), "{refused:?}");
}

/// R7 of docs/readers.md, as far as Connect goes: it stops, aloud, and rows end by themselves.
fn an_unreadable_value_stops_the_task(shop: &Shop<'_>, worker: &Sink) {
    let unreadable = Message::new(shop.segments(OFFERS)).key(pseudonym(OFFERS, "max"));
    shop.kafka.produce([unreadable.value("not an assignment")]);
    wait_until(WITHIN, "the task to stop", || {
        worker.log().contains("Task is being killed").then_some(())
    });
}

#[test]
fn flink_deletes_what_a_tombstone_removes() {
    let kafka = kafka_or_skip!();
    let registry = registry_or_skip!();
    let shop = Shop::open_with(kafka, &registered(registry));
    let service = inhabited(&shop);
    abort(&shop, &assignment(&shop, registry, "aborted", now_ms() + 3_600_000));
    let environment =
        [("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap()), ("SCHEMA_REGISTRY_URL", registry.url())];
    let flink = sink_or_skip!("flink", &[&of_shop(&shop, "flink.sql")], &environment);
    let printed = |kind: &str, subject: &str| {
        let line = format!("{kind}[{}, [lookers], ", pseudonym(OFFERS, subject));
        wait_until(STARTED_WITHIN, &line, || {
            let log = flink.log();
            assert!(!log.contains("Exception in thread"), "{log}");
            log.contains(&line).then_some(())
        });
    };
    printed("+I", "kim");
    printed("+I", "lee");
    kafka.produce([shop.consent(&consent("kim", 2, "WITHDRAWN", &[OFFERS]))]);
    printed("-D", "kim");
    assert!(!flink.log().contains(&pseudonym(OFFERS, "aborted")));
    service.stop();
}
