//! What is written → what is meant, or the one message.

use super::*;

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn read(yaml: &str, pairs: &[(&str, &str)]) -> Result<Config> {
    parse(Path::new("/etc/assent/assent.yaml"), Some(yaml), &variables(pairs))
}

#[track_caller]
fn refused(yaml: &str, pairs: &[(&str, &str)], expect: &str) {
    let failure = read(yaml, pairs).expect_err(yaml);
    assert_eq!(failure.exit, crate::failure::Exit::Config);
    assert!(failure.message.contains(expect), "{}\n  lacks {expect}", failure.message);
}

#[test]
fn an_empty_file_is_the_defaults_of_the_contract() {
    for yaml in ["", "# nothing\n", "kafka:\n", "{}", "topics: {}\nconsent: {sources: {}}"] {
        let config = read(yaml, &[]).unwrap();
        assert_eq!(config.kafka.bootstrap_servers, "localhost:9092");
        assert_eq!(config.kafka.group_id, "assent");
        assert_eq!(config.kafka.partitioner, Partitioner::Murmur2);
        assert!(config.kafka.properties.is_empty());
        assert_eq!(config.topics.clickstream, "clickstream");
        assert_eq!(config.topics.consent, "consent-changelog");
        assert_eq!(config.topics.segments_of("ads"), "segments.ads");
        assert_eq!(config.topics.contextual, "contextual-segments");
        assert_eq!(config.topics.audit, "segmentation-audit");
        assert_eq!(config.topics.state, "assent-state");
        assert_eq!(config.topics.dead_letters, "segmentation-dead-letters");
        assert_eq!(config.rulebook, Path::new("/etc/assent/rules/children-retail.yaml"));
        assert_eq!(config.keyset, Path::new("/etc/assent/keys/keyset.json"));
        assert_eq!(config.consent.max_sync_lag, Duration::from_mins(1));
        assert!(config.consent.sources.is_empty());
        assert_eq!(config.pipeline.workers, 1);
        assert_eq!(config.pipeline.commit_interval, Duration::from_millis(100));
        assert_eq!(config.pipeline.lease, Span(48 * Span::HOUR.0));
        assert_eq!(config.pipeline.state_dir, Path::new("/etc/assent/state"));
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:9464");
    }
}

#[test]
fn the_contracts_example_is_read() {
    let yaml = r#"
kafka: {bootstrap_servers: "localhost:9092", group_id: assent, partitioner: crc32, properties: {security.protocol: PLAINTEXT, linger.ms: 5}}
schema_registry: {url: null, username: null, password: null, ca_file: null}
topics: {clickstream: clickstream, segments: "segments.{purpose}"}
rulebook: /rules/shop.yaml
consent: {max_sync_lag: 30s, sources: {cmp: {max_silence: 5m, on_silence: close}, web: {}}}
pipeline: {workers: 4, commit_interval: 50ms, lease: 24h, state_dir: /var/lib/assent}
http: {listen: "localhost:0"}
"#;
    let config = read(yaml, &[]).unwrap();
    assert_eq!(config.kafka.partitioner, Partitioner::Crc32);
    assert_eq!(config.kafka.properties["security.protocol"], "PLAINTEXT");
    assert_eq!(config.kafka.properties["linger.ms"], "5");
    assert_eq!(config.rulebook, Path::new("/rules/shop.yaml"));
    let cmp = &config.consent.sources["cmp"];
    assert_eq!((cmp.max_silence, cmp.on_silence), (Duration::from_mins(5), OnSilence::Close));
    let web = &config.consent.sources["web"];
    assert_eq!((web.max_silence, web.on_silence), (Duration::from_mins(15), OnSilence::Alert));
    assert_eq!(config.pipeline.workers, 4);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:0");
}

