//! The properties that may be set, and the reasons of those that may not.

/// A property that a person may set.
pub(super) struct Allowed {
    pub name: &'static str,
    /// Other names that librdkafka has for it.
    pub aliases: &'static [&'static str],
    pub value: Value,
    /// For Assent itself; librdkafka is not told.
    pub is_own: bool,
}

/// What it may be, within what librdkafka takes.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Any,
    /// Least and most.
    Whole(i64, i64),
    OneOf(&'static [&'static str]),
}

const fn any(name: &'static str) -> Allowed {
    Allowed { name, aliases: &[], value: Value::Any, is_own: false }
}

const fn whole(name: &'static str, least: i64, most: i64) -> Allowed {
    Allowed { name, aliases: &[], value: Value::Whole(least, most), is_own: false }
}

const fn one_of(name: &'static str, words: &'static [&'static str]) -> Allowed {
    Allowed { name, aliases: &[], value: Value::OneOf(words), is_own: false }
}

#[allow(clippy::needless_pass_by_value)] // a builder: it takes what it changes
const fn also(aliases: &'static [&'static str], allowed: Allowed) -> Allowed {
    Allowed { aliases, ..allowed }
}

/// Assent fetches the tokens of an OAuth login itself.
#[allow(clippy::needless_pass_by_value)]
const fn own(allowed: Allowed) -> Allowed {
    Allowed { is_own: true, ..allowed }
}

const SWITCH: &[&str] = &["true", "false"];

/// The login ways that this build has: librdkafka is built without Kerberos, and without cURL, so that Assent
/// fetches OAuth tokens itself.
pub(super) const MECHANISMS: &[&str] = &["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"];

/// A record of Assent's has at most 512 KiB, and consent is sent on as it came: below the brokers' own
/// default of 1 MiB a batch could be refused, and tried again, for ever (INV-12). The most: librdkafka's
/// default for an answer, less the 512 bytes that it wants besides a message.
const MESSAGE_BYTES: (i64, i64) = (1_000_000, 99_999_488);

/// The broker ends a transaction after 10 s, and librdkafka wants a request to end before it.
const SOCKET_TIMEOUT_MS_MAX: i64 = 10_000;

/// At least the session, which is 12 s.
const POLL_INTERVAL_MS_MIN: i64 = 12_000;

