//! The cluster's topics, as findings: are they there, with equal counts and the right settings, and do
//! keys lie where the partitioner puts them?

use std::collections::BTreeMap;

use super::Finding;
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::admin::{Admin, Cluster, InSync};
use crate::kafka::sample::sample_keys;
use crate::kafka::topic_breaks::{Break, find_break, must_be_known};
use crate::kafka::topic_plan::{Role, TopicPlan};

/// Fails (69) where the cluster can't be reached.
pub fn findings(
    config: &Config,
    admin: &Admin,
    plans: &[TopicPlan],
    cluster: &Cluster,
) -> Result<Vec<Finding>> {
    let reach = format!("{} answers; brokers: {}", config.kafka.bootstrap_servers, cluster.brokers);
    let mut findings = vec![Finding::ok("reach", reach)];
    findings.extend(plans.iter().map(|plan| exists(plan, cluster)));
    findings.extend(equal_counts(plans, cluster));
    findings.extend(settings(config, admin, plans, cluster)?);
    Ok(findings)
}

/// Of topics that `run` does without: nothing about them refuses it.
pub fn tolerated(
    config: &Config,
    admin: &Admin,
    plans: &[TopicPlan],
    cluster: &Cluster,
) -> Result<Vec<Finding>> {
    let mut findings: Vec<Finding> = plans.iter().map(|plan| exists(plan, cluster)).collect();
    findings.extend(settings(config, admin, plans, cluster)?);
    for finding in &mut findings {
        finding.refuses = false;
    }
    Ok(findings)
}

fn exists(plan: &TopicPlan, cluster: &Cluster) -> Finding {
    match cluster.topics.get(&plan.name) {
        Some(count) => Finding::ok("topic", format!("{}: {count} partitions", plan.name)),
        None if cluster.leaderless.contains(&plan.name) => Finding::problem(
            "topic",
            format!("{} has a partition without a leader", plan.name),
            "check which broker is down; everything in that partition waits",
        ),
        None if plan.role == Role::Aside => Finding::problem(
            "topic",
            format!(
                "{}: topic {} does not exist, or this user may not see it",
                plan.key, plan.name
            ),
            "run `assent topics create`; until then no question about the audit is answered",
        ),
        None => Finding::refusal(
            "topic",
            format!(
                "{}: topic {} does not exist, or this user may not see it",
                plan.key, plan.name
            ),
            "run `assent topics create`, or add the grants that `assent check --print-acls` prints",
        ),
    }
}

/// Clickstream, consent, state and audit have the same number of partitions
/// (docs/contract/topics.md#partitions).
fn equal_counts(plans: &[TopicPlan], cluster: &Cluster) -> Option<Finding> {
    let counts: Vec<(&str, i32)> = plans
        .iter()
        .filter(|plan| plan.shares_partition_count())
        .filter_map(|plan| Some((plan.name.as_str(), *cluster.topics.get(&plan.name)?)))
        .collect();
    let (_, first) = counts.first()?;
    if counts.iter().all(|(_, count)| count == first) {
        return Some(Finding::ok("counts", format!("equal: {first}")));
    }
    let listed: Vec<String> =
        counts.iter().map(|(topic, count)| format!("{topic} has {count}")).collect();
    Some(Finding::refusal(
        "counts",
        format!("topics: partition counts differ: {}", listed.join(", ")),
        "recreate the topics with equal counts; adding partitions would separate keys from their \
         history",
    ))
}

fn settings(
    config: &Config,
    admin: &Admin,
    plans: &[TopicPlan],
    cluster: &Cluster,
) -> Result<Vec<Finding>> {
    let existing: Vec<&TopicPlan> =
        plans.iter().filter(|plan| cluster.topics.contains_key(&plan.name)).collect();
    let names: Vec<&str> = existing.iter().map(|plan| plan.name.as_str()).collect();
    let found = admin.settings(&names)?;
    let findings = |plan: &TopicPlan| match found.get(&plan.name) {
        None => vec![not_described(plan)],
        Some(settings) => {
            let mut findings = vec![setting_finding(config, plan, settings)];
            findings.extend(too_few_in_sync(plan, cluster, settings));
            findings
        }
    };
    Ok(existing.into_iter().flat_map(findings).collect())
}

