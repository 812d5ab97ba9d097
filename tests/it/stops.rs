//! The stops of docs/contract/bad-input.md#stops, and going on after them: what was lost is named,
//! nobody is used on consent that may be gone, and the chain goes on without a fork (INV-3, INV-4,
//! INV-9).

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::audit::{self, Audit};
use crate::pipeline::settled;
use crate::support::{
    self, Finished, Message, Plan, Record, Service, Shop, consent, latest, pseudonym, view,
    wait_until, with,
};
use crate::verify::assert_sound;

const WITHIN: Duration = Duration::from_mins(1);
const ADS: &str = "partner-advertising";
pub const OFFERS: &str = "personalized-offers";
pub const PURPOSES: [&str; 2] = [ADS, OFFERS];

#[test]
fn clicks_that_were_removed_end_sale_and_sharing_and_the_chain_goes_on() {
    let kafka = kafka_or_skip!();
    let shop = opened(kafka);
    assigned(&shop, &["kim", "lee"]);
    kafka.produce((0..30).map(|_| shop.click(&view("kim"))));
    remove_before(&shop, "clickstream", 20);

    let told = stopped(&shop);
    let topic = shop.topic("clickstream");
    assert!(told.contains(&format!("topic {topic}, partition 0: offsets 8 to 19")), "{told}");
    assert!(told.contains("assent state accept-loss"), "{told}");

    let looked = accept(&shop, &[]);
    assert_eq!(
        (&looked["accepted"], looked["partitions"][0]["next_click"].as_i64()),
        (&json!(false), Some(20))
    );
    assert_eq!(looked["partitions"][0]["live_keys"], 2, "{looked}");
    assert!(stopped(&shop).contains("offsets 8 to 19"), "looking changed nothing");
    let accepted = accept(&shop, &["--yes"]);
    assert_eq!(accepted["accepted"], true);
    assert_eq!(accept(&shop, &["--yes"])["partitions"], json!([]), "nothing is lost any more");

    let service = Service::start(&shop, "a");
    service.await_ready();
    let audit = whole(&shop);
    assert!(audit.losses[0].1.contains("offsets 8 to 19"), "{:?}", audit.losses);
    assert_eq!(live(&shop, OFFERS), keys(OFFERS, &["kim", "lee"]), "no signal ends these");
    kafka.produce(["kim", "lee"].iter().flat_map(|who| vec![shop.click(&view(who)); 3]));
    whole(&shop).assert_effects(&shop, &PURPOSES);
    assert_eq!(live(&shop, ADS), BTreeSet::new(), "a signal may have been on one of them");
    assert_eq!(tombstones(&shop, ADS), vec!["opt_out_signal"; 2]);
    service.stop();
}

#[test]
fn who_may_have_opted_out_in_lost_consent_is_withheld_until_their_consent_is_read_again() {
    let kafka = kafka_or_skip!();
    let shop = with_removable_consent(kafka);
    let max = consent("max", 1, "GRANTED", &PURPOSES);
    kafka.produce([shop.consent(&max)]);
    assigned_of(&shop, &["kim", "lee"], &["kim", "lee", "max"]);
    kafka.produce([
        shop.consent(&consent("kim", 2, "DENIED", &PURPOSES)), // lost
        shop.consent(&consent("lee", 2, "GRANTED", &PURPOSES)),
    ]);
    remove_before(&shop, "consent-changelog", 4);

    let told = stopped(&shop);
    assert!(told.contains("offsets 3 to 3 were removed"), "{told}");
    let found = &accept(&shop, &["--yes"])["partitions"][0];
    assert_eq!((&found["subjects"], &found["next_consent"]), (&json!(3), &json!(4)));
    assert_eq!(live(&shop, OFFERS), BTreeSet::new());
    let reasons = tombstones(&shop, OFFERS);
    assert_eq!(reasons, vec!["consent_unreadable"; 3]);

    let service = Service::start(&shop, "a");
    service.await_ready();
    let clicked = |who: &str| kafka.produce(vec![shop.click(&view(who)); 3])[2];
    let places = ["kim", "lee", "max"].map(clicked);
    let audit = whole(&shop);
    let verdicts = places.map(|place| audit.clicks[&place].verdicts[OFFERS].clone());
    assert_eq!(verdicts, ["CONSENT_UNREADABLE", "OPT_IN", "CONSENT_UNREADABLE"]);
    assert_eq!(live(&shop, OFFERS), keys(OFFERS, &["lee"]));

    // The consent source writes every current record again: the same versions as ever.
    kafka.produce([shop.consent(&consent("kim", 2, "DENIED", &PURPOSES)), shop.consent(&max)]);
    let places = ["kim", "max"].map(clicked);
    let audit = whole(&shop);
    let verdicts = places.map(|place| audit.clicks[&place].verdicts[OFFERS].clone());
    assert_eq!(verdicts, ["OPTED_OUT", "OPT_IN"]);
    assert_eq!(live(&shop, OFFERS), keys(OFFERS, &["lee", "max"]));
    audit.assert_effects(&shop, &PURPOSES);
    service.stop();
}