pub(super) const ALLOWED: &[Allowed] = &[
    // Who talks to whom, and how it is proven.
    one_of("security.protocol", &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]),
    also(&["sasl.mechanisms"], one_of("sasl.mechanism", MECHANISMS)),
    any("sasl.username"),
    any("sasl.password"),
    own(one_of("sasl.oauthbearer.method", &["oidc"])),
    own(any("sasl.oauthbearer.token.endpoint.url")),
    own(also(
        &["sasl.oauthbearer.client.credentials.client.id"],
        any("sasl.oauthbearer.client.id"),
    )),
    own(also(
        &["sasl.oauthbearer.client.credentials.client.secret"],
        any("sasl.oauthbearer.client.secret"),
    )),
    own(one_of("sasl.oauthbearer.grant.type", &["client_credentials"])),
    own(any("sasl.oauthbearer.scope")),
    own(any("sasl.oauthbearer.extensions")),
    own(any("https.ca.location")),
    any("ssl.ca.location"),
    any("ssl.ca.pem"),
    any("ssl.certificate.location"),
    any("ssl.certificate.pem"),
    any("ssl.key.location"),
    any("ssl.key.pem"),
    any("ssl.key.password"),
    any("ssl.keystore.location"),
    any("ssl.keystore.password"),
    any("ssl.crl.location"),
    any("ssl.cipher.suites"),
    any("ssl.curves.list"),
    any("ssl.sigalgs.list"),
    one_of("ssl.endpoint.identification.algorithm", &["https", "none"]),
    one_of("enable.ssl.certificate.verification", SWITCH),
    // Names that the brokers see.
    any("client.id"),
    any("client.rack"),
    one_of("enable.metrics.push", SWITCH),
    // Connections.
    one_of("broker.address.family", &["any", "v4", "v6"]),
    whole("broker.address.ttl", 0, 60_000),
    one_of("client.dns.lookup", &["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]),
    one_of("socket.keepalive.enable", SWITCH),
    one_of("socket.nagle.disable", SWITCH),
    whole("socket.send.buffer.bytes", 0, 100_000_000),
    whole("socket.receive.buffer.bytes", 0, 100_000_000),
    whole("socket.timeout.ms", 1_000, SOCKET_TIMEOUT_MS_MAX),
    whole("socket.connection.setup.timeout.ms", 1_000, 30_000),
    whole("connections.max.idle.ms", 0, 3_600_000),
    whole("reconnect.backoff.ms", 10, 1_000),
    whole("reconnect.backoff.max.ms", 1_000, 10_000),
    whole("retry.backoff.ms", 10, 1_000),
    whole("retry.backoff.max.ms", 1_000, 5_000),
    one_of("metadata.recovery.strategy", &["none", "rebootstrap"]),
    whole("metadata.recovery.rebootstrap.trigger.ms", 0, 3_600_000),
    whole("topic.metadata.refresh.interval.ms", 1_000, 900_000),
    whole("metadata.max.age.ms", 3_000, 2_700_000),
    // Reading.
    whole("fetch.min.bytes", 1, 1_048_576),
    whole("fetch.error.backoff.ms", 10, 2_000),
    whole("queued.min.messages", 1, 1_000_000),
    whole("max.poll.interval.ms", POLL_INTERVAL_MS_MIN, 900_000),
    // Writing.
    whole("message.max.bytes", MESSAGE_BYTES.0, MESSAGE_BYTES.1),
    also(
        &["compression.codec"],
        one_of("compression.type", &["none", "gzip", "snappy", "lz4", "zstd"]),
    ),
    whole("compression.level", -1, 12),
    also(&["queue.buffering.max.ms"], whole("linger.ms", 0, 100)),
    whole("batch.size", 16_384, MESSAGE_BYTES.1),
    whole("batch.num.messages", 100, 1_000_000),
    whole("queue.buffering.max.messages", 10_000, 1_000_000),
    whole("queue.buffering.max.kbytes", 16_384, 1_048_576),
    whole("request.timeout.ms", 1_000, 30_000),
];

const ONCE: &str = "inputs, outputs and offsets are committed in one transaction (INV-5)";
const IDENTITY: &str = "it is derived from kafka.group_id and pipeline.state_dir, so that a zombie \
    is fenced (INV-5)";
const FENCING: &str = "fencing and recovery times depend on the value that Assent sets (INV-5)";
const TIMEOUTS: &str =
    "other instances take over within 30 s of a SIGKILL because of the value that Assent sets";
const TOPICS: &str = "topics need the settings that `assent topics create` gives them";
const MEMORY: &str = "the memory for undecided records is bounded (INV-12)";
const FETCHES: &str = "a click waits for consent as long as a fetch takes (INV-2)";
const BROKERS: &str = "set kafka.bootstrap_servers";
const NEVER_JUMPS: &str = "Assent never skips lost records silently";

/// Refused properties and their aliases, with the reason.
pub(super) const REFUSED: &[(&[&str], &str)] = &[
    (&["bootstrap.servers", "metadata.broker.list"], BROKERS),
    (&["group.id"], "set kafka.group_id"),
    (&["partitioner"], "set kafka.partitioner"),
    (
        &["isolation.level"],
        "only committed inputs are read: an aborted consent record is not consent (INV-1)",
    ),
    (&["acks", "request.required.acks"], ONCE),
    (&["enable.idempotence", "enable.gapless.guarantee"], ONCE),
    (&["max.in.flight", "max.in.flight.requests.per.connection"], ONCE),
    (&["message.send.max.retries", "retries"], ONCE),
    (&["enable.auto.commit", "auto.commit.enable", "auto.commit.interval.ms"], ONCE),
    (&["enable.auto.offset.store", "offset.store.method", "offset.store.path"], ONCE),
    (&["offset.store.sync.interval.ms", "queuing.strategy"], ONCE),
    (&["delivery.report.only.error", "produce.offset.report"], ONCE),
    (&["auto.offset.reset", "enable.partition.eof"], NEVER_JUMPS),
    (&["check.crcs"], "a record that was damaged in transit is never decided (INV-1)"),
    (&["transactional.id", "group.instance.id"], IDENTITY),
    (&["delivery.timeout.ms", "message.timeout.ms"], FENCING),
    (&["group.protocol", "group.protocol.type", "group.remote.assignor"], FENCING),
    (&["partition.assignment.strategy", "coordinator.query.interval.ms"], FENCING),
    (&["session.timeout.ms", "heartbeat.interval.ms", "transaction.timeout.ms"], TIMEOUTS),
    (&["allow.auto.create.topics"], TOPICS),
    (&["topic.blacklist"], "a hidden topic would be taken for a missing one"),
    (&["fetch.wait.max.ms", "fetch.queue.backoff.ms"], FETCHES),
    (&["queued.max.messages.kbytes", "message.copy.max.bytes"], MEMORY),
    (&["fetch.max.bytes", "fetch.message.max.bytes", "max.partition.fetch.bytes"], MEMORY),
    (&["receive.message.max.bytes"], MEMORY),
    (&["log_level", "log.queue", "log.thread.name"], "use RUST_LOG to set what is logged"),
    (&["enable.sasl.oauthbearer.unsecure.jwt"], UNSIGNED),
    (&["sasl.oauthbearer.config"], UNSIGNED),
    (&["debug"], "its output may contain identifiers, which no log may contain (INV-6)"),
];

const CODE: &str = "it would run foreign code in this process";
const KERBEROS: &str = "this build has no Kerberos, and the property would run a command";
const UNSIGNED: &str =
    "a token that nobody signed proves nothing; set sasl.oauthbearer.method to oidc";
const OIDC: &str = "an OAuth login of Assent takes only the properties above";
const CALLBACKS: &str = "only a program can set it";

/// How refused names begin, with the reason.
pub(super) const REFUSED_BEGINNINGS: &[(&str, &str)] = &[
    ("plugin.", CODE),
    ("interceptors", CODE),
    ("ssl.engine.", CODE),
    ("ssl_engine", CODE),
    ("ssl.providers", CODE),
    ("sasl.kerberos.", KERBEROS),
    ("sasl.oauthbearer.", OIDC),
    ("https.ca.", OIDC),
    ("test.mock.", "it simulates a cluster; to try Assent, run `assent demo`"),
    ("ssl_", CALLBACKS),
    ("ssl.certificate.verify_cb", CALLBACKS),
    ("oauthbearer_token_refresh_cb", CALLBACKS),
];
