//! The ACLs that a configuration needs, as kafka-acls commands. Nothing more than it needs.
//!
//! No `IdempotentWrite` on the cluster: since Kafka 2.8 (KIP-679) Write on a topic is enough.

use crate::config::{Config, shell_word};
use crate::kafka::topic_plan::{Role, topic_plans};
use assent_contract::rulebook::Rulebook;

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
    let operations = ["Read", "Describe", "DescribeConfigs"];
    Some(granted(config, principal, &operations, &format!("--topic '{topic}'")))
}

/// What `assent verify` needs: to read.
pub fn of_verifier(config: &Config, rulebook: &Rulebook, principal: &str) -> Vec<String> {
    let grant =
        |operations: &[&str], resource: String| granted(config, principal, operations, &resource);
    let topic =
        |name: &str| grant(&["Read", "Describe", "DescribeConfigs"], format!("--topic '{name}'"));
    let mut commands: Vec<String> =
        topic_plans(config, rulebook).iter().map(|plan| topic(&plan.name)).collect();
    commands.push(grant(&["Describe"], format!("--group '{}-verify'", config.kafka.group_id)));
    commands
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
        .map(|plan| {
            let operations: &[&str] = match plan.role {
                // Misrouted consent is sent on to its right partition.
                Role::Input if plan.name == config.topics.consent => {
                    &["Read", "Write", "Describe", "DescribeConfigs"]
                }
                Role::Input => &["Read", "Describe", "DescribeConfigs"],
                Role::Alongside => &["Read", "Write", "Describe", "DescribeConfigs"],
                Role::Output => &["Write", "Describe", "DescribeConfigs"],
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
