//! What `run` refuses before it joins the group (78), what it tolerates and tells, and how a cluster that
//! can't be talked to is named.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::audit;
use crate::pipeline::settled;
use crate::support::{Finished, Kafka, Plan, Service, Shop, TopicPlan, consent, view, wait_until};

const WITHIN: Duration = Duration::from_mins(1);
const PURPOSES: [&str; 2] = ["partner-advertising", "personalized-offers"];
const OFFERS: &str = "segments.personalized-offers";

/// Each of these would lose, keep or misdate what a person said.
#[test]
fn a_topic_that_breaks_an_invariant_is_refused_by_its_setting_and_mended_as_told() {
    let kafka = kafka_or_skip!();
    for (topic, key, setting, value) in [
        ("consent-changelog", "topics.consent", "message.timestamp.type", "CreateTime"),
        ("consent-changelog", "topics.consent", "cleanup.policy", "delete"),
        ("consent-changelog", "topics.consent", "cleanup.policy", "compact,delete"),
        ("assent-state", "topics.state", "cleanup.policy", "delete"),
        (OFFERS, "topics.segments", "cleanup.policy", "delete"),
        ("clickstream", "topics.clickstream", "cleanup.policy", "compact"),
        ("segmentation-audit", "topics.audit", "cleanup.policy", "compact,delete"),
    ] {
        let shop = made_otherwise(kafka, &[(topic, setting, value)]);
        let told = refused(&shop, &[]);
        let expect = format!("assent: {key}: topic {} has {setting}={value}: ", shop.topic(topic));
        assert!(told.starts_with(&expect), "{told}\nlacks {expect}");
        let checked = shop.run(&["check", "--json"]);
        assert_eq!(checked.code, Some(1), "{checked:?}");
        let findings = checked.json()["findings"].as_array().expect("findings").clone();
        let found: Vec<&Value> = findings.iter().filter(|it| it["refuses"] == true).collect();
        assert_eq!(found.len(), 1, "{findings:#?}");
        let remedy = found[0]["do"].as_str().expect("what to do");
        assert!(told.ends_with(remedy), "check and run say the same: {told}\n{remedy}");
        assert_eq!(audit::read(&shop).batches, 0, "nothing was decided");
    }
}

/// What a message tells a person to run, runs as pasted.
#[test]
fn the_command_that_is_told_mends_the_topic() {
    let kafka = kafka_or_skip!();
    let shop =
        made_otherwise(kafka, &[("consent-changelog", "message.timestamp.type", "CreateTime")]);
    let told = refused(&shop, &[]);
    let command = told.split('`').nth(1).expect("a command");
    assert!(command.starts_with("kafka-configs.sh --bootstrap-server "), "{command}");
    let tools = kafka_tools();
    let path = std::env::var("PATH").expect("a PATH");
    let mut pasted = Command::new("sh");
    pasted.args(["-c", command]).env("PATH", format!("{}:{path}", tools.path().display()));
    Finished::of(&mut pasted).ok();
    let service = Service::start(&shop, "a");
    service.await_ready();
    service.stop();
}

#[test]
fn what_is_tolerated_is_a_warning_and_a_metric() {
    let kafka = kafka_or_skip!();
    let shop = made_otherwise(
        kafka,
        &[(OFFERS, "delete.retention.ms", "1000"), ("segmentation-audit", "retention.ms", "1000")],
    );
    let service = Service::start(&shop, "a");
    service.await_ready();
    let findings = |count| {
        wait_until(WITHIN, "the findings", || {
            let metrics = service.metrics();
            let told = metrics.count("assent_cluster_findings", &[("check", "settings")]);
            (told == count).then_some(metrics)
        })
    };
    assert_eq!(findings(2).sum("assent_cluster_findings", &[("check", "registry")]), Some(0.0));
    let log = service.log();
    let warned: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    let expect = format!("topics.audit: topic {}: ", shop.topic("segmentation-audit"));
    assert_eq!(warned.iter().filter(|line| line.contains(&expect)).count(), 1, "{warned:#?}");
    service.stop();
}

