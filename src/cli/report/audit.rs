//! The audit's batches for a report, partition by partition, and how far back they reach.

use indicatif::ProgressBar;

use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::scan::{Ends, Scan};
use assent_contract::domain::audit::AuditBatch;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::decode_audit_batch;
use assent_report::period::Period;

/// A record's own time may be this far from the decisions in it.
const SKEW: Span = Span::DAY;

/// What a topic still holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// When the first thing that it holds was decided; `None`: nothing is gone.
    pub begins_at: Option<Timestamp>,
    /// Records that can't be read.
    pub damaged: u64,
}

impl Held {
    /// With what another partition holds: all of them hold it from the later one on.
    pub fn and(&mut self, other: Self) {
        self.begins_at = self.begins_at.max(other.begins_at);
        self.damaged += other.damaged;
    }

    /// What of a period it holds, up to now.
    pub fn of(&self, period: Period, now: Timestamp) -> Period {
        period.within(self.begins_at.unwrap_or(Timestamp::MIN), now)
    }
}

/// How many partitions a topic has; fails (78) where there is none.
pub fn partitions(config: &Config, topic: &str) -> Result<i32> {
    find_partitions(config, topic)?.ok_or_else(|| {
        Failure::config(format!(
            "{}: topic {topic} does not exist at {}, or this user may not describe it; use the \
             configuration of the running instance",
            config.topics.key_of(topic),
            config.kafka.bootstrap_servers
        ))
    })
}

/// The same; `None` where there is none.
pub fn find_partitions(config: &Config, topic: &str) -> Result<Option<i32>> {
    Ok(Admin::new(config)?.cluster()?.topics.get(topic).copied())
}

/// Hands over the batches of a partition that may hold something decided at or after `from`, and all before it
/// where that is `None`.
pub fn each_batch(
    config: &Config,
    ends: &Ends<'_>,
    partition: i32,
    from: Option<Timestamp>,
    bar: &ProgressBar,
    mut each: impl FnMut(&AuditBatch),
) -> Result<Held> {
    let topic = &config.topics.audit;
    let (low, to) = (ends.low(topic, partition)?, ends.committed(topic, partition)?);
    let since = match from {
        Some(from) => ends.since(topic, partition, from - SKEW)?.unwrap_or(to).max(low),
        None => low,
    };
    let mut held = Held::default();
    let mut is_first = since == low;
    let mut scan = Scan::open(config, topic, partition, since, to)?;
    bar.inc_length((to - since).max(0) as u64);
    while let Some(record) = scan.next_record()? {
        bar.inc(1);
        let value = record.value.as_deref().unwrap_or_default();
        let Ok(batch) = decode_audit_batch(value, &record.known) else {
            held.damaged += 1;
            continue;
        };
        if std::mem::take(&mut is_first) && batch.sequence > 0 {
            held.begins_at = Some(batch.decided_at);
        }
        each(&batch);
    }
    held.damaged += scan.unreadable().len() as u64;
    Ok(held)
}
