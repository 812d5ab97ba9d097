//! Raw → resolved: defaults, types, bounds, and what must fit together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::entries::{Entries, PROPERTIES, SOURCES};
use super::read::{path, refuse_alike, value};
use super::{
    Audit, Canary, Config, Consent, Http, Kafka, OnSilence, Pipeline, Source, Topics, audit,
    intake, oauth, properties, registry, serve, values,
};
use crate::failure::{Failure, Result};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::time::Span;

/// More threads than that on one host share its network card: add instances.
/// A hundred million of 21 bytes are 2.1 GB, without the spare room of their tables.
const SIGNALS: RangeInclusive<usize> = 1..=100_000_000;

const WORKERS: RangeInclusive<usize> = 1..=64;

/// A transaction ends by itself after 10 s (docs/contract/batch.md#identity); half of that leaves time
/// to commit.
const COMMIT_INTERVAL: RangeInclusive<Span> = Span(1)..=Span(5_000);

/// The broker is asked every 500 ms, and an answer counts for a second (docs/contract/batch.md#lag).
const MAX_SYNC_LAG: RangeInclusive<Span> = Span::SECOND..=Span::DAY;

/// At most what tombstones are kept for (docs/contract/topics.md#settings): a lease is meant to end
/// before a copy's last chance to see one.
const LEASE: RangeInclusive<Span> = Span::SECOND..=Span(30 * Span::DAY.0);

/// A checkpoint takes a signature and some twenty files; an hour late, it proves little to anybody.
const PUBLISH_INTERVAL: RangeInclusive<Span> = Span::SECOND..=Span::HOUR;

/// A round takes up to a minute where something fails; rarer ones would find it late.
const CANARY_EVERY: RangeInclusive<Span> = Span::SECOND..=Span(10 * Span::MINUTE.0);

const MAX_SILENCE: RangeInclusive<Span> = Span::SECOND..=Span(365 * Span::DAY.0);

pub(super) fn resolve(entries: &Entries) -> Result<Config> {
    Ok(Config {
        kafka: kafka(entries)?,
        schema_registry: registry::schema_registry(entries)?,
        topics: topics(entries)?,
        rulebook: path(entries, "rulebook", "rules/children-retail.yaml")?,
        keyset: path(entries, "keyset", "keys/keyset.json")?,
        consent: Consent {
            max_sync_lag: duration(entries, "consent.max_sync_lag", "60s", MAX_SYNC_LAG)?,
            signals_without_record_max: value(
                entries,
                "consent.signals_without_record_max",
                "1000000",
                |text| values::whole(text, SIGNALS),
            )?,
            sources: sources(entries)?,
        },
        pipeline: Pipeline {
            workers: value(entries, "pipeline.workers", "1", |t| values::whole(t, WORKERS))?,
            commit_interval: duration(
                entries,
                "pipeline.commit_interval",
                "100ms",
                COMMIT_INTERVAL,
            )?,
            lease: value(entries, "pipeline.lease", "48h", |t| values::duration(t, LEASE))?,
            state_dir: path(entries, "pipeline.state_dir", "state")?,
        },
        http: Http { listen: listen(entries)? },
        audit: audit(entries)?,
        serve: serve::serve(entries)?,
        canary: Canary { every: duration(entries, "canary.every", "1m", CANARY_EVERY)? },
        intake: intake::sources(entries)?,
    })
}

fn duration(
    entries: &Entries,
    key: &str,
    default: &str,
    bounds: RangeInclusive<Span>,
) -> Result<Duration> {
    let span = value(entries, key, default, |text| values::duration(text, bounds))?;
    Ok(Duration::from_millis(span.0 as u64))
}

fn listen(entries: &Entries) -> Result<SocketAddr> {
    value(entries, "http.listen", "127.0.0.1:9464", values::address)
}

fn kafka(entries: &Entries) -> Result<Kafka> {
    let mut properties = kafka_properties(entries)?;
    Ok(Kafka {
        bootstrap_servers: value(
            entries,
            "kafka.bootstrap_servers",
            "localhost:9092",
            values::non_empty,
        )?,
        group_id: value(entries, "kafka.group_id", "assent", values::group_id)?,
        partitioner: value(entries, "kafka.partitioner", "murmur2", partitioner)?,
        oauth: oauth::take(entries, &mut properties)?,
        properties,
        is_embedded: false,
    })
}

fn partitioner(text: &str) -> std::result::Result<Partitioner, String> {
    text.parse().map_err(|_| {
        format!(
            "`{text}` is not murmur2 (default of Kafka's Java client) or crc32 (default of \
             librdkafka); set the one that the producers of both inputs use"
        )
    })
}