/// A topic that nobody knows yet may have been made a second ago.
#[test]
fn a_new_topic_is_waited_for() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..plan() });
    let mut plans = shop.topic_plans(&PURPOSES);
    let late = plans.pop().expect("a segment topic");
    kafka.create_topics(&plans);
    let missing = refused(&shop, &[]);
    assert!(
        missing
            .starts_with(&format!("assent: topics.segments: topic {} does not exist", late.name)),
        "{missing}"
    );
    let service = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(3));
            kafka.create_topics(std::slice::from_ref(&late));
        });
        Service::start(&shop, "a")
    });
    service.await_ready();
    service.stop();
}

/// Going on under other names would leave what is live where it is, or decide again.
#[test]
fn what_the_state_was_made_with_stays() {
    let kafka = kafka_or_skip!();
    let (shop, other) = (decided(kafka), Shop::open_with(kafka, &plan()));
    let before = audit::read(&shop).batches;
    let topic = |name: &str| other.topic(name);
    for (key, value) in [
        ("topics.clickstream", topic("clickstream")),
        ("topics.consent", topic("consent-changelog")),
        ("topics.segments", topic("segments.{purpose}")),
        ("topics.audit", topic("segmentation-audit")),
        ("topics.contextual", topic("contextual-segments")),
        ("topics.dead_letters", topic("segmentation-dead-letters")),
        ("topics.state", topic("assent-state")),
        ("kafka.group_id", "another-group".to_owned()),
        ("kafka.partitioner", "crc32".to_owned()),
    ] {
        let variable = format!("ASSENT__{}", key.to_uppercase().replace('.', "__"));
        let told = refused(&shop, &[(&variable, &value)]);
        assert!(told.starts_with(&format!("assent: {key} is {value}, ")), "{key}: {told}");
        assert!(
            told.contains("set it back to") || told.contains("set topics.state back to"),
            "{told}"
        );
        assert!(!told.contains("accept-loss"), "{told}");
        let mut accepting = shop.command(&["state", "accept-loss", "--yes"]);
        let accepting = Finished::of(accepting.env(&variable, &value));
        assert_eq!(accepting.code, Some(78), "{key}: {accepting:?}");
    }
    let other_key = r#"{"keys":[{"version":1,"status":"active","secret":"AAAAAAAABgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}]}"#;
    let keyset = shop.folder().join("other.json");
    std::fs::write(&keyset, other_key).expect("written");
    std::fs::set_permissions(&keyset, std::fs::Permissions::from_mode(0o600)).expect("mode");
    let told = refused(&shop, &[("ASSENT__KEYSET", "other.json")]);
    assert!(told.starts_with("assent: keyset: key version 1 has a different secret"), "{told}");

    let rules = std::fs::read_to_string(shop.folder().join("rulebook.yaml")).expect("rules");
    let changed = rules.replace("retention: 30d", "retention: 31d");
    std::fs::write(shop.folder().join("changed.yaml"), changed).expect("written");
    let told = refused(&shop, &[("ASSENT__RULEBOOK", "changed.yaml")]);
    assert!(told.starts_with("assent: rulebook: version \"refusals-1\" was used before"), "{told}");

    assert_eq!(audit::read(&shop).batches, before, "nothing was decided meanwhile");
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([shop.click(&view("kim"))]);
    settled(&shop);
    service.stop();
}

