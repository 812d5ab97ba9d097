//! The ACLs that a configuration needs, as kafka-acls commands. Nothing more than it needs.
//!
//! No `IdempotentWrite` on the cluster: since Kafka 2.8 (KIP-679) Write on a topic is enough.

use crate::config::{Config, shell_word};
use crate::kafka::topic_plan::{Role, topic_plans};
use assent_contract::rulebook::Rulebook;

const READS: &[&str] = &["Read", "Describe", "DescribeConfigs"];

/// Said beside the grants of Assent itself.
pub const APART: &str = "These grants are for Assent only. A reader of two purposes, or of segments and the audit, can join data that
is kept apart. Give the readers of each purpose, of contextual segments and of the audit their own principal
(docs/readers.md): assent check --print-acls User:NAME --reader PURPOSE";

/// What the readers of a purpose need, of `contextual` segments, or of the `audit`; `None`: there is no
/// such purpose.
pub fn of_reader(
    config: &Config,
    rulebook: &Rulebook,
    principal: &str,
    purpose: &str,
) -> Option<String> {
    let topic = match purpose {
        "contextual" => config.topics.contextual.clone(),
        "audit" => config.topics.audit.clone(),
        _ => {
            rulebook.purposes.iter().find(|declared| declared.id == purpose)?;
            config.topics.segments_of(purpose)
        }
    };
    Some(granted(config, principal, READS, &format!("--topic '{topic}'")))
}

/// What `assent verify` needs: to read.
pub fn of_verifier(config: &Config, rulebook: &Rulebook, principal: &str) -> Vec<String> {
    let topic = |name: &str| granted(config, principal, READS, &format!("--topic '{name}'"));
    let plans = topic_plans(config, rulebook).into_iter().filter(|plan| plan.role != Role::Aside);
    let mut commands: Vec<String> = plans.map(|plan| topic(&plan.name)).collect();
    commands.push(granted(config, principal, &["Describe"], &of_readers_group(config)));
    commands
}

/// What `audit publish` needs: to read the audit, and nothing else.
pub fn of_publisher(config: &Config, principal: &str) -> Vec<String> {
    let audit = format!("--topic '{}'", config.topics.audit);
    vec![
        granted(config, principal, READS, &audit),
        granted(config, principal, &["Describe"], &of_readers_group(config)),
    ]
}

/// What whoever verifies the audit and asks it needs: to read it, and to leave a record of each question.
pub fn of_auditor(config: &Config, principal: &str) -> Vec<String> {
    let mut commands = of_publisher(config, principal);
    let access = format!("--topic '{}'", config.topics.audit_access);
    commands.push(granted(
        config,
        principal,
        &["Read", "Write", "Describe", "DescribeConfigs"],
        &access,
    ));
    commands
}

/// Nobody joins it: librdkafka wants a group's name before it assigns.
fn of_readers_group(config: &Config) -> String {
    format!("--group '{}-verify'", config.kafka.group_id)
}

fn granted(config: &Config, principal: &str, operations: &[&str], resource: &str) -> String {
    let operations: Vec<String> =
        operations.iter().map(|operation| format!(" --operation {operation}")).collect();
    format!(
        "kafka-acls.sh {} --add --allow-principal {}{} {resource}",
        config.kafka.reached_by_tools(),
        shell_word(principal),
        operations.concat()
    )
}

/// What `assent run` needs.
pub fn commands(config: &Config, rulebook: &Rulebook, principal: &str) -> Vec<String> {
    let grant =
        |operations: &[&str], resource: String| granted(config, principal, operations, &resource);
    let mut commands: Vec<String> = topic_plans(config, rulebook)
        .iter()
        .filter(|plan| plan.role != Role::Aside)
        .map(|plan| {
            let operations: &[&str] = match plan.role {
                // Misrouted consent is sent on to its right partition.
                Role::Input if plan.name == config.topics.consent => {
                    &["Read", "Write", "Describe", "DescribeConfigs"]
                }
                Role::Input => &["Read", "Describe", "DescribeConfigs"],
                Role::Alongside => &["Read", "Write", "Describe", "DescribeConfigs"],
                Role::Output | Role::Aside => &["Write", "Describe", "DescribeConfigs"],
            };
            grant(operations, format!("--topic '{}'", plan.name))
        })
        .collect();
    let group = &config.kafka.group_id;
    commands.push(grant(&["Read", "Describe"], format!("--group '{group}'")));
    commands.push(grant(
        &["Write", "Describe"],
        format!("--transactional-id '{group}-' --resource-pattern-type prefixed"),
    ));
    commands
}