#[test]
fn an_input_that_was_made_anew_is_seen_also_when_it_is_fuller_than_before() {
    let kafka = kafka_or_skip!();
    for remade in ["clickstream", "consent-changelog"] {
        let shop = opened(kafka);
        assigned(&shop, &["kim", "lee"]);
        make_anew(&shop, remade);
        let others: Vec<String> = (0..40).map(|i| format!("other-{i}")).collect();
        if remade == "clickstream" {
            kafka.produce(others.iter().map(|who| shop.click(&view(who))));
        } else {
            kafka.produce(
                others.iter().map(|who| shop.consent(&consent(who, 1, "GRANTED", &PURPOSES))),
            );
            kafka.produce([shop.consent(&consent("kim", 2, "GRANTED", &PURPOSES))]);
        }
        let told = stopped(&shop);
        assert!(told.contains(&shop.topic(remade)) && told.contains("recreated"), "{told}");
        accept(&shop, &["--yes"]);
        let service = Service::start(&shop, "a");
        service.await_ready();
        kafka.produce(["kim", "lee"].iter().flat_map(|who| vec![shop.click(&view(who)); 3]));
        let audit = whole(&shop);
        assert!(audit.losses[0].1.contains("recreated"), "{:?}", audit.losses);
        let expected: &[&str] = if remade == "clickstream" { &["kim", "lee"] } else { &["kim"] };
        assert_eq!(live(&shop, OFFERS), keys(OFFERS, expected), "{remade}");
        service.stop();
    }
}

#[test]
fn a_group_that_something_else_changed_is_set_to_the_state() {
    let kafka = kafka_or_skip!();
    let shop = opened(kafka);
    assigned(&shop, &["kim"]);
    let outsider: BaseConsumer = kafka.client().set("group.id", shop.group_id()).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&shop.topic("clickstream"), 0, Offset::Offset(1)).unwrap();
    outsider.commit(&offsets, CommitMode::Sync).expect("committed");
    let told = stopped(&shop);
    assert!(told.contains("click offset 4") && told.contains("click offset 1"), "{told}");
    accept(&shop, &["--yes"]);
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([shop.click(&view("kim"))]);
    let audit = settled(&shop);
    assert_eq!((audit.clicks.len(), audit.losses.len()), (5, 1));
    assert_eq!(live(&shop, OFFERS), keys(OFFERS, &["kim"]));
    service.stop();
}

