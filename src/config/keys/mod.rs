//! Every key of the configuration, declared once: what may be written, and the page that says so.
//!
//! docs/configuration.md is made from here. The tests hold each default and bound to what `resolve`
//! does with it.

mod lookup;
mod page;

pub(super) use lookup::{is_declared, is_list, is_table, names_below, variables};
pub use page::documentation;

/// A key, or a pattern of keys where a person chooses a part (`<..>`).
pub(super) struct Declaration {
    pub key: &'static str,
    pub kind: Kind,
    /// What holds where it is not written; empty: nothing.
    pub default: &'static str,
    /// For a person: what it does, and what to choose.
    pub meaning: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text that is not empty.
    Text,
    /// 1 to 200 of letters, digits, `.`, `_` and `-`.
    GroupId,
    Topic,
    /// A topic's name with `{purpose}` in it, once.
    TopicPerPurpose,
    /// Relative to the configuration file's folder.
    Path,
    /// An IP address or `localhost`, and a port.
    Address,
    /// http or https, a host, and no secret in it.
    RegistryUrl,
    OneOf(&'static [&'static str]),
    /// Least and most.
    Whole(&'static str, &'static str),
    /// Least and most.
    Duration(&'static str, &'static str),
    /// What librdkafka takes for the property.
    Property,
    /// The name of a log and of the key that signs it.
    LogName,
    /// As [`Kind::Text`], and kept out of logs; `<key>_file` names a file that holds it.
    Secret,
    /// `true` or `false`.
    Switch,
    /// A list of some of these.
    Words(&'static [&'static str]),
    /// A list of web origins: scheme, host and port.
    Origins,
    /// So many a second or a minute.
    Rate,
    /// Names that somebody else chose, and a word for each.
    Table,
}

