//! What was decided before, against the configuration: the record that each partition's state has of
//! itself, and, where there is none, what the group holds. The take-up looks again, as a stop.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult};

use super::{Finding, Preflight};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::admin::Cluster;
use crate::kafka::probe::Probe;
use crate::kafka::rights::is_refusal;
use crate::kafka::state_heads::{GLANCE, WHOLE, group_marks, read_heads};
use assent_contract::domain::foreign_text::shown;
use assent_core::engine::loss::GroupMark;
use assent_core::engine::{Refusal, Setup, is_of_group, refusal};

const CHECK: &str = "state";

/// Topics that may be the state's under its former name, looked at where the state is gone.
const CANDIDATES_MAX: usize = 32;

/// How long they may take.
const SOUGHT_FOR: Duration = Duration::from_secs(10);

const ASKED_FOR: Duration = Duration::from_secs(10);
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(200);

pub fn findings(
    preflight: &Preflight<'_>,
    cluster: &Cluster,
    setup: &Setup,
) -> Result<Vec<Finding>> {
    let config = preflight.config;
    let (topic, partitions) = (&config.topics.state, setup.input_partitions);
    let clock = preflight.clock;
    let heads = answered(preflight, || read_heads(config, topic, partitions, WHOLE, clock))?;
    let mut findings = vec![strangers(preflight)?];
    findings.push(if !heads.of.is_empty() {
        with_state(&heads.of, setup)
    } else if heads.is_unreadable {
        Finding::problem(
            CHECK,
            format!("topics.state: a batch of topic {topic} can't be read"),
            "`run` will stop there and name it; see docs/stops.md",
        )
    } else {
        let marks = answered(preflight, || group_marks(config, partitions))?;
        without_state(preflight, cluster, &marks, partitions)
    });
    Ok(findings)
}

/// Asks again for a while: a coordinator may still be loading what it is to answer from.
fn answered<T>(preflight: &Preflight<'_>, ask: impl Fn() -> KafkaResult<T>) -> Result<T> {
    let deadline = preflight.clock.instant() + ANSWERED_WITHIN;
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if is_refusal(&error) => return Err(refused(&error)),
            Err(_) if preflight.clock.instant() < deadline => std::thread::sleep(RETRY),
            Err(error) => return Err(unanswered(preflight.config, &error)),
        }
    }
}

fn refused(error: &KafkaError) -> Failure {
    Failure::config(format!(
        "kafka.group_id: the brokers refuse this user the earlier decisions ({error}); grant what \
         `assent check --print-acls` prints"
    ))
}

fn unanswered(config: &Config, error: &KafkaError) -> Failure {
    Failure::unavailable(format!(
        "kafka.bootstrap_servers {}: the earlier decisions can't be read ({error}); check that \
         this user has the grants that `assent check --print-acls` prints",
        config.kafka.bootstrap_servers
    ))
}

fn with_state(heads: &BTreeMap<i32, Vec<u8>>, setup: &Setup) -> Finding {
    let refusals: Vec<Refusal> = heads.values().filter_map(|meta| refusal(meta, setup)).collect();
    let waits = |refusal: &&Refusal| matches!(refusal, Refusal::KeyMissing { .. });
    if let Some(refused) = refusals.iter().find(|refusal| !waits(refusal)) {
        let (detail, remedy) = in_two(&refused.to_string());
        return Finding::refusal(CHECK, detail, remedy);
    }
    match refusals.first() {
        Some(missing) => {
            let (detail, remedy) = in_two(&missing.to_string());
            Finding::problem(
                CHECK,
                detail,
                format!("{remedy}; until then `run` waits and is not ready"),
            )
        }
        None => Finding::ok(
            CHECK,
            format!("{} partitions were decided under this configuration", heads.len()),
        ),
    }
}

/// What is wrong, and what to do: a refusal ends with that.
fn in_two(text: &str) -> (String, String) {
    let (detail, remedy) = text.rsplit_once("; ").unwrap_or((text, "see docs/stops.md"));
    (detail.to_owned(), remedy.to_owned())
}

