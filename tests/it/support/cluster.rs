//! A cluster of several brokers: its nodes, who leads what, and whether all replicas are in sync.

use std::path::PathBuf;
use std::time::Duration;

use rdkafka::metadata::{Metadata, MetadataPartition, MetadataTopic};

use super::kafka::run;
use super::room::Turn;
use super::{BrokerPlan, Kafka, LeftOut, wait_until};

/// A replica that was away for a minute has caught up by then, also on a loaded machine.
const IN_SYNC_WITHIN: Duration = Duration::from_mins(2);

const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// Leaders go back to the first replica soon after it is in sync.
const ELECTIONS: [&str; 2] =
    ["leader.imbalance.check.interval.seconds=2", "leader.imbalance.per.broker.percentage=0"];

/// One broker of a cluster. What it is told is done when this returns.
pub struct Node(PathBuf);

impl Node {
    /// In good order: others lead what it led before it ends.
    pub fn stop(&self) {
        run("stop", &self.0);
    }

    /// SIGKILL.
    pub fn kill(&self) {
        run("kill", &self.0);
    }

    /// Returns when it answers, and is known to the cluster again.
    pub fn start(&self) {
        run("start", &self.0);
    }

    /// Of a broker that does not run: another machine with its id takes its place.
    pub fn lose_disk(&self) {
        std::fs::remove_dir_all(self.0.join("data")).expect("removed");
    }
}

impl Kafka {
    /// Three brokers; each record is on all, and two of them acknowledge it. A leader that comes back leads
    /// nothing for the next minutes, as Kafka has it by default.
    pub fn start_three() -> Result<Self, LeftOut> {
        Self::start_three_with(&[])
    }

    /// The same, but leaders that come back lead again soon: changes of leader without a fault.
    pub fn start_three_that_elect() -> Result<Self, LeftOut> {
        Self::start_three_with(&ELECTIONS)
    }

    fn start_three_with(settings: &[&str]) -> Result<Self, LeftOut> {
        let turn = Turn::take();
        let plan = BrokerPlan { nodes: 3, settings, ..BrokerPlan::default() };
        let mut kafka = Self::start_as(plan)?;
        kafka.turn = Some(turn);
        Ok(kafka)
    }

    /// From 1 on.
    pub fn node(&self, id: i32) -> Node {
        Node(self.directory.join(id.to_string()))
    }

    /// Who leads a partition now.
    pub fn leader(&self, topic: &str, partition: i32) -> i32 {
        wait_until(IN_SYNC_WITHIN, &format!("a leader of {topic}/{partition}"), || {
            let metadata = self.metadata(Some(topic))?;
            let partitions = metadata.topics().first()?.partitions();
            let found = partitions.iter().find(|it| it.id() == partition)?;
            (found.leader() > 0).then_some(found.leader())
        })
    }

    /// The coordinator of a consumer group: who leads the partition that its name hashes to.
    pub fn coordinator_of_group(&self, group: &str) -> i32 {
        self.coordinator("__consumer_offsets", group)
    }

    pub fn coordinator_of_transactions(&self, transactional_id: &str) -> i32 {
        self.coordinator("__transaction_state", transactional_id)
    }

    fn coordinator(&self, topic: &str, name: &str) -> i32 {
        let metadata = wait_until(IN_SYNC_WITHIN, topic, || self.metadata(Some(topic)));
        let partitions = metadata.topics()[0].partitions().len() as u32;
        let hash = name.bytes().fold(0_i32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(i32::from(byte)) // Java's hashCode, of ASCII
        });
        self.leader(topic, ((hash as u32 & 0x7fff_ffff) % partitions) as i32)
    }

    /// Waits until each partition of each topic has all its replicas in sync.
    pub fn await_in_sync(&self) {
        self.await_partitions("all replicas in sync", |it| {
            it.leader() > 0 && it.isr().len() == it.replicas().len()
        });
    }

    /// The same, and the first replica leads again.
    pub fn await_elected(&self) {
        self.await_partitions("the first replicas leading", |it| {
            it.isr().len() == it.replicas().len() && it.replicas().first() == Some(&it.leader())
        });
    }

    fn await_partitions(&self, what: &str, whole: impl Fn(&MetadataPartition) -> bool) {
        wait_until(IN_SYNC_WITHIN, what, || {
            let metadata = self.metadata(None)?;
            let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            (metadata.brokers().len() == 3 && partitions.all(&whole)).then_some(())
        });
    }

    fn metadata(&self, topic: Option<&str>) -> Option<Metadata> {
        self.admin().inner().fetch_metadata(topic, ANSWERED_WITHIN).ok()
    }
}
