//! Every key of the configuration, declared once: what may be written, and the page that says so.
//!
//! docs/configuration.md is made from here. The tests hold each default and bound to what `resolve`
//! does with it.

mod page;

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
    /// As [`Kind::Text`], and kept out of logs; `<key>_file` names a file that holds it.
    Secret,
}

pub(super) const KEYS: &[Declaration] = &[
    Declaration {
        key: "kafka.bootstrap_servers",
        kind: Kind::Text,
        default: "localhost:9092",
        meaning: "Brokers to ask first: `host:port`, with commas between.",
    },
    Declaration {
        key: "kafka.group_id",
        kind: Kind::GroupId,
        default: "assent",
        meaning: "The consumer group that instances share the partitions in. Also begins the \
                  transactional ids and the audit's chains: another name starts both anew.",
    },
    Declaration {
        key: "kafka.partitioner",
        kind: Kind::OneOf(&["murmur2", "crc32"]),
        default: "murmur2",
        meaning: "How the producers of both inputs place a key: murmur2 is Kafka's own default, \
                  crc32 librdkafka's. Never changed while the topics live.",
    },
    Declaration {
        key: "kafka.properties.<name>",
        kind: Kind::Property,
        default: "",
        meaning: "A property of librdkafka (`security.protocol`, `sasl.username`, ..): those of the \
                  list below, and no others. Each value can be a secret: \
                  `kafka.properties.<name>_file` names a file that holds it.",
    },
    Declaration {
        key: "schema_registry.url",
        kind: Kind::RegistryUrl,
        default: "",
        meaning: "Of a registry with Confluent's API, up to before `/subjects`; Apicurio's ends in \
                  `/apis/ccompat/v7`. With it, Assent writes in Confluent's framing, under subjects \
                  `<topic>-value`. None or empty: in Avro single-object encoding, with the schemas in \
                  schemas/. Both are read, always.",
    },
    Declaration {
        key: "schema_registry.username",
        kind: Kind::Text,
        default: "",
        meaning: "The registry's user (basic authentication); goes with the password.",
    },
    Declaration {
        key: "schema_registry.password",
        kind: Kind::Secret,
        default: "",
        meaning: "The registry's password.",
    },
    Declaration {
        key: "schema_registry.ca_file",
        kind: Kind::Path,
        default: "",
        meaning: "Certificates (PEM) to trust for the registry, in the place of the system's.",
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
        meaning: "Output: SegmentAssignment, a topic for each purpose.",
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
        meaning: "Assent's own. No other topic may take a name that another key has.",
    },
    Declaration {
        key: "topics.dead_letters",
        kind: Kind::Topic,
        default: "segmentation-dead-letters",
        meaning: "Output: DeadLetter.",
    },
    Declaration {
        key: "rulebook",
        kind: Kind::Path,
        default: "rules/children-retail.yaml",
        meaning: "Purposes and segments. Read at start; a change comes with a new version in the \
                  file and a rolling restart.",
    },
    Declaration {
        key: "keyset",
        kind: Kind::Path,
        default: "keys/keyset.json",
        meaning: "The pseudonyms' keys, made by `assent keys new`. Refused where others than its \
                  owner can write it, or anyone outside owner and group can read it.",
    },
    Declaration {
        key: "consent.max_sync_lag",
        kind: Kind::Duration("1s", "1d"),
        default: "60s",
        meaning: "How far behind consent may be. Past it, clicks are decided CONSENT_STALE.",
    },
    Declaration {
        key: "consent.signals_without_record_max",
        kind: Kind::Whole("1", "100000000"),
        default: "1000000",
        meaning: "Anybody can send an opt-out signal under any id. Of a subject without a consent \
                  record it is kept for 24 months, of so many subjects a partition. Beyond, the \
                  oldest give way: whoever first appears there counts as opted out as of the last \
                  of them, until they opt in again.",
    },
    Declaration {
        key: "consent.sources.<id>.max_silence",
        kind: Kind::Duration("1s", "365d"),
        default: "15m",
        meaning: "How long a source of consent may send neither record nor heartbeat. The id, 1 to \
                  64 of a-z, 0-9, `_` and `-`, is what the source writes of itself.",
    },
    Declaration {
        key: "consent.sources.<id>.on_silence",
        kind: Kind::OneOf(&["alert", "close"]),
        default: "alert",
        meaning: "What its silence does: tell, or also allow no click of the partition.",
    },
    Declaration {
        key: "pipeline.workers",
        kind: Kind::Whole("1", "64"),
        default: "1",
        meaning: "Threads that share this instance's partitions. To grow further: more instances.",
    },
    Declaration {
        key: "pipeline.commit_interval",
        kind: Kind::Duration("1ms", "5s"),
        default: "100ms",
        meaning: "How long a transaction gathers clicks. One with an opt-out is committed at once, one with 60,000 clicks of a worker too.",
    },
    Declaration {
        key: "pipeline.lease",
        kind: Kind::Duration("1s", "30d"),
        default: "48h",
        meaning: "How long an assignment may be used without being decided again.",
    },
    Declaration {
        key: "pipeline.state_dir",
        kind: Kind::Path,
        default: "state",
        meaning: "This instance's identity and lock; no data. Each instance needs its own, kept \
                  over restarts.",
    },
    Declaration {
        key: "http.listen",
        kind: Kind::Address,
        default: "127.0.0.1:9464",
        meaning: "Metrics and health. Port 0: a free one, which the log tells.",
    },
];

/// `<key>_file` beside a secret.
pub(super) fn is_declared(key: &str) -> bool {
    KEYS.iter().any(|declared| {
        let file_of_secret =
            || declared.kind == Kind::Secret && key.strip_suffix("_file") == Some(declared.key);
        declared.key == key || file_of_secret()
    })
}

/// The variables of all keys in which a person chooses no part, secrets' files included.
pub(super) fn variables() -> impl Iterator<Item = String> {
    let fixed = KEYS.iter().filter(|declared| !declared.key.contains('<'));
    fixed.flat_map(|declared| {
        let variable = page::variable(declared.key);
        let file = (declared.kind == Kind::Secret).then(|| format!("{variable}_FILE"));
        std::iter::once(variable).chain(file)
    })
}

/// The names below a section, `prefix` with its dot.
pub(super) fn names_below(prefix: &str) -> impl Iterator<Item = &'static str> {
    let below = KEYS.iter().filter_map(move |declared| declared.key.strip_prefix(prefix));
    below.filter(|name| !name.contains('.'))
}

#[cfg(test)]
mod tests;