fn kafka_properties(entries: &Entries) -> Result<BTreeMap<String, String>> {
    let mut checked = BTreeMap::new();
    for name in entries.below(PROPERTIES) {
        let key = format!("{PROPERTIES}{name}");
        let text = value(entries, &key, "", |text| {
            properties::check(name, text).map(|()| text.to_owned())
        })?;
        checked.insert(name.to_owned(), text);
    }
    properties::check_together(&checked)
        .map_err(|(name, message)| entries.refuse(&format!("{PROPERTIES}{name}"), &message))?;
    Ok(checked)
}

fn topics(entries: &Entries) -> Result<Topics> {
    let topic =
        |name: &str, default| value(entries, &format!("topics.{name}"), default, values::topic);
    let topics = Topics {
        clickstream: topic("clickstream", "clickstream")?,
        consent: topic("consent", "consent-changelog")?,
        segments: value(entries, "topics.segments", "segments.{purpose}", values::segments_topic)?,
        contextual: topic("contextual", "contextual-segments")?,
        audit: topic("audit", "segmentation-audit")?,
        state: topic("state", "assent-state")?,
        dead_letters: topic("dead_letters", "segmentation-dead-letters")?,
        audit_access: topic("audit_access", "segmentation-audit-access")?,
        privacy_requests: topic("privacy_requests", "privacy-requests")?,
        identity_map: topic("identity_map", "identity-map")?,
        intake_state: topic("intake_state", "consent-intake-state")?,
        reader_acks: topic("reader_acks", "reader-acks")?,
    };
    refuse_shared_topics(entries, &topics)?;
    Ok(topics)
}

fn refuse_shared_topics(entries: &Entries, topics: &Topics) -> Result<()> {
    let named = [
        ("topics.clickstream", &topics.clickstream),
        ("topics.consent", &topics.consent),
        ("topics.contextual", &topics.contextual),
        ("topics.audit", &topics.audit),
        ("topics.state", &topics.state),
        ("topics.dead_letters", &topics.dead_letters),
        ("topics.audit_access", &topics.audit_access),
        ("topics.privacy_requests", &topics.privacy_requests),
        ("topics.identity_map", &topics.identity_map),
        ("topics.intake_state", &topics.intake_state),
        ("topics.reader_acks", &topics.reader_acks),
    ];
    for (index, (key, name)) in named.iter().enumerate() {
        if let Some((other, _)) = named[..index].iter().find(|(_, earlier)| earlier == name) {
            let message = format!("`{name}` is also the topic of {other}; each needs its own");
            return Err(entries.refuse(key, &message));
        }
        if values::may_be_segments_topic(&topics.segments, name) {
            let message = format!(
                "`{name}`, the topic of {key}, could also be the topic of a purpose; rename one of \
                 them"
            );
            return Err(entries.refuse("topics.segments", &message));
        }
    }
    Ok(())
}

fn audit(entries: &Entries) -> Result<Audit> {
    let text = |key: &str, check: fn(&str) -> std::result::Result<String, String>| {
        let is_set = entries.get(key).is_some();
        is_set.then(|| value(entries, key, "", check)).transpose()
    };
    let is_published = entries.get("audit.publish_dir").is_some();
    Ok(Audit {
        log_key: path(entries, "audit.log_key", "keys/audit-log.key")?,
        origin: text("audit.origin", audit::log_name)?,
        publish_dir: is_published.then(|| path(entries, "audit.publish_dir", "")).transpose()?,
        publish_interval: duration(entries, "audit.publish_interval", "10s", PUBLISH_INTERVAL)?,
        operator: text("audit.operator", values::non_empty)?,
    })
}

fn sources(entries: &Entries) -> Result<BTreeMap<String, Source>> {
    let ids = entries.ids(SOURCES);
    refuse_alike(SOURCES, "source", &ids)?;
    ids.into_iter().map(|id| Ok((id.to_owned(), source(entries, id)?))).collect()
}

fn source(entries: &Entries, id: &str) -> Result<Source> {
    let silence = format!("{SOURCES}{id}.max_silence");
    if !values::is_id(id) {
        let message = "not an id of a source; use 1 to 64 of a-z, 0-9, `_` and `-`";
        return Err(Failure::config(format!("{SOURCES}{id}: {message}")));
    }
    Ok(Source {
        max_silence: duration(entries, &silence, "15m", MAX_SILENCE)?,
        on_silence: value(entries, &format!("{SOURCES}{id}.on_silence"), "alert", on_silence)?,
    })
}

fn on_silence(text: &str) -> std::result::Result<OnSilence, String> {
    match text {
        "alert" => Ok(OnSilence::Alert),
        "close" => Ok(OnSilence::Close),
        _ => Err(format!("`{text}` is not allowed; use alert or close")),
    }
}
