//! What Assent needs of a cluster before it joins: that it answers, and that the topics are there
//! with the partition counts of docs/contract/topics.md#partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::missing;
use super::probe::Probe;
use super::reach::reach;
use super::rights::{self, Need};
use super::topic_plan::topic_plans;
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use assent_contract::rulebook::Rulebook;

/// How long a cluster may take to answer at all (docs/contract/commands.md#how-run-ends).
const REACHED_WITHIN: Duration = Duration::from_secs(30);

/// Partition counts, as the cluster has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Of clickstream, consent, state and audit alike.
    pub inputs: i32,
    /// Of segments.*, by purpose.
    pub segments: BTreeMap<String, i32>,
    pub contextual: i32,
    pub dead_letters: i32,
}

/// A topic that was made a second ago may not be known to every broker yet.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// Between two tries to have an answer.
const RETRY: Duration = Duration::from_millis(200);

/// Checks the topics. 69: for 30 s the brokers did not answer all that was asked; 78: this user may not do
/// with them what is needed, a topic is missing for 10 s, or the counts differ.
pub fn check(
    probe: &Probe,
    config: &Config,
    rulebook: &Rulebook,
    clock: &dyn Clock,
) -> Result<Counts> {
    let deadline = clock.instant() + REACHED_WITHIN;
    reach(config, REACHED_WITHIN, clock)?;
    refuse_lack(probe, config, rulebook)?;
    let purposes: Vec<String> = rulebook.purposes.iter().map(|it| it.id.clone()).collect();
    let purposes = purposes.as_slice();
    loop {
        match look(probe, config, purposes, clock) {
            Err(failure) if failure.exit == Exit::Unavailable && clock.instant() < deadline => {
                std::thread::sleep(RETRY); // a connection may break while a broker is starting
            }
            result => return result,
        }
    }
}

/// What the brokers would refuse this user. Their settings are a finding of their own.
fn refuse_lack(probe: &Probe, config: &Config, rulebook: &Rulebook) -> Result<()> {
    let needs = rights::of_assent(config, &topic_plans(config, rulebook));
    let missing = missing::find(probe, &needs).unwrap_or_else(|error| {
        tracing::debug!(%error, "the brokers don't say what this user may do");
        Vec::new()
    });
    let vital: Vec<Need> = missing.into_iter().filter_map(Need::without_settings).collect();
    missing::refuse(config, &vital)
}

fn look(probe: &Probe, config: &Config, purposes: &[String], clock: &dyn Clock) -> Result<Counts> {
    let topics = &config.topics;
    let known_by = clock.instant() + KNOWN_WITHIN;
    let count = |key: &str, topic: &str| loop {
        match count(probe, topic)? {
            Some(count) => return Ok(count),
            None if clock.instant() < known_by => std::thread::sleep(RETRY),
            None => return Err(missing(key, topic)),
        }
    };
    let inputs = count("topics.clickstream", &topics.clickstream)?;
    let alike = [
        ("topics.consent", &topics.consent),
        ("topics.state", &topics.state),
        ("topics.audit", &topics.audit),
    ];
    for (key, topic) in alike {
        let found = count(key, topic)?;
        if found != inputs {
            return Err(Failure::config(format!(
                "topics: {topic} has {found} partitions, {} has {inputs}; they must have the same \
                 number, because the clicks, consent, state and audit of a partition belong \
                 together. In a new deployment, recreate one of them. If partitions were added to \
                 one, keys now belong to other partitions: migrate to new topics with a new group \
                 (docs/stops.md)",
                topics.clickstream
            )));
        }
    }
    let mut segments = BTreeMap::new();
    for purpose in purposes {
        let found = count("topics.segments", &topics.segments_of(purpose))?;
        segments.insert(purpose.clone(), found);
    }
    let contextual = count("topics.contextual", &topics.contextual)?;
    let dead_letters = count("topics.dead_letters", &topics.dead_letters)?;
    Ok(Counts { inputs, segments, contextual, dead_letters })
}

/// The first count that is no longer what it was, as a message (a stop:
/// docs/contract/bad-input.md#stops). What can't be asked now is not different.
pub fn find_change(probe: &Probe, config: &Config, known: &Counts) -> Option<Failure> {
    let topics = &config.topics;
    let inputs = [&topics.clickstream, &topics.consent, &topics.state, &topics.audit];
    let mut expected: Vec<(String, i32)> =
        inputs.into_iter().map(|topic| (topic.clone(), known.inputs)).collect();
    expected.extend(known.segments.iter().map(|(id, &count)| (topics.segments_of(id), count)));
    for (topic, before) in expected {
        match count(probe, &topic) {
            Ok(Some(found)) if found != before => return Some(changed(&topic, found, before)),
            // The other topics' brokers would not answer either, each only after its time-out.
            Err(failure) if failure.exit == Exit::Unavailable => return None,
            Ok(_) | Err(_) => {}
        }
    }
    None
}

fn changed(topic: &str, found: i32, before: i32) -> Failure {
    Failure::failed(format!(
        "topic {topic} has {found} partitions, it had {before}: keys now belong to other \
         partitions, and tombstones would miss the values they remove. To change the count, \
         migrate to new topics with a new group (docs/stops.md)"
    ))
}

fn missing(key: &str, topic: &str) -> Failure {
    Failure::config(format!(
        "{key}: topic {topic} does not exist; create it with `assent topics create`, or set {key} \
         to an existing topic"
    ))
}

/// `None`: the broker that was asked knows no such topic.
fn count(probe: &Probe, topic: &str) -> Result<Option<i32>> {
    const ASKED_FOR: Duration = Duration::from_secs(10);
    let unavailable = |error: &KafkaError| {
        Failure::unavailable(format!("topic {topic}: the brokers can't describe it ({error})"))
    };
    let metadata = probe.metadata(Some(topic), ASKED_FOR).map_err(|error| unavailable(&error))?;
    let Some(described) = metadata.topics().iter().find(|described| described.name() == topic)
    else {
        return Err(unavailable(&KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic)));
    };
    match described.error() {
        None => Ok(Some(described.partitions().len() as i32)),
        Some(
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        ) => Ok(None),
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => {
            Err(Failure::config(format!(
                "topic {topic}: this user may not describe it; add the grants that `assent check \
                 --print-acls` prints"
            )))
        }
        Some(error) => Err(unavailable(&KafkaError::MetadataFetch(error.into()))),
    }
}
