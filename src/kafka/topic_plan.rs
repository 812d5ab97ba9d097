//! The topics of the contract (design, section 3): which there are, and what each must be set to.
//!
//! Pure: knows no cluster.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::domain::rules::Rulebook;
use crate::domain::time::Span;

/// 25 months: what an auditor may ask for, after 24 months and the month in which they ask.
const AUDIT_RETENTION: Span = Span(775 * Span::DAY.0);
const CONTEXTUAL_RETENTION: Span = Span::DAY;
const DEAD_LETTER_RETENTION: Span = Span(30 * Span::DAY.0);

/// A topic that is deleted from, rather than compacted, is so by whole files; of this length.
const CONTEXTUAL_SEGMENT: Span = Span::HOUR;

/// How a topic must be set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    pub name: String,
    pub role: Role,
    /// Kafka's names and values, as `kafka-configs` writes them.
    pub settings: BTreeMap<&'static str, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read by Assent, written by the shop.
    Input,
    /// Written by Assent, partition by partition as the inputs.
    Alongside,
    /// Written by Assent, by key.
    Output,
}

impl TopicPlan {
    /// Must it have as many partitions as the inputs?
    pub fn shares_partition_count(&self) -> bool {
        self.role != Role::Output
    }
}

/// All topics of an installation, the clickstream first.
pub fn topic_plans(config: &Config, rulebook: &Rulebook) -> Vec<TopicPlan> {
    let topics = &config.topics;
    let mut plans = vec![
        plan(&topics.clickstream, Role::Input, delete(None)),
        plan(&topics.consent, Role::Input, consent()),
        plan(&topics.state, Role::Alongside, compact()),
        plan(&topics.audit, Role::Alongside, delete(Some(AUDIT_RETENTION))),
    ];
    let segments = rulebook.purposes.iter().map(|purpose| topics.segments_of(&purpose.id));
    plans.extend(segments.map(|name| plan(&name, Role::Output, compact())));
    plans.push(plan(&topics.contextual, Role::Output, contextual()));
    plans.push(plan(&topics.dead_letters, Role::Output, delete(Some(DEAD_LETTER_RETENTION))));
    plans
}

type Settings = BTreeMap<&'static str, String>;

fn plan(name: &str, role: Role, settings: Settings) -> TopicPlan {
    TopicPlan { name: name.to_owned(), role, settings }
}

/// `retention`: `None` leaves it to the shop.
fn delete(retention: Option<Span>) -> Settings {
    let mut settings = Settings::from([("cleanup.policy", "delete".to_owned())]);
    if let Some(Span(millis)) = retention {
        settings.insert("retention.ms", millis.to_string());
    }
    settings
}

fn compact() -> Settings {
    Settings::from([
        ("cleanup.policy", "compact".to_owned()),
        ("max.compaction.lag.ms", Span::DAY.0.to_string()),
        ("segment.ms", Span::HOUR.0.to_string()),
        ("delete.retention.ms", (30 * Span::DAY.0).to_string()),
    ])
}

fn consent() -> Settings {
    let mut settings = compact();
    settings.insert("message.timestamp.type", "LogAppendTime".to_owned());
    settings
}

fn contextual() -> Settings {
    let mut settings = delete(Some(CONTEXTUAL_RETENTION));
    settings.insert("segment.ms", CONTEXTUAL_SEGMENT.0.to_string());
    settings
}