#[test]
fn a_group_of_another_program_is_not_taken_over() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan());
    kafka.produce((0..3).map(|_| shop.click(&view("kim"))));
    let outsider: BaseConsumer = kafka.client().set("group.id", shop.group_id()).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&shop.topic("clickstream"), 0, Offset::Offset(2)).unwrap();
    outsider.commit(&offsets, CommitMode::Sync).expect("committed");
    let told = refused(&shop, &[]);
    assert!(told.starts_with("assent: kafka.group_id: the group "), "{told}");
    assert!(told.contains("that Assent did not write (partition 0, offset 2)"), "{told}");

    let shop = Shop::open_with(kafka, &plan());
    let member: BaseConsumer = kafka.client().set("group.id", shop.group_id()).create().unwrap();
    member.subscribe(&[&shop.topic("clickstream")]).expect("subscribed");
    wait_until(WITHIN, "a member", || {
        member.poll(Duration::from_millis(50));
        let assigned = member.assignment().expect("an assignment").count();
        (assigned > 0).then_some(())
    });
    let told = refused(&shop, &[]);
    assert!(told.contains("kafka.group_id: the group") && told.contains("not Assent"), "{told}");
}

/// Each is one message, at once: nobody waits for what waiting does not fix.
#[test]
fn a_cluster_that_cant_be_talked_to_is_named_as_what_it_is() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan());
    let tls = [("ASSENT__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SSL")];
    let unknown = [("ASSENT__KAFKA__BOOTSTRAP_SERVERS", "no-such-host.invalid:9092")];
    let login = [
        ("ASSENT__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("ASSENT__KAFKA__PROPERTIES__SASL_USERNAME", "me"),
        ("ASSENT__KAFKA__PROPERTIES__SASL_PASSWORD", "s3cret"),
    ];
    for (environment, code, expect) in [
        (&tls[..], 78, "kafka.properties.security.protocol is SSL, but "),
        (&unknown[..], 69, "kafka.bootstrap_servers: no-such-host.invalid:9092: unknown host name"),
        (&login[..], 78, "ASSENT__KAFKA__PROPERTIES__SASL_MECHANISM"),
    ] {
        for command in [&["run"][..], &["check"], &["consent", "show", "kim"], &["verify"]] {
            let began = Instant::now();
            let mut command = shop.command(command);
            let ended = Finished::of(command.envs(environment.iter().copied()));
            assert_eq!(ended.code, Some(code), "{ended:?}");
            let told: Vec<&str> =
                ended.stderr.lines().filter(|line| !line.contains("INFO")).collect();
            assert_eq!(told.len(), 1, "one message: {}", ended.stderr);
            assert!(expect.starts_with("ASSENT") || told[0].contains(expect), "{}", told[0]);
            assert!(!told[0].contains("s3cret"), "{}", told[0]);
            assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
        }
    }
    let mut run = shop.command(&["run"]);
    let told = Finished::of(run.envs(login)).stderr;
    assert!(told.contains("kafka.properties.sasl.mechanism: is not set"), "{told}");
}

/// One of two instances with one name ends, and the other goes on undisturbed.
#[test]
fn a_copied_state_dir_is_noticed_and_one_of_the_two_ends() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan());
    let first = Service::start(&shop, "a");
    first.await_ready();
    copy(&shop.folder().join("state-a"), &shop.folder().join("state-b"));
    let second = Service::start(&shop, "b");
    let (ended, left) = one_ends([first, second]);
    assert!(ended.contains("pipeline.state_dir: ") && ended.contains("is a copy"), "{ended}");
    left.await_ready();
    kafka.produce([shop.click(&view("kim"))]);
    settled(&shop);

    // Started again by its supervisor, the copy ends again, and disturbs nobody.
    let rebalances = || left.metrics().count("assent_rebalances_total", &[]);
    let before = rebalances();
    let copies = ["a", "b"].map(|instance| shop.folder().join(format!("state-{instance}")));
    let mut refused = 0;
    for state_dir in copies {
        let mut run = shop.command(&["run"]);
        let ended = Finished::of(run.env("ASSENT__PIPELINE__STATE_DIR", &state_dir));
        assert_eq!(ended.code, Some(78), "{ended:?}");
        refused += usize::from(ended.stderr.contains("is a copy"));
    }
    assert_eq!(refused, 1, "the other folder is in use");
    assert_eq!(rebalances(), before, "nothing was taken from who was there");
    left.stop();
}