#[test]
fn a_lost_state_takes_every_live_key_and_every_signal_with_it() {
    let kafka = kafka_or_skip!();
    let shop = opened(kafka);
    assigned(&shop, &["kim", "lee"]);
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([shop.click(&with(view("kim"), json!({"gpc": true})))]);
    wait_until(WITHIN, "the signal bound", || {
        (live(&shop, ADS) == keys(ADS, &["lee"])).then_some(())
    });
    settled(&shop);
    service.stop();
    make_anew(&shop, "assent-state");

    let told = stopped(&shop);
    assert!(told.contains(&shop.topic("assent-state")), "{told}");
    interrupt(&shop);
    assert!(stopped(&shop).contains("interrupted"), "half of it is no state to go on from");
    accept(&shop, &["--yes"]);
    assert_eq!((live(&shop, OFFERS), live(&shop, ADS)), (BTreeSet::new(), BTreeSet::new()));

    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce(["kim", "lee"].iter().flat_map(|who| vec![shop.click(&buys(who)); 3]));
    let audit = whole(&shop);
    assert_eq!(live(&shop, OFFERS), keys(OFFERS, &["kim", "lee"]), "read again");
    assert_eq!(live(&shop, ADS), BTreeSet::new(), "whose signal is known to nobody any more");
    audit.assert_effects(&shop, &PURPOSES);
    service.stop();
}

#[test]
fn a_damaged_state_of_one_partition_leaves_the_others_alone() {
    let kafka = kafka_or_skip!();
    let shop = Shop::open_with(kafka, &Plan { partitions: 2, ..plan() });
    let people: Vec<String> = (0..12).map(|i| format!("kid-{i}")).collect();
    let names: Vec<&str> = people.iter().map(String::as_str).collect();
    assigned(&shop, &names);
    let damaged: BTreeSet<String> = placed(&shop)
        .into_iter()
        .filter(|(partition, _)| *partition == 1)
        .map(|(_, who)| who)
        .collect();
    assert!(!damaged.is_empty() && damaged.len() < 12, "{damaged:?}");
    let torn = |key| Message::new(shop.topic("assent-state")).partition(1).key(key).value("torn");
    kafka.produce([torn("b/7/0"), torn("no key of ours")]);

    let told = stopped(&shop);
    assert!(told.contains("partition 1") && !told.contains("partition 0"), "{told}");
    assert_eq!(accept(&shop, &["--partitions", "0", "--yes"])["partitions"], json!([]));
    accept(&shop, &["--partitions", "1", "--yes"]);
    let left: Vec<&str> = names.iter().copied().filter(|who| !damaged.contains(*who)).collect();
    assert_eq!(live(&shop, OFFERS), keys(OFFERS, &left));
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce(names.iter().flat_map(|who| vec![shop.click(&view(who)); 3]));
    whole(&shop).assert_effects(&shop, &PURPOSES);
    assert_eq!(live(&shop, OFFERS), keys(OFFERS, &names));
    service.stop();
}

#[test]
fn a_state_that_the_audit_has_left_behind_forks_no_chain() {
    let kafka = kafka_or_skip!();
    let shop = opened(kafka);
    assigned(&shop, &["kim"]);
    let first = meta(&shop).pop().expect("a record of the partition's own");
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce(vec![shop.click(&view("kim"))]);
    settled(&shop);
    service.stop();
    assert_ne!(meta(&shop).pop().as_ref(), Some(&first), "the audit went on");
    let restored = Message::new(shop.topic("assent-state")).partition(0).key("meta").value(first);
    kafka.produce([restored]);
    let told = stopped(&shop);
    assert!(told.contains("would fork the chain"), "{told}");
    accept(&shop, &["--yes"]);
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce(vec![shop.click(&view("kim")); 3]);
    whole(&shop).assert_effects(&shop, &PURPOSES);
    assert_eq!(live(&shop, OFFERS), keys(OFFERS, &["kim"]));
    service.stop();
}

