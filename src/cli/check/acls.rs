//! The ACLs that a configuration needs, as kafka-acls commands. Nothing more than it needs.
//!
//! No `IdempotentWrite` on the cluster: since Kafka 2.8 (KIP-679) Write on a topic is enough.

use crate::config::Config;
use crate::domain::rules::Rulebook;
use crate::kafka::topic_plan::{Role, topic_plans};

pub fn commands(config: &Config, rulebook: &Rulebook, principal: &str) -> Vec<String> {
    let servers = &config.kafka.bootstrap_servers;
    let grant = |operations: &[&str], resource: String| {
        let operations: Vec<String> =
            operations.iter().map(|operation| format!(" --operation {operation}")).collect();
        format!(
            "kafka-acls.sh --bootstrap-server {servers} --add --allow-principal '{principal}'{} \
             {resource}",
            operations.concat()
        )
    };
    let mut commands: Vec<String> = topic_plans(config, rulebook)
        .iter()
        .map(|plan| {
            let operations: &[&str] = match plan.role {
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