/// Nothing of the state is there: either nothing was ever decided, or it is not where it was.
fn without_state(
    preflight: &Preflight<'_>,
    cluster: &Cluster,
    marks: &BTreeMap<i32, GroupMark>,
    partitions: i32,
) -> Finding {
    let config = preflight.config;
    let (group, topics) = (&config.kafka.group_id, &config.topics);
    if marks.is_empty() {
        return Finding::ok(CHECK, "nothing has been decided yet");
    }
    if let Some((partition, mark)) = marks.iter().find(|(_, mark)| sequence(mark).is_none()) {
        return Finding::refusal(
            CHECK,
            format!(
                "kafka.group_id: the group {group} has offsets of topic {} that Assent did not \
                 write (partition {partition}, offset {}): another program uses the group, and \
                 clicks before these offsets would never be decided",
                topics.clickstream, mark.offset
            ),
            format!(
                "set a group of its own for Assent; or, if nobody else needs the offsets, run \
                 `kafka-consumer-groups.sh {} --delete-offsets --group {group} --topic {}`{}",
                config.kafka.reached_by_tools(),
                topics.clickstream,
                config.kafka.tools_note()
            ),
        );
    }
    match former_state(preflight, cluster, marks, partitions) {
        Some(former) => Finding::refusal(
            CHECK,
            format!(
                "topics.state is {}, which is empty, but the state of the group {group} is in \
                 topic {former}",
                topics.state
            ),
            format!("set topics.state back to {former}"),
        ),
        None => Finding::problem(
            CHECK,
            format!(
                "topics.state: topic {} is empty, but the group {group} has decided up to click \
                 offset {} of partition {}",
                topics.state,
                marks.values().next().map_or(0, |mark| mark.offset),
                marks.keys().next().unwrap_or(&0)
            ),
            "if topics.state had another name, set it back; if the state was lost, `run` stops, \
             and docs/stops.md says how to continue",
        ),
    }
}

fn sequence(mark: &GroupMark) -> Option<i64> {
    mark.metadata.parse().ok()
}

/// A topic of the cluster that holds the very state that the group's offsets were written with.
fn former_state<'a>(
    preflight: &Preflight<'_>,
    cluster: &'a Cluster,
    marks: &BTreeMap<i32, GroupMark>,
    partitions: i32,
) -> Option<&'a str> {
    let known: Vec<String> = preflight.plans().into_iter().map(|plan| plan.name).collect();
    let may_be = |(name, count): &(&String, &i32)| {
        **count == partitions && !known.contains(name) && !name.starts_with("__")
    };
    let mut candidates: Vec<&'a String> =
        cluster.topics.iter().filter(may_be).map(|(name, _)| name).collect();
    candidates.sort_by_key(|name| !name.contains("state"));
    let (config, clock) = (preflight.config, preflight.clock);
    let deadline = clock.instant() + SOUGHT_FOR;
    candidates
        .into_iter()
        .map(String::as_str)
        .take(CANDIDATES_MAX)
        .take_while(|_| clock.instant() < deadline)
        .find(|name| {
            let heads = read_heads(config, name, partitions, GLANCE, clock).unwrap_or_default();
            heads.of.iter().any(|(partition, meta)| {
                let decided = marks.get(partition).and_then(sequence);
                decided.is_some_and(|at| is_of_group(meta, &config.kafka.group_id, at))
            })
        })
}

/// Members of the group that are no Assent: it would share the partitions with them.
fn strangers(preflight: &Preflight<'_>) -> Result<Finding> {
    let config = preflight.config;
    let group = &config.kafka.group_id;
    let probe = Probe::new(config)
        .map_err(|error| Failure::config(format!("kafka.properties: {error}")))?;
    let members = answered(preflight, || probe.members(group, ASKED_FOR))?;
    let ours = format!("{group}-");
    Ok(match members.iter().find(|member| !member.starts_with(&ours)) {
        None => Finding::ok("group", format!("{group}: members now: {}", members.len())),
        Some(stranger) => Finding::refusal(
            "group",
            format!(
                "kafka.group_id: the group {group} has a member that is not Assent: {}",
                shown(stranger)
            ),
            "set a group of its own for Assent",
        ),
    })
}
