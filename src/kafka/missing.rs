//! What this user lacks, asked before something begins that would fail for want of it.

use std::time::Duration;

use rdkafka::error::KafkaResult;

use super::probe::Probe;
use super::rights::{Need, Resource, Right, Rights};
use crate::config::Config;
use crate::failure::Result;

const ASKED_FOR: Duration = Duration::from_secs(5);

/// What of these is not granted. What the brokers don't say is not missing, and neither is a topic that there is
/// none of; nobody can be asked about transactional ids.
pub fn find(probe: &Probe, needs: &[Need]) -> KafkaResult<Vec<Need>> {
    let topics = needs.iter().filter_map(|need| match &need.resource {
        Resource::Topic(name) => Some(name.clone()),
        _ => None,
    });
    let of_topics = probe.topic_rights(topics.collect(), ASKED_FOR)?;
    let mut missing = Vec::new();
    for need in needs {
        let rights: Option<Rights> = match &need.resource {
            Resource::Topic(name) => of_topics.get(name).cloned(),
            Resource::Group(name) => probe.group_rights(name, ASKED_FOR)?,
            Resource::TransactionalIds(_) => None,
        };
        missing.extend(rights.and_then(|rights| need.missing_in(&rights)));
    }
    Ok(missing)
}

/// Fails (78) where this user lacks a right to one of these topics. An answer that does not come is not waited
/// for again: what follows asks for more.
pub fn demand(probe: &Probe, config: &Config, topics: &[&str], right: Right) -> Result<()> {
    let need = |topic: &&str| Need {
        key: config.topics.key_of(topic),
        resource: Resource::Topic((*topic).to_owned()),
        rights: vec![right],
    };
    let needs: Vec<Need> = topics.iter().map(need).collect();
    match find(probe, &needs) {
        Ok(missing) => refuse(config, &missing),
        Err(error) => {
            tracing::debug!(%error, "the brokers don't say what this user may do");
            Ok(())
        }
    }
}

/// One message for all that is missing.
pub fn refuse(config: &Config, missing: &[Need]) -> Result<()> {
    match missing {
        [] => Ok(()),
        [only] => Err(only.failure(config)),
        [first, others @ ..] => {
            let mut failure = first.failure(config);
            let more = others.len();
            let all = "`assent check --print-acls` prints all grants";
            failure.message = format!("{} (and {more} more of this kind: {all})", failure.message);
            Err(failure)
        }
    }
}
