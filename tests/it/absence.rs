//! An absence: a changelog forgets an erasure that nobody read within `delete.retention.ms`. Real
//! compaction, with a retention of seconds: whoever comes back too late stops, and once that is accepted,
//! nobody is used on consent that may be gone (INV-3, INV-4).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::stops::{
    OFFERS, PURPOSES, accept, assigned, keys, live, plan, stopped, tombstones, whole,
};
use crate::support::{self, BrokerPlan, Kafka, Plan, Service, Shop, consent, view};

/// Consent may go unread for half of it.
const RETENTION: Duration = Duration::from_secs(30);

/// Compaction takes an erasure once it has lain that long behind a first pass, and a segment that is rolled.
const GONE_WITHIN: Duration = Duration::from_mins(3);

/// A segment is rolled by what is appended next.
const TICK: Duration = Duration::from_millis(500);

fn forgetful_broker() -> Result<Kafka, support::LeftOut> {
    let settings = &["log.cleaner.backoff.ms=100", "log.retention.check.interval.ms=200"];
    Kafka::start_as(BrokerPlan { settings, ..BrokerPlan::default() })
}

/// Its changelog forgets as fast as a broker can.
fn forgetful(kafka: &Kafka) -> Shop<'_> {
    let shop = Shop::open_with(kafka, &Plan { create_topics: false, ..plan() });
    let mut plans = shop.topic_plans(&PURPOSES);
    let changelog = plans.iter_mut().find(|it| it.name == shop.topic("consent-changelog"));
    let retention = RETENTION.as_millis().to_string();
    let fast = [
        ("delete.retention.ms", retention.as_str()),
        ("max.compaction.lag.ms", "200"),
        ("segment.ms", "200"),
    ];
    let config = &mut changelog.expect("a changelog").config;
    for (name, value) in fast {
        let setting = config.iter_mut().find(|it| it.0 == name).expect("it is set");
        value.clone_into(&mut setting.1);
    }
    config.push(("min.cleanable.dirty.ratio", "0.0".to_owned()));
    kafka.create_topics(&plans);
    shop
}

/// Until nothing of this subject is left in the changelog; somebody else goes on deciding.
fn await_forgotten(shop: &Shop<'_>, subject: &str) {
    let since = Instant::now();
    for version in 1.. {
        shop.kafka.produce([shop.consent(&consent("tick", version, "GRANTED", &PURPOSES))]);
        std::thread::sleep(TICK);
        let left = shop.committed("consent-changelog");
        if !left.iter().any(|record| record.key_text() == subject) {
            return;
        }
        assert!(since.elapsed() < GONE_WITHIN, "the erasure is still there");
    }
}

#[test]
fn an_erasure_that_was_forgotten_unread_is_a_stop_and_its_subject_is_used_no_more() {
    let kafka = match forgetful_broker() {
        Ok(kafka) => kafka,
        Err(why) => return support::leave_out(&why),
    };
    let shop = forgetful(&kafka);
    assigned(&shop, &["kim", "lee"]);
    kafka.produce([shop.erasure("kim")]);
    await_forgotten(&shop, "kim");

    let told = stopped(&shop);
    let topic = shop.topic("consent-changelog");
    let absence = format!("topic {topic}, partition 0: consent was not read for ");
    assert!(told.contains(&absence) && told.contains("erasures may be gone unread"), "{told}");
    assert_eq!(live(&shop, OFFERS), keys(OFFERS, &["kim", "lee"]), "nothing was decided");
    let found = &accept(&shop, &[])["partitions"][0];
    assert_eq!((&found["subjects"], &found["live_keys"]), (&json!(2), &json!(4)), "{found}");
    assert!(stopped(&shop).contains(&absence), "looking changed nothing");
    accept(&shop, &["--yes"]);
    assert_eq!(tombstones(&shop, OFFERS), vec!["consent_unreadable"; 2]);
    assert_eq!(accept(&shop, &["--yes"])["partitions"], json!([]), "it is accepted");

    let service = Service::start(&shop, "a");
    service.await_ready();
    let clicked = |who: &str| kafka.produce(vec![shop.click(&view(who)); 3])[2];
    let places = ["kim", "lee"].map(clicked);
    let audit = whole(&shop);
    assert!(audit.losses[0].1.contains("erasures may be gone unread"), "{:?}", audit.losses);
    let verdicts = places.map(|place| audit.clicks[&place].verdicts[OFFERS].clone());
    assert_eq!(verdicts, ["CONSENT_UNREADABLE", "OPT_IN"], "Lee's record is still there");
    assert_eq!(live(&shop, OFFERS), keys(OFFERS, &["lee"]));
    audit.assert_effects(&shop, &PURPOSES);
    service.stop();
}

#[test]
fn whoever_reads_on_is_not_absent_though_nothing_comes_and_they_die() {
    let kafka = match forgetful_broker() {
        Ok(kafka) => kafka,
        Err(why) => return support::leave_out(&why),
    };
    let shop = forgetful(&kafka);
    assigned(&shop, &["kim"]);
    let service = Service::start(&shop, "a");
    service.await_ready();
    std::thread::sleep(RETENTION.mul_f64(0.7)); // longer than consent may go unread
    service.sigkill();
    let service = Service::start(&shop, "a");
    service.await_ready();
    kafka.produce([shop.erasure("kim")]);
    support::wait_until(Duration::from_mins(1), "the erasure", || {
        live(&shop, OFFERS).is_empty().then_some(())
    });
    whole(&shop);
    service.stop();
}
