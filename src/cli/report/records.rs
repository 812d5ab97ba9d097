//! The records of a topic for a report: how many partitions, each record, and how far back they reach.

use indicatif::ProgressBar;

use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::scan::{Ends, Scan};
use assent_contract::domain::time::Timestamp;
use assent_report::period::Period;
use assent_verify::Record;

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

/// Hands over every record of a partition from this offset to its end. Returns how many can't be read: what no
/// reader can, and what `each` says is not what it should be.
pub fn each_record(
    config: &Config,
    ends: &Ends<'_>,
    (topic, partition): (&str, i32),
    since: i64,
    bar: &ProgressBar,
    mut each: impl FnMut(&Record) -> bool,
) -> Result<u64> {
    let to = ends.committed(topic, partition)?;
    bar.inc_length((to - since).max(0) as u64);
    let mut scan = Scan::open(config, topic, partition, since, to)?;
    let mut damaged = 0;
    while let Some(record) = scan.next_record()? {
        bar.inc(1);
        damaged += u64::from(!each(&record));
    }
    Ok(damaged + scan.unreadable().len() as u64)
}