/// The same instance, killed and started again, does not wait for itself.
#[test]
fn a_predecessor_is_no_copy() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &plan());
    let service = Service::start(&shop, "a");
    service.await_ready();
    service.kill();
    let began = Instant::now();
    let service = Service::start(&shop, "a");
    service.await_ready();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    service.stop();
}

fn one_ends(services: [Service; 2]) -> (String, Service) {
    let mut services = Vec::from(services);
    let at = wait_until(WITHIN, "the end of one of the two", || {
        services.iter_mut().position(|service| service.ended().is_some())
    });
    let mut ended = services.swap_remove(at);
    assert_eq!(ended.wait(WITHIN).code(), Some(78));
    (ended.log(), services.remove(0))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("the state_dir") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// Kafka's own scripts, as far as the jars that the tests fetch have them.
fn kafka_tools() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temp dir");
    let script = folder.path().join("kafka-configs.sh");
    let jars = concat!(env!("CARGO_MANIFEST_DIR"), "/.kafka/libs-4.3.0/*");
    let text = format!("#!/bin/sh\nexec java -cp '{jars}' kafka.admin.ConfigCommand \"$@\"\n");
    std::fs::write(&script, text).expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("mode");
    folder
}

fn plan() -> Plan {
    Plan { partitions: 1, ..Plan::of_lookers("refusals-1", 2) }
}

/// A shop whose topics are as they should be but for these settings.
fn made_otherwise<'k>(kafka: &'k Kafka, settings: &[(&str, &'static str, &str)]) -> Shop<'k> {
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..plan() });
    let mut plans: Vec<TopicPlan> = shop.topic_plans(&PURPOSES);
    for (topic, setting, value) in settings {
        let name = shop.topic(topic);
        let config = &mut plans.iter_mut().find(|it| it.name == name).expect("a topic").config;
        config.retain(|(name, _)| name != setting);
        config.push((setting, (*value).to_owned()));
    }
    kafka.create_topics(&plans);
    shop
}

/// A shop in which something was decided, and nobody runs.
fn decided(kafka: &'static Kafka) -> Shop<'static> {
    let shop = Shop::open_with(kafka, &plan());
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([shop.consent(&consent("kim", 1, "GRANTED", &PURPOSES))]);
    kafka.produce((0..3).map(|_| shop.click(&view("kim"))));
    settled(&shop);
    service.stop();
    shop
}

/// The message that `run` refuses with: its only line but for information.
fn refused(shop: &Shop<'_>, environment: &[(&str, &str)]) -> String {
    let run = shop.command(&["run"]);
    let mut limited = Command::new("timeout");
    limited.arg("60").arg(run.get_program()).args(run.get_args()).current_dir(shop.folder());
    let ended = Finished::of(limited.envs(environment.iter().copied()));
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let told: Vec<&str> = ended.stderr.lines().filter(|line| !line.contains("INFO")).collect();
    assert_eq!(told.len(), 1, "{}", ended.stderr);
    told[0].to_owned()
}

/// A finding that `check` tells and `run` goes on with leaves no doubt which is which.
#[test]
fn check_says_what_run_refuses() {
    let kafka = kafka_or_skip!();
    let shop = made_otherwise(
        kafka,
        &[("assent-state", "cleanup.policy", "delete"), (OFFERS, "segment.ms", "7200000")],
    );
    let text = shop.run(&["check"]).stdout;
    let states = |state: &str| text.lines().filter(|line| line.starts_with(state)).count();
    assert_eq!((states("refused"), states("problem")), (1, 1), "{text}");
    let json = shop.run(&["check", "--json"]).json();
    assert_eq!(json["ok"], json!(false));
}
