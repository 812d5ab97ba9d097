//! The topics of the contract (docs/contract/topics.md): which there are, and what each must be set to.
//!
//! Pure: knows no cluster.

use std::collections::BTreeMap;

use crate::config::Config;
use assent_contract::domain::time::Span;
use assent_contract::rulebook::Rulebook;

/// 25 months: what an auditor may ask for, after 24 months and the month in which they ask.
const AUDIT_RETENTION: Span = Span(775 * Span::DAY.0);
const CONTEXTUAL_RETENTION: Span = Span::DAY;
const DEAD_LETTER_RETENTION: Span = Span(30 * Span::DAY.0);

/// A topic that is deleted from, rather than compacted, is so by whole files; of this length.
const CONTEXTUAL_SEGMENT: Span = Span::HOUR;

/// A batch of an input as it lies there, compressed: Kafka's own default. librdkafka decompresses a batch
/// whole, and gzip grows by up to 1,032: this bounds what one can take to some 1 GiB.
const BATCH_BYTES: Setting = Setting::BytesAtMost(1_048_588);

/// How a topic must be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// The configuration key that names it.
    pub key: &'static str,
    pub name: String,
    pub role: Role,
    /// By Kafka's names.
    pub settings: BTreeMap<&'static str, Setting>,
}

/// A setting of a topic. A topic is made with the value itself; what is stricter serves as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    Exactly(&'static str),
    /// Milliseconds.
    AtMost(Span),
    /// Milliseconds; Kafka's -1 is for ever.
    AtLeast(Span),
    /// Bytes.
    BytesAtMost(i64),
    /// Milliseconds; sensible, but nothing rests on it.
    AtCreation(Span),
}

impl Setting {
    /// As `kafka-configs` writes it.
    pub fn value(self) -> String {
        match self {
            Self::Exactly(text) => text.to_owned(),
            Self::AtMost(span) | Self::AtLeast(span) | Self::AtCreation(span) => span.0.to_string(),
            Self::BytesAtMost(bytes) => bytes.to_string(),
        }
    }