#[test]
fn variables_win_over_the_file() {
    let config = read(
        "kafka: {group_id: a, properties: {sasl.password: old}}\npipeline: {workers: 2}",
        &[
            ("ASSENT__KAFKA__GROUP_ID", "b"),
            ("assent__pipeline__workers", "8"),
            ("ASSENT__RULEBOOK", "r.yaml"),
            ("ASSENT__TOPICS__DEAD_LETTERS", "dead"),
            ("ASSENT__KAFKA__PROPERTIES__SASL_PASSWORD", "new"),
            ("ASSENT__KAFKA__PROPERTIES__security.protocol", "SASL_SSL"),
            ("ASSENT__KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"),
            ("ASSENT__KAFKA__PROPERTIES__SASL_USERNAME", "me"),
            ("ASSENT__CONSENT__SOURCES__CMP__MAX_SILENCE", "1m"),
            ("ASSENT_REVISION", "not a key"),
            ("HOME", "/"),
        ],
    )
    .unwrap();
    assert_eq!(config.kafka.group_id, "b");
    assert_eq!(config.pipeline.workers, 8);
    assert_eq!(config.rulebook, Path::new("/etc/assent/r.yaml"));
    assert_eq!(config.topics.dead_letters, "dead");
    assert_eq!(config.kafka.properties["sasl.password"], "new");
    assert_eq!(config.kafka.properties["security.protocol"], "SASL_SSL");
    assert_eq!(config.consent.sources["cmp"].max_silence, Duration::from_mins(1));
    assert!(!format!("{config:?}").contains("new"), "a secret in Debug");
}

#[test]
fn secrets_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "s3cret\n").unwrap();
    let file = folder.path().join("assent.yaml");
    let login = [
        ("ASSENT__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_SSL"),
        ("ASSENT__KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"),
        ("ASSENT__KAFKA__PROPERTIES__SASL_USERNAME", "me"),
    ];
    let read = |yaml: &str, pairs: &[(&str, &str)]| {
        parse(&file, Some(yaml), &variables(&[&login, pairs].concat()))
    };

    let yaml = "kafka: {properties: {sasl.password_file: password}}";
    assert_eq!(read(yaml, &[]).unwrap().kafka.properties["sasl.password"], "s3cret");

    let variable = [("ASSENT__KAFKA__PROPERTIES__SASL_PASSWORD_FILE", "password")];
    let config = read("kafka: {properties: {sasl.password: old}}", &variable).unwrap();
    assert_eq!(config.kafka.properties["sasl.password"], "s3cret");

    let both = "kafka: {properties: {sasl.password_file: password, sasl.password: p}}";
    let message = read(both, &[]).unwrap_err().message;
    assert!(message.contains("sasl.password is set too"), "{message}");
    let missing = "kafka: {properties: {sasl.password_file: nowhere}}";
    let message = read(missing, &[]).unwrap_err().message;
    assert!(message.contains("sasl.password_file: ") && message.contains("nowhere"), "{message}");
}

#[test]
fn unknown_keys_are_refused_by_name_and_place() {
    refused(
        "kafka:\n  groupid: a",
        &[],
        "/etc/assent/assent.yaml:2:12: kafka.groupid: unknown key; kafka has bootstrap_servers, group_id",
    );
    refused(
        "pipelines: {workers: 1}",
        &[],
        "pipelines.workers: unknown key; the top-level keys are kafka,",
    );
    refused("pipelines: {}", &[], "pipelines: unknown key");
    refused("consent: {sources: {cmp: {silence: 1m}}}", &[], "a source has max_silence");
    refused(
        "",
        &[("ASSENT__KAFKA__GROUPID", "a")],
        "ASSENT__KAFKA__GROUPID: kafka.groupid: unknown key",
    );
    refused("kafka: localhost", &[], "kafka: this is a section");
    refused("kafka: {group_id: {a: b}}", &[], "kafka.group_id.a: unknown key");
}

#[test]
fn what_is_not_a_mapping_of_words_is_refused() {
    refused("kafka: [a]", &[], "assent.yaml:1:8: this is a list");
    refused("kafka: {group_id: a, group_id: b}", &[], "`kafka.group_id` is set twice");
    refused("kafka: {group_id: a}\nkafka: {partitioner: crc32}", &[], "`kafka` is set twice");
    refused("kafka:\nkafka: {}", &[], "`kafka` is set twice");
    let twice = "consent: {sources: {cmp: {on_silence: close}, cmp: {max_silence: 1m}}}";
    refused(twice, &[], "`consent.sources.cmp` is set twice");
    let twice = "kafka: {properties: {client.id: a, client: {id: b}}}";
    refused(twice, &[], "`kafka.properties.client.id` is set twice");
    refused("kafka: {group_id: 'a", &[], "not valid YAML");
    refused("hello", &[], "expected sections");
    refused("a: 1\n---\nb: 2", &[], "a single YAML document");
}

