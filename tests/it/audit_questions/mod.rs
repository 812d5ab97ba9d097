//! Questions to the audit on a real Kafka: each is recorded before it is answered, and no answer, index or
//! record of a question holds a raw identifier (INV-6).

mod affected;
mod disk;
mod explain;
mod export;
mod query;
mod report;

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    self, Finished, Kafka, Plan, Service, Shop, TopicPlan, consent, view, wait_until,
};

pub const OFFERS: &str = "personalized-offers";
pub const ADS: &str = "partner-advertising";
const ACCESS: &str = "segmentation-audit-access";

/// A shop whose questions are recorded. Who looks twice is in both purposes.
pub fn asked_shop<'k>(kafka: &'k Kafka, version: &str) -> Shop<'k> {
    let shop = Shop::open_with(kafka, &Plan { partitions: 2, ..Plan::of_lookers(version, 2) });
    kafka.create_topics(&[access_topic(&shop)]);
    shop
}

fn access_topic(shop: &Shop<'_>) -> TopicPlan {
    TopicPlan { name: shop.topic(ACCESS), partitions: 1, config: vec![] }
}

/// A question, not asked yet.
pub fn question(shop: &Shop<'_>, arguments: &[&str]) -> Command {
    let mut command = shop.command(arguments);
    command
        .env("ASSENT__TOPICS__AUDIT_ACCESS", shop.topic(ACCESS))
        .env("ASSENT__AUDIT__OPERATOR", "auditor@shop.example");
    command
}

/// Runs a question.
pub fn ask(shop: &Shop<'_>, arguments: &[&str]) -> Finished {
    Finished::of(&mut question(shop, arguments))
}

/// What is recorded of questions so far.
pub fn recorded(shop: &Shop<'_>) -> Vec<Value> {
    let records = shop.committed(ACCESS);
    let decode = |record: &support::Record| {
        assert_eq!(record.key_text(), "auditor@shop.example");
        let value = record.value.as_deref().expect("a value");
        assert_eq!(value[..2], [0xc3, 1], "single-object encoding");
        support::read_datum(&support::schema_text("audit_access"), &value[10..])
    };
    records.iter().map(decode).collect()
}

/// Grants, looks twice, and is assigned for both purposes.
pub fn become_assigned(shop: &Shop<'_>, subject: &str) {
    shop.kafka.produce([shop.consent(&consent(subject, 1, "GRANTED", &[OFFERS, ADS]))]);
    shop.kafka.produce((0..2).map(|_| shop.click(&view(subject))));
    let keys = [OFFERS, ADS].map(|purpose| support::pseudonym(purpose, subject));
    wait_until(Duration::from_secs(30), "assignments", || {
        let live = |(purpose, key): (&str, &String)| {
            let records = shop.committed(&format!("segments.{purpose}"));
            records.iter().any(|record| record.key_text() == key && record.value.is_some())
        };
        [OFFERS, ADS].into_iter().zip(&keys).all(live).then_some(())
    });
}

/// Waits until so many entries of the subject are in the audit.
pub fn await_entries(shop: &Shop<'_>, subject: &str, count: usize) {
    let token = json!(support::pseudonym_bytes("audit", subject).to_vec());
    wait_until(Duration::from_secs(30), "entries", || {
        let batches = crate::audit::batches(shop);
        let entries = batches.values().flatten().flat_map(|it| it["entries"].as_array().unwrap());
        (entries.filter(|entry| entry["subject"] == token).count() >= count).then_some(())
    });
}

pub fn started(shop: &Shop<'_>) -> Service {
    let service = Service::start(shop, "a");
    service.await_ready();
    service
}
