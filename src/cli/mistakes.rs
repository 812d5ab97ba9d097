//! What a person reads after a common mistake. Each message names the file or key, what is wrong, and what
//! to do (CONTRIBUTING.md#words).

use std::collections::BTreeMap;

use expect_test::{Expect, expect};

use crate::config;
use crate::domain::rules;

/// The message that refuses this configuration file.
fn configuration(yaml: &str, expected: &Expect) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("assent.yaml");
    std::fs::write(&path, yaml).expect("written");
    let failure = config::load(Some(&path), &BTreeMap::new()).err().expect("a refusal");
    expected.assert_eq(&failure.message.replace(&format!("{}/", folder.path().display()), ""));
}

#[test]
fn of_the_configuration() {
    configuration(
        "kafka: {bootstrap_server: \"kafka:9092\"}",
        &expect![
            "assent.yaml:1:27: kafka.bootstrap_server: unknown key; kafka has bootstrap_servers, group_id, partitioner, properties"
        ],
    );
    configuration(
        "pipline: {workers: 2}",
        &expect![
            "assent.yaml:1:20: pipline.workers: unknown key; the top-level keys are kafka, schema_registry, topics, consent, pipeline, http, rulebook and keyset"
        ],
    );
    configuration(
        "pipeline: {workers: two}",
        &expect!["assent.yaml:1:21: pipeline.workers: `two` is not a whole number from 1 to 64"],
    );
    configuration(
        "pipeline: {lease: 48}",
        &expect![
            "assent.yaml:1:19: pipeline.lease: `48` is not a duration; write for example 100ms, 60s or 48h"
        ],
    );
    configuration(
        "kafka: {partitioner: java}",
        &expect![
            "assent.yaml:1:22: kafka.partitioner: `java` is not murmur2 (default of Kafka's Java client) or crc32 (default of librdkafka); set the one that the producers of both inputs use"
        ],
    );
    configuration(
        "kafka: {properties: {acks: all}}",
        &expect![
            "assent.yaml:1:28: kafka.properties.acks: is set by Assent: inputs, outputs and offsets are committed in one transaction (INV-5); remove it"
        ],
    );
    configuration(
        "schema_registry: {url: \"http://registry:8080\", username: assent}",
        &expect![[""]],
    );
    configuration("keyset: [a, b]", &expect![[""]]);
}

#[test]
fn of_a_variable() {
    let refused = |name: &str, value: &str| {
        let variables = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        config::load(None, &variables).err().expect("a refusal").message
    };
    expect!["ASSENT_KAFKA__GROUP_ID: unknown variable that looks like ASSENT__KAFKA__GROUP_ID (the parts of a key are separated by two underscores); rename it, or unset it"].assert_eq(&refused("ASSENT_KAFKA__GROUP_ID", "shop"));
    expect!["ASSENT__CONSENT__MAX_SYNC_LAG: consent.max_sync_lag: `1 minute` is not a duration; write for example 100ms, 60s or 48h"].assert_eq(&refused("ASSENT__CONSENT__MAX_SYNC_LAG", "1 minute"));
}

const RULEBOOK: &str = "rulebook: one
default_segment: all
purposes:
  - {id: offers, title: Offers, sale_or_share: false, requires_opt_in: true, retention: 30d}
segments:
  - {id: lookers, title: Look, why: w, owner: o, approach: behavioral, purpose: offers, when: {count: {within: 7d, at_least: 3}}}
";

/// The messages that refuse [`RULEBOOK`] with `from` replaced by `to`.
fn rulebook(from: &str, to: &str, expected: &Expect) {
    assert!(RULEBOOK.contains(from), "{from}");
    let errors = rules::compile(RULEBOOK.replace(from, to).as_bytes()).err().expect("a refusal");
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn of_the_rulebook() {
    rulebook(
        "approach: behavioral",
        "approach: demographic",
        &expect![
            "6:60: `approach` is demographic, but the conditions make it behavioral: write `approach: behavioral`"
        ],
    );
    rulebook(
        "approach: behavioral",
        "approach: personal",
        &expect![
            "6:60: `approach` is `personal`, which is unknown: write behavioral, demographic, hybrid or contextual"
        ],
    );
    rulebook(
        "purpose: offers, when",
        "purpose: ofers, when",
        &expect![[r#"
        4:10: no segment uses the purpose `offers`: remove it, so that nobody is asked for consent in vain
        6:81: `purpose` is `ofers`, which is not declared: declare it under `purposes`"#]],
    );
    rulebook(
        "why: w, ",
        "",
        &expect!["6:5: `why` is missing: say which business purpose this segment serves"],
    );
    rulebook(
        "within: 7d",
        "within: 60d",
        &expect![
            "6:112: 60d is longer than the `retention` of the purpose, 30d: shorten it, or have counsel agree to a longer retention"
        ],
    );
    rulebook(
        "within: 7d",
        "within: a week",
        &expect![
            "6:112: `within` must be a duration: write a whole number above 0 with s, m, h or d, for example 7d, of at most 50 years"
        ],
    );
    rulebook(
        "count: {",
        "counts: {",
        &expect![
            "6:96: unknown field `counts`: a condition has `all`, `any`, `not`, `count`, `distinct`, `sum`, `last`, `age_band`, `region` and `page`"
        ],
    );
    rulebook(
        "sale_or_share: false",
        "sale_or_share: no",
        &expect!["4:48: `sale_or_share` must be true or false, without quotes"],
    );
    rulebook(
        "title: Look",
        "title: Expecting parents",
        &expect![
            "6:26: `Expecting parents` names a sensitive theme (pregnancy; Civ. Code 1798.140(ae)): no segment or purpose may use it"
        ],
    );
}
