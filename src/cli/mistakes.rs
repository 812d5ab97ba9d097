//! What a person reads after a common mistake. Each message names the file or key, what is wrong, and what
//! to do (CONTRIBUTING.md#words). `UPDATE_EXPECT=1 cargo test --lib cli::mistakes` writes them again.
#![allow(clippy::needless_raw_string_hashes)] // as UPDATE_EXPECT writes them

use std::collections::BTreeMap;

use expect_test::expect;

use crate::config;
use assent_contract::rulebook;

/// The message that refuses this configuration file.
fn configuration(yaml: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("assent.yaml");
    std::fs::write(&path, yaml).expect("written");
    let failure = config::load(Some(&path), &BTreeMap::new()).expect_err("a refusal");
    failure.message.replace(&format!("{}/", folder.path().display()), "") + "\n"
}

#[test]
fn of_the_configuration() {
    let told = [
        "kafka: {bootstrap_server: 'kafka:9092'}",
        "pipline: {workers: 2}",
        "pipeline: {workers: two}",
        "pipeline: {lease: 48}",
        "kafka: {partitioner: java}",
        "kafka: {properties: {acks: all}}",
        "schema_registry: {url: 'http://registry:8080', username: assent}",
        "keyset: [a, b]",
    ]
    .map(configuration)
    .concat();
    expect![[r#"
        assent.yaml:1:27: kafka.bootstrap_server: unknown key; kafka has bootstrap_servers, group_id, partitioner, properties
        assent.yaml:1:20: pipline.workers: unknown key; the top-level keys are kafka, schema_registry, topics, consent, pipeline, http, audit, serve, intake, rulebook and keyset
        assent.yaml:1:21: pipeline.workers: `two` is not a whole number from 1 to 64
        assent.yaml:1:19: pipeline.lease: `48` is not a duration; write for example 100ms, 60s or 48h
        assent.yaml:1:22: kafka.partitioner: `java` is not murmur2 (default of Kafka's Java client) or crc32 (default of librdkafka); set the one that the producers of both inputs use
        assent.yaml:1:28: kafka.properties.acks: is set by Assent: inputs, outputs and offsets are committed in one transaction (INV-5); remove it
        assent.yaml:1:58: schema_registry.username: schema_registry.password is not set; set it, or password_file
        assent.yaml:1:9: this is a list, and `keyset` takes none; write a single value
    "#]]
    .assert_eq(&told);
}

#[test]
fn of_a_variable() {
    let told = [("ASSENT_KAFKA__GROUP_ID", "shop"), ("ASSENT__CONSENT__MAX_SYNC_LAG", "1 minute")]
        .map(|(name, value)| {
            let variables = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            config::load(None, &variables).expect_err("a refusal").message + "\n"
        })
        .concat();
    expect![[r#"
        ASSENT_KAFKA__GROUP_ID: unknown variable that looks like ASSENT__KAFKA__GROUP_ID (the parts of a key are separated by two underscores); rename it, or unset it
        ASSENT__CONSENT__MAX_SYNC_LAG: consent.max_sync_lag: `1 minute` is not a duration; write for example 100ms, 60s or 48h
    "#]]
    .assert_eq(&told);
}

const RULEBOOK: &str = "\
rulebook: one
default_segment: all
purposes:
  - {id: offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 30d}
segments:
  - {id: lookers, title: Look, why: w, owner: o, approach: behavioral, purpose: offers, when: {count: {within: 7d, at_least: 3}}}
";

/// The messages that refuse [`RULEBOOK`] with `from` replaced by `to`.
fn rulebook((from, to): (&str, &str)) -> String {
    assert!(RULEBOOK.contains(from), "{from}");
    let errors = rulebook::compile(RULEBOOK.replace(from, to).as_bytes()).expect_err("a refusal");
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

#[test]
fn of_the_rulebook() {
    let told = [
        ("approach: behavioral", "approach: demographic"),
        ("approach: behavioral", "approach: personal"),
        ("purpose: offers, when", "purpose: ofers, when"),
        ("why: w, ", ""),
        ("within: 7d", "within: 60d"),
        ("within: 7d", "within: a week"),
        ("count: {", "counts: {"),
        ("sale_or_share: false", "sale_or_share: no"),
        ("title: Look", "title: Expecting parents"),
    ]
    .map(rulebook)
    .concat();
    expect![[r#"
        6:60: `approach` is demographic, but the conditions make it behavioral; write `approach: behavioral`
        6:60: `approach` is `personal`, which is unknown; write behavioral, demographic, hybrid or contextual
        4:10: no segment uses the purpose `offers`; remove it, so that nobody is asked for consent in vain
        6:81: `purpose` is `ofers`, which is not declared; declare it under `purposes`
        6:5: `why` is missing; say which business purpose this segment serves
        6:112: 60d is longer than the `retention` of the purpose, 30d; shorten it, or have counsel agree to a longer retention
        6:112: `within` must be a duration; write a whole number above 0 with s, m, h or d, for example 7d, of at most 50 years
        6:96: unknown field `counts`: a condition has `all`, `any`, `not`, `count`, `distinct`, `sum`, `last`, `age_band`, `region` and `page`
        4:48: `sale_or_share` must be true or false, without quotes
        6:26: `Expecting parents` names a sensitive theme (pregnancy; Civ. Code 1798.140(ae)), which no segment or purpose may use; choose other words
    "#]]
    .assert_eq(&told);
}