#[test]
fn values_are_held_to_their_bounds() {
    for (yaml, expect) in [
        ("pipeline: {workers: 0}", "pipeline.workers: `0` is not a whole number from 1 to 64"),
        ("pipeline: {workers: 65}", "from 1 to 64"),
        ("pipeline: {workers: many}", "from 1 to 64"),
        ("pipeline: {commit_interval: 0ms}", "out of bounds; use 1ms to 5s"),
        ("pipeline: {commit_interval: 6s}", "out of bounds; use 1ms to 5s"),
        ("pipeline: {commit_interval: 100}", "`100` is not a duration"),
        ("pipeline: {lease: 0s}", "out of bounds; use 1s to 30d"),
        ("pipeline: {lease: 1.5h}", "is not a duration"),
        ("pipeline: {lease: -1h}", "is not a duration"),
        ("pipeline: {state_dir: ''}", "pipeline.state_dir: is empty"),
        ("consent: {max_sync_lag: 100ms}", "out of bounds; use 1s to 1d"),
        (
            "consent: {sources: {CMP: {max_silence: 1m}}}",
            "consent.sources.CMP: not an id of a source",
        ),
        (
            "consent: {sources: {cmp: {on_silence: shout}}}",
            "`shout` is not allowed; use alert or close",
        ),
        ("kafka: {bootstrap_servers: ' '}", "kafka.bootstrap_servers: is empty"),
        ("kafka: {group_id: a/b}", "kafka.group_id: `a/b` is not allowed"),
        ("kafka: {partitioner: random}", "`random` is not murmur2"),
        ("kafka: {properties: {message.max.bytes: 1000}}", "must be a whole number from 1000000"),
        ("topics: {audit: 'a b'}", "topics.audit: `a b` is not a topic name"),
        (
            "topics: {audit: assent-state}",
            "topics.state: `assent-state` is also the topic of topics.audit",
        ),
        ("topics: {segments: segments}", "must contain {purpose} once"),
        ("topics: {segments: '{purpose}'}", "could also be the topic of a purpose"),
        ("http: {listen: 9464}", "`9464` is not an address and port"),
        (
            "schema_registry: {url: registry}",
            "schema_registry.url: is not an http or https address",
        ),
        (
            "schema_registry: {url: 'http://:8080'}",
            "schema_registry.url: is not the address of a reg",
        ),
        (
            "schema_registry: {url: 'http://a:b'}",
            "schema_registry.url: is not the address of a reg",
        ),
        (
            "schema_registry: {url: 'http://a?b'}",
            "schema_registry.url: is not the address of a reg",
        ),
        (
            "schema_registry: {url: 'http://me:pw@a'}",
            "contains a user; set schema_registry.username",
        ),
        ("schema_registry: {url: 'http://a', username: me}", "schema_registry.password is not set"),
        ("schema_registry: {url: 'http://a', password: pw}", "schema_registry.username is not set"),
        ("schema_registry: {url: 'http://a', ca_file: ca.pem}", "ca_file: needs https"),
    ] {
        refused(yaml, &[], expect);
    }
    refused(
        "",
        &[("ASSENT__PIPELINE__WORKERS", "0")],
        "ASSENT__PIPELINE__WORKERS: pipeline.workers: `0`",
    );
}

#[test]
fn properties_that_break_an_invariant_are_refused_with_the_reason() {
    for name in [
        "isolation.level",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "transactional.id",
        "group.id",
        "group.instance.id",
        "enable.idempotence",
        "acks",
        "partitioner",
        "bootstrap.servers",
        "group.protocol",
        "partition.assignment.strategy",
        "transaction.timeout.ms",
        "session.timeout.ms",
    ] {
        let yaml = format!("kafka: {{properties: {{{name}: '1'}}}}");
        let expect = format!(
            "assent.yaml:1:{}: kafka.properties.{name}: is set by Assent: ",
            24 + name.len()
        );
        refused(&yaml, &[], &expect);
    }
    refused(
        "kafka: {properties: {no.such: 1}}",
        &[],
        "kafka.properties.no.such: No such configuration property",
    );
    refused("kafka: {properties: {linger.ms: often}}", &[], "kafka.properties.linger.ms: ");
    refused(
        "kafka: {properties: {topic.auto.offset.reset: latest}}",
        &[],
        "never skips lost records silently",
    );
    refused(
        "kafka: {properties: {plugin.library.paths: /tmp/x.so}}",
        &[],
        "would run foreign code",
    );
    assert!(read("kafka: {properties: {max.poll.interval.ms: 600000}}", &[]).is_ok());
}

