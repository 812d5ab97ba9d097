//! What was lost, in words: the message of a stop. Names topics, partitions and offsets, never a subject
//! (INV-6).

use std::collections::BTreeMap;

use crate::config::Config;
use crate::failure::Failure;
use assent_core::engine::loss::Losses;

/// The message that ends a run.
pub fn stop(config: &Config, lost: &BTreeMap<i32, Losses>) -> Failure {
    let lines: Vec<String> =
        lost.iter().flat_map(|(&partition, losses)| describe(config, partition, losses)).collect();
    Failure::failed(format!(
        "{}. Nothing was skipped. Restore what was lost if you can. To continue without it: stop \
         every instance, run `assent state accept-loss` to see what that means, then run it with \
         --yes (docs/stops.md)",
        lines.join("; ")
    ))
}

/// A sentence for each thing that was lost of a partition.
pub fn describe(config: &Config, partition: i32, losses: &Losses) -> Vec<String> {
    let topics = &config.topics;
    let mut lines = Vec::new();
    let inputs = [(&topics.clickstream, losses.clicks), (&topics.consent, losses.consent)];
    for (topic, loss) in inputs {
        if let Some(loss) = loss {
            lines.push(format!("topic {topic}, partition {partition}: {loss}"));
        }
    }
    if let Some(loss) = &losses.state {
        lines.push(format!("topic {}, partition {partition}: {loss}", topics.state));
    }
    if let Some(unreadable) = &losses.audit {
        lines.push(format!(
            "topic {}, partition {partition}: {unreadable}; so nobody can tell whether the audit ends \
             where the state does",
            topics.audit
        ));
    }
    if let Some(mark) = &losses.group {
        lines.push(format!(
            "partition {partition}: state and audit say click offset {}, the group {} says click \
             offset {} and audit sequence \"{}\"; they are written together, so another program \
             changed the offsets of the group",
            losses.resume.next_click, config.kafka.group_id, mark.offset, mark.metadata
        ));
    }
    lines
}
