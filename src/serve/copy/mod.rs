//! The look-up copy: `segments.*` in memory, after the rules of docs/readers.md.
//!
//! It answers only while it is known to be complete as of [`FRESH_FOR`] ago; in any doubt there is no answer,
//! and the caller shows the default. So no tombstone is older than that, on whatever instance, before it is
//! seen: neither a broker that is away nor a fetch that hangs makes an old answer last.

mod table;

use std::sync::Arc;
use std::time::Duration;

pub use table::Assigned;
use table::Table;

use super::follow::{self, Following, Plan, Take};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::events::Received;
use crate::registry::Reading;
use crate::telemetry::metrics::Metrics;
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Pseudonym};
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;
use assent_contract::wire::decode_assignment;

/// How old the proof may be that an answer rests on. An opt-out is to be seen 100 ms after its commit at the
/// latest, which leaves 20 ms for the answer's own way.
const FRESH_FOR: Duration = Duration::from_millis(80);

/// Four questions in that time: one may be late.
const ASK_EVERY: Duration = Duration::from_millis(20);

pub struct Copy {
    table: Arc<Table>,
    partitioner: Partitioner,
    purposes: Vec<String>,
    /// Of each, the minimum audience.
    least: Vec<Option<u32>>,
    following: Following,
}

impl Copy {
    /// Of all purposes of the rulebook. Reads in the background.
    pub fn start(config: &Arc<Config>, rulebook: &Rulebook) -> Result<Self> {
        let purposes: Vec<String> = rulebook.purposes.iter().map(|it| it.id.clone()).collect();
        let topics = purposes.iter().map(|purpose| config.topics.segments_of(purpose)).collect();
        let table = Arc::new(Table::of(purposes.len()));
        let schemas = Reading::open(config)?.for_ever();
        let taking = Taking { table: Arc::clone(&table), schemas };
        let plan = Plan { name: "lookup-copy", topics, ask_every: ASK_EVERY };
        let following = follow::start(config, plan, taking)?;
        let least = rulebook.purposes.iter().map(|it| it.min_members).collect();
        Ok(Self { table, least, partitioner: config.kafka.partitioner, purposes, following })
    }

    /// May it answer now?
    pub fn is_in_sync(&self) -> bool {
        self.following.progress.age().is_some_and(|age| age <= FRESH_FOR)
    }

    /// What is live of this subject for a purpose, by its place in the rulebook; `None`: nothing, or in doubt.
    pub fn find(
        &self,
        keys: &KeyRing,
        purpose: usize,
        subject: &str,
        now: Timestamp,
    ) -> Option<(Arc<Assigned>, Timestamp)> {
        if !self.is_in_sync() {
            return None;
        }
        let partitions = self.following.progress.partitions(purpose);
        let live = |pseudonym: Pseudonym| {
            let text = pseudonym.text();
            let partition = self.partitioner.partition(text.as_bytes(), partitions);
            self.table.find(purpose, partition, &pseudonym, now)
        };
        let active = keys.pseudonym(purpose, subject.as_bytes());
        live(active).or_else(|| {
            let old = keys.live_versions().filter(|version| *version != keys.active());
            old.filter_map(|version| keys.pseudonym_under(version, purpose, subject.as_bytes()))
                .find_map(live)
        })
    }

    /// Has everything been taken in that lies before these offsets, by purpose and partition?
    pub fn has_reached(&self, ends: &[std::collections::BTreeMap<i32, i64>]) -> bool {
        let position = |purpose, partition| self.following.progress.position(purpose, partition);
        ends.iter().enumerate().all(|(purpose, of_purpose)| {
            of_purpose.iter().all(|(partition, end)| position(purpose, *partition) >= *end)
        })
    }

    /// Partitions of each purpose's topic, in the rulebook's order.
    pub fn partitions(&self) -> impl Iterator<Item = i32> {
        (0..self.purposes.len()).map(|purpose| self.following.progress.partitions(purpose))
    }

    /// `None`: never in sync yet.
    pub fn age(&self) -> Option<Duration> {
        self.following.progress.age()
    }

    pub fn publish(&self, metrics: &Metrics) {
        let age = self.age().map_or(-1.0, |age| age.as_secs_f64());
        metrics.lookup_copy_lag_seconds.set(age);
        metrics.lookup_copy_in_sync.set(i64::from(self.is_in_sync()));
        for (purpose, id) in self.purposes.iter().enumerate() {
            let keys = self.table.keys(purpose) as i64;
            if self.least[purpose].is_none_or(|least| keys >= i64::from(least)) {
                metrics.lookup_copy_keys.with_label_values(&[id]).set(keys);
            } else {
                let _ = metrics.lookup_copy_keys.remove_label_values(&[id]);
            }
        }
        metrics.lookup_copy_bytes.set(self.table.bytes() as i64);
    }
}

struct Taking {
    table: Arc<Table>,
    schemas: Reading,
}

impl Take for Taking {
    /// What can't be read counts as null (R7): the key is in no segment.
    fn record(&mut self, topic: usize, record: &Received<'_>) {
        let key = record.key().and_then(|key| std::str::from_utf8(key).ok());
        let Some(pseudonym) = key.and_then(Pseudonym::parse) else { return };
        let partition = record.partition();
        let assignment = record.payload().and_then(|value| {
            let read = self.schemas.read(|known| decode_assignment(value, known));
            read.ok().and_then(std::result::Result::ok)
        });
        match assignment {
            Some(assignment) => self.table.set(topic, partition, pseudonym, assignment),
            None => self.table.remove(topic, partition, &pseudonym),
        }
    }

    fn discard(&mut self, topic: usize, _: i32) {
        self.table.clear(topic);
    }

    fn idle(&mut self) {
        self.table.sweep();
    }
}
