//! What a cluster must be like before `run`, as findings.

use std::fmt;

use serde::Serialize;

use crate::cli::topics::setting_differences;
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::admin::{Admin, Cluster};
use crate::kafka::sample::sample_keys;
use crate::kafka::topic_plan::{Role, TopicPlan};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub ok: bool,
    pub detail: String,
    /// What to do about it; a finding that is ok has none.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, detail: &str) -> Self {
        Self { check, ok: true, detail: detail.to_owned(), remedy: None }
    }

    pub fn problem(check: &'static str, detail: String, remedy: impl Into<String>) -> Self {
        Self { check, ok: false, detail, remedy: Some(remedy.into()) }
    }

    pub fn is_ok(&self) -> bool {
        self.ok
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.ok { "ok" } else { "problem" };
        write!(f, "{state:<8} {:<10} {}", self.check, self.detail)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Fails (69) where the cluster can't be reached.
pub fn cluster(
    config: &Config,
    admin: &Admin,
    plans: &[TopicPlan],
    clock: &dyn Clock,
) -> Result<Vec<Finding>> {
    let cluster = admin.cluster()?;
    let reach = format!("{} answers; brokers: {}", config.kafka.bootstrap_servers, cluster.brokers);
    let mut findings = vec![Finding::ok("reach", &reach)];
    findings.extend(plans.iter().map(|plan| exists(plan, &cluster)));
    findings.extend(equal_counts(plans, &cluster));
    findings.extend(settings(admin, plans, &cluster)?);
    for plan in plans.iter().filter(|plan| plan.role == Role::Input) {
        if let Some(&count) = cluster.topics.get(&plan.name) {
            findings.push(placed(config, &plan.name, count, clock)?);
        }
    }
    Ok(findings)
}

fn exists(plan: &TopicPlan, cluster: &Cluster) -> Finding {
    match cluster.topics.get(&plan.name) {
        Some(count) => Finding::ok("topic", &format!("{}: {count} partitions", plan.name)),
        None => Finding::problem(
            "topic",
            format!("{} is not there, has no leader, or this user may not see it", plan.name),
            "run `assent topics create`, or grant what `assent check --print-acls` prints",
        ),
    }
}

/// Clickstream, consent, state and audit have the same number of partitions (section 3).
fn equal_counts(plans: &[TopicPlan], cluster: &Cluster) -> Option<Finding> {
    let counts: Vec<(&str, i32)> = plans
        .iter()
        .filter(|plan| plan.shares_partition_count())
        .filter_map(|plan| Some((plan.name.as_str(), *cluster.topics.get(&plan.name)?)))
        .collect();
    let (_, first) = counts.first()?;
    if counts.iter().all(|(_, count)| count == first) {
        return Some(Finding::ok("counts", &format!("equal: {first}")));
    }
    let listed: Vec<String> =
        counts.iter().map(|(topic, count)| format!("{topic} has {count}")).collect();
    Some(Finding::problem(
        "counts",
        format!("partition counts differ: {}", listed.join(", ")),
        "make the topics anew with equal counts; adding partitions would part keys from their \
         history",
    ))
}

fn settings(admin: &Admin, plans: &[TopicPlan], cluster: &Cluster) -> Result<Vec<Finding>> {
    let existing: Vec<&TopicPlan> =
        plans.iter().filter(|plan| cluster.topics.contains_key(&plan.name)).collect();
    let names: Vec<&str> = existing.iter().map(|plan| plan.name.as_str()).collect();
    let found = admin.settings(&names)?;
    Ok(existing
        .into_iter()
        .map(|plan| match found.get(&plan.name) {
            None => Finding::problem(
                "settings",
                format!("{}: this user may not describe it", plan.name),
                "grant DescribeConfigs, as `assent check --print-acls` prints it",
            ),
            Some(settings) => setting_finding(plan, &setting_differences(plan, settings)),
        })
        .collect())
}

fn setting_finding(plan: &TopicPlan, differences: &[String]) -> Finding {
    if differences.is_empty() {
        return Finding::ok("settings", &plan.name);
    }
    let planned: Vec<String> =
        plan.settings.iter().map(|(name, setting)| format!("{name}={}", setting.value())).collect();
    Finding::problem(
        "settings",
        format!("{}: {}", plan.name, differences.join("; ")),
        format!(
            "run `kafka-configs.sh --alter --entity-type topics --entity-name {} --add-config {}`",
            plan.name,
            planned.join(",")
        ),
    )
}

fn placed(config: &Config, topic: &str, count: i32, clock: &dyn Clock) -> Result<Finding> {
    let sample = sample_keys(config, topic, count, clock)?;
    let partitioner = config.kafka.partitioner.name();
    Ok(match sample.misplaced {
        None => Finding::ok(
            "keys lie",
            &format!("{topic}: {} sampled records lie where {partitioner} puts them", sample.keyed),
        ),
        Some((partition, offset)) => Finding::problem(
            "keys lie",
            format!(
                "{topic}: partition {partition}, offset {offset} is not where {partitioner} puts its key"
            ),
            "set kafka.partitioner to what the producers use (murmur2: Java, crc32: librdkafka), or \
             change that producer",
        ),
    })
}
