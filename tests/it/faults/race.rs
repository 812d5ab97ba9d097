//! A denial races the click behind it, on two brokers: the one that has consent answers Assent 20 ms
//! later than the one that has the clicks, and the shop at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{BaseProducer, Producer as _};
use serde_json::json;

use super::{decided, in_sync, verified};
use crate::audit;
use crate::contract::{PURPOSES, plan};
use crate::proxy::{Link, Proxy};
use crate::support::{
    self, BrokerPlan, Kafka, Plan, Service, Shop, TopicPlan, block_on, consent, latest, view,
    wait_until,
};

const DENIALS: usize = 2_000;
const LATER: Duration = Duration::from_millis(20);
const WITHIN: Duration = Duration::from_mins(2);

#[test]
fn no_click_is_decided_on_consent_older_than_it_though_consents_broker_is_slower() {
    ci_or_skip!();
    let wire = ["WIRE=PLAINTEXT"];
    let clicks = match Kafka::start_as(BrokerPlan { listeners: &wire, ..BrokerPlan::default() }) {
        Ok(kafka) => kafka,
        Err(why) => return support::leave_out(&why),
    };
    let bootstrap = json!({"kafka": {"bootstrap_servers": clicks.listener("WIRE")}});
    let shop = Shop::open_with(&clicks, &Plan { create_topics: false, ..plan(bootstrap) });
    let mut plans = shop.topic_plans(&PURPOSES);
    let of_consent = plans.iter().position(|it| it.name.ends_with("consent-changelog"));
    let consents = plans.remove(of_consent.expect("consent's plan"));
    clicks.create_topics(&plans);
    make_internal_topics(&shop);

    let (proxy, listener) = Proxy::listen();
    let slower = [format!("WIRE=PLAINTEXT@{}", proxy.address())];
    let slower: Vec<&str> = slower.iter().map(String::as_str).collect();
    let second = BrokerPlan { listeners: &slower, joins: Some(&clicks), ..BrokerPlan::default() };
    let consent_broker = Kafka::start_as(second).expect("a second broker");
    proxy.serve(listener, consent_broker.listener("WIRE"));
    create_on_the_second(&clicks, &consents);
    proxy.set_link(Link::Slow(LATER));

    let service = Service::start(&shop, "a");
    service.await_ready();
    let people: Vec<String> = (0..DENIALS).map(|i| format!("race-{i}")).collect();
    let says =
        |who: &String, version, status| shop.consent(&consent(who, version, status, &PURPOSES));
    clicks.produce(people.iter().map(|who| says(who, 1, "GRANTED")));
    clicks.produce(people.iter().map(|who| shop.click(&view(who))));
    decided(&shop);
    let live = || latest(&shop.committed("segments.offers")).len();
    wait_until(WITHIN, "everybody assigned", || (live() == DENIALS).then_some(()));

    let over = AtomicBool::new(false);
    let raced = std::thread::scope(|scope| {
        scope.spawn(|| others_click(&shop, &over));
        let mut raced = Vec::new();
        for who in &people {
            clicks.produce([says(who, 2, "DENIED")]);
            raced.extend(clicks.produce([shop.click(&view(who))]));
        }
        over.store(true, Ordering::Relaxed);
        raced
    });
    decided(&shop);
    let audit = audit::read(&shop);
    let used = raced.iter().filter(|&place| audit.clicks[place].verdicts["offers"] != "OPTED_OUT");
    assert_eq!(used.count(), 0, "decided on the old consent, of {DENIALS}");
    wait_until(WITHIN, "no live key", || (live() == 0).then_some(()));
    in_sync(&service);
    let audit = audit::read(&shop);
    audit.assert_whole(&shop);
    audit.assert_effects(&shop, &PURPOSES);
    verified(&shop);
    service.stop();
}

/// The load during the race: people who never decided anything.
fn others_click(shop: &Shop<'_>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        shop.kafka.produce((0..20).map(|i| shop.click(&view(&format!("other-{i}")))));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The group's and the transactions' topics are made on first use: here, while there is one broker.
fn make_internal_topics(shop: &Shop<'_>) {
    let mut client = shop.kafka.client();
    let first: BaseProducer = client.set("transactional.id", "first").create().expect("a producer");
    first.init_transactions(WITHIN).expect("initialized");
    shop.kafka.committed_offsets(shop.group_id(), &shop.topic("clickstream"), shop.partitions);
}

fn create_on_the_second(kafka: &Kafka, plan: &TopicPlan) {
    let replicas: Vec<&[i32]> = vec![&[2]; plan.partitions as usize];
    let topic = NewTopic::new(&plan.name, plan.partitions, TopicReplication::Variable(&replicas));
    let topic = plan.config.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let made = block_on(kafka.admin().create_topics(&[topic], &AdminOptions::new()));
    made.expect("CreateTopics")[0].as_ref().expect("made");
    kafka.await_topic(plan);
}