#[test]
fn a_loss_is_settled_only_while_nobody_runs() {
    let kafka = kafka_or_skip!();
    let shop = opened(kafka);
    let service = Service::start(&shop, "a");
    service.await_ready();
    let refused = shop.run(&["state", "accept-loss", "--yes"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("live members"), "{refused:?}");
    service.stop();
}

#[test]
fn a_migration_is_no_loss() {
    let kafka = kafka_or_skip!();
    let shop = opened(kafka);
    assigned(&shop, &["kim"]);
    for command in [&["run"][..], &["state", "accept-loss", "--yes"]] {
        let mut other = shop.command(command);
        let refused = Finished::of(other.env("ASSENT__KAFKA__PARTITIONER", "crc32"));
        assert_eq!(refused.code, Some(78), "{refused:?}");
        assert!(refused.stderr.contains("kafka.partitioner"), "{refused:?}");
    }
    for topic in ["clickstream", "consent-changelog", "assent-state", "segmentation-audit"] {
        grow(&shop, topic, 2);
    }
    for command in [&["run"][..], &["state", "accept-loss", "--yes"]] {
        let refused = shop.run(command);
        assert_eq!(refused.code, Some(78), "{refused:?}");
        assert!(refused.stderr.contains("new group"), "{refused:?}");
    }
}

#[test]
fn topics_that_change_under_a_running_service_end_it() {
    let kafka = kafka_or_skip!();
    let grown = opened(kafka);
    let mut service = Service::start(&grown, "a");
    service.await_ready();
    grow(&grown, "clickstream", 2);
    assert_eq!(service.wait(WITHIN).code(), Some(1));
    let told = service.log();
    assert!(told.contains("has 2 partitions, it had 1"), "{told}");
    let restarted = grown.run(&["run"]);
    assert_eq!(restarted.code, Some(78), "{restarted:?}");
    assert!(restarted.stderr.contains("new group"), "{restarted:?}");

    let remade = opened(kafka);
    assigned(&remade, &["kim"]);
    let mut service = Service::start(&remade, "a");
    service.await_ready();
    make_anew(&remade, "consent-changelog");
    kafka.produce(
        (0..40).map(|i| remade.consent(&consent(&format!("o-{i}"), 1, "GRANTED", &PURPOSES))),
    );
    assert_eq!(service.wait(WITHIN).code(), Some(1));
    assert!(stopped(&remade).contains("recreated"), "still, at the next start");
}

pub fn plan() -> Plan {
    Plan { partitions: 1, ..Plan::of_lookers("stops-1", 3) }
}

fn opened(kafka: &'static support::Kafka) -> Shop<'static> {
    Shop::open_with(kafka, &plan())
}

/// Kafka removes records on request, or after a time, only where the policy says so.
fn with_removable_consent(kafka: &'static support::Kafka) -> Shop<'static> {
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..plan() });
    let mut plans = shop.topic_plans(&PURPOSES);
    let changelog = plans.iter_mut().find(|it| it.name == shop.topic("consent-changelog"));
    let config = &mut changelog.expect("a changelog").config;
    let policy = config.iter_mut().find(|(name, _)| *name == "cleanup.policy").expect("a policy");
    "compact,delete".clone_into(&mut policy.1);
    config.push(("retention.ms", "-1".into()));
    kafka.create_topics(&plans);
    shop
}

fn buys(who: &str) -> Value {
    with(view(who), json!({"kind": "PURCHASE"}))
}

/// Each of them grants everything and looks four times; then nobody runs.
pub fn assigned(shop: &Shop<'_>, people: &[&str]) {
    assigned_of(shop, people, people);
}

/// Some have granted before.
fn assigned_of(shop: &Shop<'_>, granting: &[&str], people: &[&str]) {
    let service = Service::start(shop, "a");
    service.await_ready();
    shop.kafka
        .produce(granting.iter().map(|who| shop.consent(&consent(who, 1, "GRANTED", &PURPOSES))));
    shop.kafka.produce(people.iter().flat_map(|who| vec![shop.click(&view(who)); 4]));
    wait_until(WITHIN, "everybody assigned", || {
        PURPOSES.iter().all(|of| live(shop, of) == keys(of, people)).then_some(())
    });
    settled(shop);
    service.stop();
}

/// The message that `run` ends with; one that goes on instead is ended after a minute.
pub fn stopped(shop: &Shop<'_>) -> String {
    let run = shop.command(&["run"]);
    let mut limited = std::process::Command::new("timeout");
    limited.arg("60").arg(run.get_program()).args(run.get_args()).current_dir(shop.folder());
    let stopped = Finished::of(&mut limited);
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    let message = stopped.stderr.lines().last().expect("a message");
    message.to_owned()
}

pub fn accept(shop: &Shop<'_>, flags: &[&str]) -> Value {
    shop.run(&[&["state", "accept-loss", "--json"], flags].concat()).ok().json()
}

/// `accept-loss` that dies after its first transaction.
fn interrupt(shop: &Shop<'_>) {
    let mut command = shop.command(&["state", "accept-loss", "--yes"]);
    let died = Finished::of(command.env("ASSENT_CRASH_AT", "after_commit"));
    assert_eq!(died.code, None, "{died:?}");
}

pub fn live(shop: &Shop<'_>, purpose: &str) -> BTreeSet<String> {
    let records = latest(&shop.committed(&format!("segments.{purpose}")));
    records.into_keys().map(|key| String::from_utf8(key).expect("text")).collect()
}

pub fn keys(purpose: &str, people: &[&str]) -> BTreeSet<String> {
    people.iter().map(|who| pseudonym(purpose, who)).collect()
}

pub fn tombstones(shop: &Shop<'_>, purpose: &str) -> Vec<String> {
    let records = shop.committed(&format!("segments.{purpose}"));
    let removed = records.iter().filter(|record| record.value.is_none());
    removed.map(|record| record.header("reason").expect("a reason").to_owned()).collect()
}

/// Where each subject's consent lies.
fn placed(shop: &Shop<'_>) -> BTreeSet<(i32, String)> {
    let records = shop.committed("consent-changelog");
    records.iter().map(|record| (record.partition, record.key_text().to_owned())).collect()
}

fn meta(shop: &Shop<'_>) -> Vec<Vec<u8>> {
    let of_it = |record: Record| (record.key_text() == "meta").then_some(record.value).flatten();
    shop.committed("assent-state").into_iter().filter_map(of_it).collect()
}

/// The audit, followed from its first batch, once all that the inputs still hold has its outcome; and
/// `assent verify` finds nothing.
pub fn whole(shop: &Shop<'_>) -> Audit {
    let audit = wait_until(WITHIN, "every input that is there audited", || {
        Some(audit::read(shop)).filter(|audit| audit.is_whole(shop))
    });
    assert_sound(shop);
    audit
}

fn remove_before(shop: &Shop<'_>, topic: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&shop.topic(topic), 0, Offset::Offset(offset)).expect("an offset");
    let (admin, options) = (shop.kafka.admin(), AdminOptions::new());
    support::block_on(admin.delete_records(&list, &options)).expect("removed");
}

fn make_anew(shop: &Shop<'_>, topic: &str) {
    let name = shop.topic(topic);
    let (admin, options) = (shop.kafka.admin(), AdminOptions::new());
    support::block_on(admin.delete_topics(&[&name], &options)).expect("deleted");
    std::thread::sleep(Duration::from_secs(1));
    let plans = shop.topic_plans(&PURPOSES).into_iter().filter(|plan| plan.name == name);
    shop.kafka.create_topics(&plans.collect::<Vec<_>>());
}

fn grow(shop: &Shop<'_>, topic: &str, partitions: usize) {
    let name = shop.topic(topic);
    let (admin, options) = (shop.kafka.admin(), AdminOptions::new());
    let grown = [NewPartitions::new(&name, partitions)];
    support::block_on(admin.create_partitions(&grown, &options)).expect("grown");
    wait_until(WITHIN, "the new partitions", || {
        let metadata = admin.inner().fetch_metadata(Some(&name), WITHIN).ok()?;
        (metadata.topics()[0].partitions().len() == partitions).then_some(())
    });
}