#[test]
fn a_property_has_one_name() {
    let lz4 = read("kafka: {properties: {compression.codec: lz4}}", &[]).unwrap();
    assert_eq!(lz4.kafka.properties["compression.type"], "lz4");
    refused(
        "kafka: {properties: {compression.codec: lz4, compression.type: zstd}}",
        &[],
        "kafka.properties.compression.type: kafka.properties.compression.type is another name",
    );
    let variable = [("ASSENT__KAFKA__PROPERTIES__QUEUE_BUFFERING_MAX_MS", "7")];
    let config = read("kafka: {properties: {linger.ms: 5}}", &variable).unwrap();
    assert_eq!(config.kafka.properties["linger.ms"], "7");
    let both = [variable[0], ("ASSENT__KAFKA__PROPERTIES__LINGER_MS", "5")];
    refused("", &both, "both set kafka.properties.linger.ms; unset one");
}

#[test]
fn a_login_that_is_not_whole_is_refused_before_a_socket_opens() {
    let user = "sasl.username: me, sasl.password: s3cret";
    refused(
        &format!("kafka: {{properties: {{security.protocol: SASL_SSL, {user}}}}}"),
        &[],
        "kafka.properties.sasl.mechanism: is not set, but security.protocol is sasl_ssl; set it to \
         one of PLAIN",
    );
    refused(
        &format!("kafka: {{properties: {{{user}}}}}"),
        &[],
        "kafka.properties.security.protocol: is plaintext, which does not log in, so sasl.username \
         would be ignored",
    );
}

#[test]
fn a_variable_that_is_only_nearly_one_is_refused() {
    let near = [("ASSENT_KAFKA__GROUP_ID", "b")];
    refused(
        "",
        &near,
        "ASSENT_KAFKA__GROUP_ID: unknown variable that looks like ASSENT__KAFKA__GROUP_ID",
    );
    let kubernetes = [("ASSENT_SERVICE_HOST", "10.0.0.1"), ("ASSENT_KAFKA_PORT", "tcp://10.0.0.2")];
    assert!(read("", &kubernetes).is_ok());
}

#[test]
fn a_source_with_a_dash_can_be_set_by_variable() {
    let close = ("ASSENT__CONSENT__SOURCES__WEB___CMP__ON_SILENCE", "close");
    let config = read("consent: {sources: {web-cmp: {max_silence: 5m}}}", &[close]).unwrap();
    let source = &config.consent.sources["web-cmp"];
    assert_eq!((source.max_silence, source.on_silence), (Duration::from_mins(5), OnSilence::Close));
    let underscored = ("ASSENT__CONSENT__SOURCES__WEB_CMP__ON_SILENCE", "close");
    assert!(read("", &[underscored]).unwrap().consent.sources.contains_key("web_cmp"));
    refused(
        "consent: {sources: {web-cmp: {max_silence: 5m}}}",
        &[underscored],
        "consent.sources.web-cmp and consent.sources.web_cmp differ only in `-` and `_`",
    );
}

#[test]
fn only_the_default_file_may_be_absent() {
    let absent = Path::new("/nowhere/assent.yaml");
    let message = load(Some(absent), &BTreeMap::new()).unwrap_err().message;
    assert!(
        message.starts_with("/nowhere/assent.yaml: the configuration can't be read"),
        "{message}"
    );
}

#[test]
fn a_registry_is_read_and_its_secrets_are_not_shown() {
    for none in ["", "schema_registry: {url: ''}", "schema_registry: {url: null, username: me}"] {
        assert!(read(none, &[]).unwrap().schema_registry.is_none(), "{none}");
    }
    let yaml = "schema_registry: {url: 'https://[::1]:8443/apis/ccompat/v7/', username: me, \
                ca_file: ca.pem}";
    let config = read(yaml, &[("ASSENT__SCHEMA_REGISTRY__PASSWORD", "hush")]).unwrap();
    let shown = format!("{config:?}");
    let registry = config.schema_registry.unwrap();
    assert_eq!(registry.url, "https://[::1]:8443/apis/ccompat/v7");
    assert_eq!(registry.ca_file.as_deref(), Some(Path::new("/etc/assent/ca.pem")));
    assert_eq!(registry.credentials.unwrap().password.as_str(), "hush");
    assert!(shown.contains("me") && !shown.contains("hush"), "{shown}");
    let failure = read("schema_registry: {url: 'https://me:hush@a'}", &[]).unwrap_err();
    assert!(!failure.message.contains("hush"), "{failure}");
}