/// Kafka 4 asks for no more replicas than a partition has.
fn too_few_in_sync(
    plan: &TopicPlan,
    cluster: &Cluster,
    settings: &BTreeMap<String, String>,
) -> Option<Finding> {
    let InSync { partition, in_sync, replicas } = *cluster.in_sync.get(&plan.name)?;
    let needed: usize = settings.get("min.insync.replicas")?.parse().ok()?;
    let needed = needed.min(replicas);
    (in_sync < needed).then(|| {
        let detail = format!(
            "{}: topic {}, partition {partition}: {in_sync} of {replicas} replicas are in sync, and \
             min.insync.replicas asks for {needed}; nothing can be written to it",
            plan.key, plan.name
        );
        Finding::problem("replicas", detail, "repair the brokers that hold the others")
    })
}

fn not_described(plan: &TopicPlan) -> Finding {
    let detail = format!("{}: this user may not describe topic {}", plan.key, plan.name);
    let remedy = "grant DescribeConfigs, as `assent check --print-acls` shows";
    if must_be_known(plan) {
        let detail = format!("{detail}, so its retention and compaction can't be checked");
        Finding::refusal("settings", detail, remedy)
    } else {
        Finding::problem("settings", detail, remedy)
    }
}

fn setting_finding(
    config: &Config,
    plan: &TopicPlan,
    settings: &BTreeMap<String, String>,
) -> Finding {
    let differences = plan.differences(settings);
    let Some(Break { found, right, why }) = find_break(plan, settings) else {
        if differences.is_empty() {
            return Finding::ok("settings", &*plan.name);
        }
        let planned: Vec<String> = plan
            .settings
            .iter()
            .map(|(name, setting)| format!("{name}={}", setting.value()))
            .collect();
        return Finding::problem(
            "settings",
            format!("{}: topic {}: {}", plan.key, plan.name, differences.join("; ")),
            altered(config, &plan.name, &planned.join(",")),
        );
    };
    let others: Vec<&String> =
        differences.iter().filter(|difference| !difference.starts_with(&found)).collect();
    let others = match others.as_slice() {
        [] => String::new(),
        _ => format!(
            " (also {})",
            others.iter().map(|it| it.as_str()).collect::<Vec<_>>().join("; ")
        ),
    };
    Finding::refusal(
        "settings",
        format!("{}: topic {} has {found}: {why}{others}", plan.key, plan.name),
        altered(config, &plan.name, right),
    )
}

/// A command that runs as pasted.
fn altered(config: &Config, topic: &str, settings: &str) -> String {
    format!(
        "run `kafka-configs.sh {} --alter --entity-type topics --entity-name {topic} --add-config \
         {settings}`{}",
        config.kafka.reached_by_tools(),
        config.kafka.tools_note()
    )
}

/// Samples the inputs' keys.
pub fn placement(
    config: &Config,
    plans: &[TopicPlan],
    cluster: &Cluster,
    clock: &dyn Clock,
) -> Result<Vec<Finding>> {
    let inputs = plans.iter().filter(|plan| plan.role == Role::Input);
    let there = inputs.filter_map(|plan| Some((plan, *cluster.topics.get(&plan.name)?)));
    there.map(|(plan, count)| placed(config, &plan.name, count, clock)).collect()
}

fn placed(config: &Config, topic: &str, count: i32, clock: &dyn Clock) -> Result<Finding> {
    let sample = sample_keys(config, topic, count, clock)?;
    let partitioner = config.kafka.partitioner.name();
    Ok(match sample.misplaced {
        None => Finding::ok(
            "keys lie",
            format!("{topic}: {} sampled records lie where {partitioner} puts them", sample.keyed),
        ),
        Some((partition, offset)) => Finding::problem(
            "keys lie",
            format!(
                "{topic}: partition {partition}, offset {offset} is not where {partitioner} puts its key"
            ),
            "set kafka.partitioner to what the producers use (murmur2: Java, crc32: librdkafka), \
             or change that producer",
        ),
    })
}