    /// Does this value, as the cluster has it, keep the contract?
    pub fn accepts(self, found: &str) -> bool {
        let number: Option<i64> = found.parse().ok();
        match self {
            Self::Exactly(text) => found == text,
            Self::BytesAtMost(bytes) => number.is_some_and(|found| (0..=bytes).contains(&found)),
            Self::AtMost(span) => number.is_some_and(|found| (0..=span.0).contains(&found)),
            Self::AtLeast(span) => number.is_some_and(|found| found == -1 || found >= span.0),
            Self::AtCreation(_) => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read by Assent, written by the shop.
    Input,
    /// Written by Assent, partition by partition as the inputs.
    Alongside,
    /// Written by Assent, by key.
    Output,
    /// Written by commands, by key; `run` neither reads nor writes it, nor misses it.
    Aside,
    /// Written by `assent serve`, partition by partition as the inputs.
    ServedAlongside,
    /// Written by `assent serve`, by key.
    Served,
}

impl TopicPlan {
    /// Must it have as many partitions as the inputs?
    pub fn shares_partition_count(&self) -> bool {
        matches!(self.role, Role::Input | Role::Alongside | Role::ServedAlongside)
    }

    /// `name=value, not value` for each setting of the contract that is otherwise.
    pub fn differences(&self, found: &BTreeMap<String, String>) -> Vec<String> {
        let planned = self.settings.iter().filter_map(|(name, planned)| {
            let found = found.get(*name).map_or("unset", String::as_str);
            (!planned.accepts(found)).then(|| format!("{name}={found}, not {}", planned.value()))
        });
        planned.collect()
    }
}

/// All topics that `assent run` needs, the clickstream first.
pub fn topic_plans(config: &Config, rulebook: &Rulebook) -> Vec<TopicPlan> {
    let topics = &config.topics;
    let mut plans = vec![
        plan("topics.clickstream", &topics.clickstream, Role::Input, clicks()),
        plan("topics.consent", &topics.consent, Role::Input, consent()),
        plan("topics.state", &topics.state, Role::Alongside, compact()),
        plan(
            "topics.audit",
            &topics.audit,
            Role::Alongside,
            delete(Some(Setting::AtLeast(AUDIT_RETENTION))),
        ),
    ];
    let segments = rulebook.purposes.iter().map(|purpose| topics.segments_of(&purpose.id));
    plans.extend(segments.map(|name| plan("topics.segments", &name, Role::Output, compact())));
    plans.push(plan("topics.contextual", &topics.contextual, Role::Output, contextual()));
    plans.push(plan(
        "topics.dead_letters",
        &topics.dead_letters,
        Role::Output,
        delete(Some(Setting::AtMost(DEAD_LETTER_RETENTION))),
    ));
    plans.push(plan(
        "topics.audit_access",
        &topics.audit_access,
        Role::Aside,
        delete(Some(Setting::AtLeast(AUDIT_RETENTION))),
    ));
    plans.push(plan("topics.reader_acks", &topics.reader_acks, Role::Aside, compact()));
    plans
}

/// Those that `assent serve` needs besides; none where it has no clients.
pub fn served_topic_plans(config: &Config) -> Vec<TopicPlan> {
    if config.is_served() { all_served_topic_plans(config) } else { Vec::new() }
}

/// The same, whether it has clients or not.
pub fn all_served_topic_plans(config: &Config) -> Vec<TopicPlan> {
    let topics = &config.topics;
    let served = [
        ("topics.privacy_requests", &topics.privacy_requests, Role::Served),
        ("topics.identity_map", &topics.identity_map, Role::Served),
        ("topics.intake_state", &topics.intake_state, Role::ServedAlongside),
    ];
    served.map(|(key, name, role)| plan(key, name, role, compact())).into()
}

type Settings = BTreeMap<&'static str, Setting>;

fn plan(key: &'static str, name: &str, role: Role, settings: Settings) -> TopicPlan {
    TopicPlan { key, name: name.to_owned(), role, settings }
}

/// `retention`: `None` leaves it to the shop.
fn delete(retention: Option<Setting>) -> Settings {
    let mut settings = Settings::from([("cleanup.policy", Setting::Exactly("delete"))]);
    settings.extend(retention.map(|setting| ("retention.ms", setting)));
    settings
}

fn compact() -> Settings {
    Settings::from([
        ("cleanup.policy", Setting::Exactly("compact")),
        ("max.compaction.lag.ms", Setting::AtMost(Span::DAY)),
        ("segment.ms", Setting::AtMost(Span::HOUR)),
        ("delete.retention.ms", Setting::AtLeast(Span(30 * Span::DAY.0))),
    ])
}

fn clicks() -> Settings {
    let mut settings = delete(None);
    settings.insert("max.message.bytes", BATCH_BYTES);
    settings
}

fn consent() -> Settings {
    let mut settings = compact();
    settings.insert("max.message.bytes", BATCH_BYTES);
    settings.insert("message.timestamp.type", Setting::Exactly("LogAppendTime"));
    settings
}

fn contextual() -> Settings {
    let mut settings = delete(Some(Setting::AtMost(CONTEXTUAL_RETENTION)));
    settings.insert("segment.ms", Setting::AtCreation(CONTEXTUAL_SEGMENT));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stricter_serves_as_well() {
        let (day, most, least) =
            ("86400000", Setting::AtMost(Span::DAY), Setting::AtLeast(Span::DAY));
        let check = |setting: Setting, found: &str, expect: bool| {
            assert_eq!(setting.accepts(found), expect, "{setting:?} {found}");
        };
        for (found, at_most, at_least) in [
            (day, true, true),
            ("1", true, false),
            ("86400001", false, true),
            ("9223372036854775807", false, true),
            ("-1", false, true),
            ("", false, false),
        ] {
            check(most, found, at_most);
            check(least, found, at_least);
        }
        check(Setting::Exactly("compact"), "compact,delete", false);
        assert_eq!(most.value(), day);
    }
}