pub(super) const KEYS: &[Declaration] = &[
    Declaration {
        key: "kafka.bootstrap_servers",
        kind: Kind::Text,
        default: "localhost:9092",
        meaning: "Brokers to connect to first: `host:port`, separated by commas.",
    },
    Declaration {
        key: "kafka.group_id",
        kind: Kind::GroupId,
        default: "assent",
        meaning: "The consumer group in which instances share the partitions. Transactional ids \
            and audit chains begin with it, so another name starts new ones.",
    },
    Declaration {
        key: "kafka.partitioner",
        kind: Kind::OneOf(&["murmur2", "crc32"]),
        default: "murmur2",
        meaning: "How the producers of both inputs choose the partition of a key: murmur2 is the \
            default of Kafka's Java client, crc32 that of librdkafka. Never change it for existing \
            topics.",
    },
    Declaration {
        key: "kafka.properties.<name>",
        kind: Kind::Property,
        default: "",
        meaning: "A property of librdkafka (`security.protocol`, `sasl.username`, ..). Only those \
            listed below can be set. Any value can come from a file instead: set \
            `kafka.properties.<name>_file` to its path.",
    },
    Declaration {
        key: "schema_registry.url",
        kind: Kind::RegistryUrl,
        default: "",
        meaning: "Address of a schema registry with Confluent's API, without `/subjects`; \
            Apicurio's ends in `/apis/ccompat/v7`. If it is set, Assent writes values in \
            Confluent's framing, with schemas under the subjects `<topic>-value`. If it is missing \
            or empty, Assent writes Avro single-object encoding with the schemas in schemas/. \
            Assent always reads both.",
    },
    Declaration {
        key: "schema_registry.username",
        kind: Kind::Text,
        default: "",
        meaning: "User of the registry (basic authentication). Needs a password.",
    },
    Declaration {
        key: "schema_registry.password",
        kind: Kind::Secret,
        default: "",
        meaning: "Password of the registry.",
    },
    Declaration {
        key: "schema_registry.ca_file",
        kind: Kind::Path,
        default: "",
        meaning: "Certificates (PEM) to trust for the registry, instead of the system's.",
    },
    Declaration {
        key: "topics.clickstream",
        kind: Kind::Topic,
        default: "clickstream",
        meaning: "Input: ClickEvent.",
    },
    Declaration {
        key: "topics.consent",
        kind: Kind::Topic,
        default: "consent-changelog",
        meaning: "Input: ConsentRecord.",
    },
    Declaration {
        key: "topics.segments",
        kind: Kind::TopicPerPurpose,
        default: "segments.{purpose}",
        meaning: "Output: SegmentAssignment, one topic per purpose.",
    },
    Declaration {
        key: "topics.contextual",
        kind: Kind::Topic,
        default: "contextual-segments",
        meaning: "Output: ContextualSegment.",
    },
    Declaration {
        key: "topics.audit",
        kind: Kind::Topic,
        default: "segmentation-audit",
        meaning: "Output: AuditBatch.",
    },
    Declaration {
        key: "topics.state",
        kind: Kind::Topic,
        default: "assent-state",
        meaning: "The state of Assent. Each topic key needs a different topic.",
    },
    Declaration {
        key: "topics.dead_letters",
        kind: Kind::Topic,
        default: "segmentation-dead-letters",
        meaning: "Output: DeadLetter.",
    },
    Declaration {
        key: "topics.audit_access",
        kind: Kind::Topic,
        default: "segmentation-audit-access",
        meaning: "Written by the commands that answer questions from the audit: AuditAccess. `run` \
            does not use it.",
    },
    Declaration {
        key: "topics.privacy_requests",
        kind: Kind::Topic,
        default: "privacy-requests",
        meaning: "Of `assent serve`: the register of requests, PrivacyRequest.",
    },
    Declaration {
        key: "topics.identity_map",
        kind: Kind::Topic,
        default: "identity-map",
        meaning: "Of `assent serve`: which subject an identifier of a consent platform belongs to.",
    },
    Declaration {
        key: "topics.intake_state",
        kind: Kind::Topic,
        default: "consent-intake-state",
        meaning: "Of `assent serve`: changes of consent that wait to be merged, sealed. It has as \
            many partitions as consent.",
    },
    Declaration {
        key: "topics.reader_acks",
        kind: Kind::Topic,
        default: "reader-acks",
        meaning: "Written by readers that say how far they have applied segments: ReaderAck. Only \
            `report readers` reads it.",
    },
    Declaration {
        key: "rulebook",
        kind: Kind::Path,
        default: "rules/children-retail.yaml",
        meaning: "File with purposes and segments. It is read at start: to change it, set a new \
            version in the file and restart the instances one by one.",
    },
    Declaration {
        key: "keyset",
        kind: Kind::Path,
        default: "keys/keyset.json",
        meaning: "File with the keys of the pseudonyms, created by `assent keys new`. Refused if \
            anyone but the owner can write it, or anyone but owner and group can read it.",
    },
    Declaration {
        key: "consent.max_sync_lag",
        kind: Kind::Duration("1s", "1d"),
        default: "60s",
        meaning: "How far behind consent sync may be. Beyond it, clicks are decided CONSENT_STALE.",
    },
    Declaration {
        key: "consent.signals_without_record_max",
        kind: Kind::Whole("1", "100000000"),
        default: "1000000",
        meaning: "How many opt-out signals of subjects without a consent record each partition \
            keeps. A signal is kept for 24 months. Anybody can send one under any id, so the \
            number is bounded: beyond it, the oldest signals are dropped, and every subject that \
            first appears in that partition counts as opted out as of the last dropped one, until \
            they opt in again.",
    },
    Declaration {
        key: "consent.sources.<id>.max_silence",
        kind: Kind::Duration("1s", "365d"),
        default: "15m",
        meaning: "How long a consent source may send neither a record nor a heartbeat. The id is \
            the one that the source writes in its records: 1 to 64 of a-z, 0-9, `_` and `-`.",
    },
    Declaration {
        key: "consent.sources.<id>.on_silence",
        kind: Kind::OneOf(&["alert", "close"]),
        default: "alert",
        meaning: "What happens when the source is silent: `alert` only reports it; `close` also \
            closes the gate of the partition, so that no click is allowed.",
    },
    Declaration {
        key: "pipeline.workers",
        kind: Kind::Whole("1", "64"),
        default: "1",
        meaning: "Threads that share the partitions of this instance. To grow further, start more \
            instances.",
    },
    Declaration {
        key: "pipeline.commit_interval",
        kind: Kind::Duration("1ms", "5s"),
        default: "100ms",
        meaning: "How long a transaction collects clicks. A transaction is committed at once if it \
            has an opt-out, or when its worker has collected 60,000 clicks.",
    },
    Declaration {
        key: "pipeline.lease",
        kind: Kind::Duration("1s", "30d"),
        default: "48h",
        meaning: "How long an assignment may be used before Assent has to decide it again.",
    },
    Declaration {
        key: "pipeline.state_dir",
        kind: Kind::Path,
        default: "state",
        meaning: "Directory for the identity and the lock of this instance; it holds no data. Each \
            instance needs its own and has to keep it across restarts.",
    },
    Declaration {
        key: "http.listen",
        kind: Kind::Address,
        default: "127.0.0.1:9464",
        meaning: "Address for metrics and health. Port 0 takes a free port, which the log shows.",
    },
    Declaration {
        key: "audit.log_key",
        kind: Kind::Path,
        default: "keys/audit-log.key",
        meaning: "File with the key that signs the published audit log, created by `assent keys \
            new --for audit-log`. Only `audit publish` needs it. Refused if anyone but the owner \
            can write it, or anyone but owner and group can read it.",
    },
    Declaration {
        key: "audit.origin",
        kind: Kind::LogName,
        default: "",
        meaning: "Name of the published log, for example `shop.example/audit`: the first line of \
            every checkpoint. It must be the name of the key in `audit.log_key`, and is that if it \
            is not set.",
    },
    Declaration {
        key: "audit.publish_dir",
        kind: Kind::Path,
        default: "",
        meaning: "Directory to which `audit publish` writes the log (C2SP tlog-tiles). Serve it with \
            any web server. Only one publisher may write to it.",
    },
    Declaration {
        key: "audit.publish_interval",
        kind: Kind::Duration("1s", "1h"),
        default: "10s",
        meaning: "How long `audit publish` collects batches before it signs a new checkpoint.",
    },
    Declaration {
        key: "audit.operator",
        kind: Kind::Text,
        default: "",
        meaning: "Who asks, as recorded in `topics.audit_access`. If it is not set, the name of the \
            user of the operating system.",
    },
    Declaration {
        key: "canary.every",
        kind: Kind::Duration("1s", "10m"),
        default: "1m",
        meaning: "How often the canary of each partition opts in and out (`assent canary`, `assent \
            run --canary`). The alert AssentCanaryFailing counts in minutes: if this is over a \
            minute, raise its bound.",
    },
    Declaration {
        key: "serve.listen",
        kind: Kind::Address,
        default: "127.0.0.1:8470",
        meaning: "Address of `assent serve`. Off the loopback address it needs `serve.tls`. Port 0 \
            takes a free port, which the log shows.",
    },
    Declaration {
        key: "serve.tls.cert_file",
        kind: Kind::Path,
        default: "",
        meaning: "Certificate of the service and its chain (PEM). Needs `serve.tls.key_file`.",
    },
    Declaration {
        key: "serve.tls.key_file",
        kind: Kind::Path,
        default: "",
        meaning: "Private key of the certificate (PEM).",
    },
    Declaration {
        key: "serve.tls.client_ca_file",
        kind: Kind::Path,
        default: "",
        meaning: "Authorities (PEM) of client certificates. If it is set, every client needs a \
            certificate of one of them, besides its token.",
    },
    Declaration {
        key: "serve.clients.<id>.token_file",
        kind: Kind::Path,
        default: "",
        meaning: "File that holds the token which the client sends as `Authorization: Bearer`: 16 \
            to 512 visible ASCII characters. It is read at start. In the file, `serve.clients` is a \
            list, and each client has its `id`: 1 to 64 of a-z, 0-9, `_` and `-`.",
    },
    Declaration {
        key: "serve.clients.<id>.allow",
        kind: Kind::Words(ALLOWED),
        default: "",
        meaning: "What the client may do. A request for anything else is answered 403.",
    },
    Declaration {
        key: "serve.clients.<id>.publishable",
        kind: Kind::Switch,
        default: "false",
        meaning: "Whether the token is in browsers, so that anybody can have it. Such a client may \
            have lookup, events and opt_out, and names a subject only by a `subject_token`.",
    },
    Declaration {
        key: "serve.subject_tokens.key_file",
        kind: Kind::Path,
        default: "",
        meaning: "File with the key that checks a `subject_token`: a public key (PEM) for EdDSA, \
            or a secret of at least 32 bytes for HS256. Missing: no subject_token is accepted.",
    },
    Declaration {
        key: "serve.subject_tokens.issuer",
        kind: Kind::Text,
        default: "",
        meaning: "The `iss` that a `subject_token` must have. Missing: any.",
    },
    Declaration {
        key: "serve.cors_origins",
        kind: Kind::Origins,
        default: "",
        meaning: "Origins of the pages whose scripts may call the service, such as \
            `https://shop.example`.",
    },
    Declaration {
        key: "serve.rate_limit",
        kind: Kind::Rate,
        default: "500/s",
        meaning: "How many requests each client may make on one instance. As many may come at \
            once; beyond, the answer is 429 with Retry-After.",
    },
    Declaration {
        key: "intake.sources.<source>.secret_file",
        kind: Kind::Path,
        default: "",
        meaning: "File that holds what the consent platform sends as `Authorization: Bearer`: 16 to \
            512 visible ASCII characters, its own for each source. The sources are onetrust, \
            trustarc, zigpoll and ketch (docs/intake.md).",
    },
    Declaration {
        key: "intake.sources.<source>.identifier_kind",
        kind: Kind::Text,
        default: "",
        meaning: "The kind under which the identity map has the platform's identifiers, such as \
            `email`: 1 to 64 of a-z, 0-9, `.`, `_` and `-`.",
    },
    Declaration {
        key: "intake.sources.<source>.purposes",
        kind: Kind::Table,
        default: "",
        meaning: "For each id of a purpose at the platform the purpose of the rulebook. Upper and \
            lower case are the same. What is not here is not used, and counted.",
    },
    Declaration {
        key: "intake.sources.<source>.statuses",
        kind: Kind::Table,
        default: "",
        meaning: "For each word of the platform, exactly as it writes it, GRANTED, DENIED, \
            WITHDRAWN or NOT_ASKED. The words that docs/intake.md lists have a meaning without \
            it; every other word is a no.",
    },
    Declaration {
        key: "intake.sources.<source>.age_questions",
        kind: Kind::Table,
        default: "",
        meaning: "Of zigpoll: for each question, for each answer, the age band that the person has \
            at most: UNDER_13, FROM_13_TO_15, FROM_16_TO_17 or FROM_18.",
    },
    Declaration {
        key: "intake.sources.<source>.guardian.method",
        kind: Kind::Text,
        default: "",
        meaning: "Of onetrust: how the platform verifies a parent or guardian (16 CFR 312.5(b)). \
            Missing: nothing is taken of a guardian.",
    },
    Declaration {
        key: "intake.sources.<source>.guardian.permits",
        kind: Kind::Words(PERMISSIONS),
        default: "",
        meaning: "What such a consent permits.",
    },
    Declaration {
        key: "intake.sources.<source>.api.url",
        kind: Kind::Text,
        default: "",
        meaning: "Address of the platform's API, from which trustarc is read back, and which \
            `consent reconcile` asks. https, or http of this machine.",
    },
    Declaration {
        key: "intake.sources.<source>.api.token_file",
        kind: Kind::Path,
        default: "",
        meaning: "File that holds the token for the API. It is read before each use.",
    },
    Declaration {
        key: "intake.sources.<source>.api.ca_file",
        kind: Kind::Path,
        default: "",
        meaning: "Certificates (PEM) to trust for the API, instead of the system's.",
    },
];

/// What a guardian's consent may permit.
pub(super) const PERMISSIONS: &[&str] =
    &["coppa_consent", "coppa_disclosure", "ccpa_authorization"];

/// What a client of `serve` may do, in the order of `config::Allowed`.
pub(super) const ALLOWED: &[&str] = &["lookup", "events", "consent", "opt_out"];

#[cfg(test)]
mod tests;
