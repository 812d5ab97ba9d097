//! Being the only member of the group, and writing as such: what the broker fences the moment that
//! somebody else joins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;

use super::Shared;
use super::assignment::Trouble;
use super::crash::crash_point;
use crate::engine::commit::Fault;
use crate::engine::output::BatchOutput;
use crate::failure::{Failure, Result};
use crate::kafka::consumer::{Answers, ClickConsumer, Rebalance};
use crate::kafka::probe::Probe;
use crate::kafka::producer::{GroupOffset, TransactionalProducer};

/// A member that died stays in the group for its session of 12 s.
const EMPTY_WITHIN: Duration = Duration::from_secs(15);

const JOINED_WITHIN: Duration = Duration::from_secs(30);
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
const ASKED_FOR: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_millis(500);

/// What each call of a transaction may take; the broker grants it 10 s as a whole.
const CALL: Duration = Duration::from_secs(8);

pub struct Alone {
    clicks: ClickConsumer,
    group: Arc<ConsumerGroupMetadata>,
    name: String,
    producer: Option<TransactionalProducer>,
}

impl Alone {
    /// Joins a group in which nobody is. Its name is a static one, so a second of these is fenced too.
    pub fn join(shared: &Shared, probe: &Probe, partitions: usize) -> Result<Self> {
        await_empty(shared, probe)?;
        let config = &shared.config;
        let name = format!("{}-accept-loss", config.kafka.group_id);
        let made = |error: KafkaError| Failure::config(format!("kafka.properties: {error}"));
        let clicks = ClickConsumer::new(config, &name, Answers::Usual).map_err(made)?;
        clicks.join().map_err(made)?;
        let deadline = shared.clock.instant() + JOINED_WITHIN;
        loop {
            clicks.poll();
            match clicks.rebalance() {
                Some(Rebalance::Assigned(given)) if given.len() == partitions => break,
                Some(_) => return Err(not_alone()),
                None if shared.clock.instant() >= deadline => {
                    return Err(Failure::unavailable(format!(
                        "the group {} gave no partitions within {} s",
                        config.kafka.group_id,
                        JOINED_WITHIN.as_secs()
                    )));
                }
                None => std::thread::sleep(PAUSE),
            }
        }
        let group = clicks.group_metadata().map(Arc::new).ok_or_else(not_alone)?;
        clicks.accept().map_err(|_| not_alone())?;
        Ok(Self { clicks, group, name, producer: None })
    }

    /// Is nobody else here? Keeps the membership alive meanwhile.
    pub fn is_so(&self) -> bool {
        self.clicks.poll();
        !self.clicks.is_disturbed()
    }

    pub fn open_desk(&mut self, shared: &Shared) -> Result<()> {
        let producer = TransactionalProducer::new(&shared.config, &self.name)
            .map_err(|error| Failure::config(format!("kafka.properties: {error}")))?;
        producer.init(ANSWERED_WITHIN).map_err(interrupted)?;
        self.producer = Some(producer);
        Ok(())
    }

    /// One transaction, with the group's offset of the partition.
    pub fn write(&self, shared: &Shared, partition: i32, output: &BatchOutput) -> Result<()> {
        if !self.is_so() {
            return Err(not_alone());
        }
        let producer = self.producer.as_ref().ok_or_else(|| interrupted(Fault::Replace))?;
        let clock = shared.clock.as_ref();
        let deadline = clock.instant() + CALL;
        producer.begin().map_err(interrupted)?;
        for one in &output.outputs {
            let purposes = &output.purposes;
            let written = shared.destinations.publish(partition, purposes, one, &mut |record| {
                producer.send(record, clock, deadline)
            });
            written.map_err(interrupted)?;
        }
        producer.drain(clock, deadline, &|| std::thread::sleep(PAUSE)).map_err(interrupted)?;
        let offsets = BTreeMap::from([(partition, GroupOffset::of(output))]);
        let topic = &shared.config.topics.clickstream;
        producer.send_offsets(topic, &offsets, &self.group, CALL, None).map_err(interrupted)?;
        producer.commit(CALL, None).map_err(interrupted)?;
        crash_point("after_commit");
        Ok(())
    }

    pub fn leave(self) {
        self.clicks.leave(std::thread::sleep);
    }
}

fn await_empty(shared: &Shared, probe: &Probe) -> Result<()> {
    let group = &shared.config.kafka.group_id;
    let deadline = shared.clock.instant() + EMPTY_WITHIN;
    loop {
        let members = probe.members(group, ASKED_FOR).map_err(|error| unanswered(&error))?;
        if members.is_empty() {
            return Ok(());
        }
        if shared.clock.instant() >= deadline {
            return Err(Failure::failed(format!(
                "the group {group} has live members: {}; a loss can only be accepted while no \
                 instance runs; stop every instance first",
                members.join(", ")
            )));
        }
        tracing::info!(group, "waiting until the members of the group are gone");
        std::thread::sleep(RETRY);
    }
}

/// Tries again while brokers don't answer, for [`ANSWERED_WITHIN`].
pub fn again<T>(
    shared: &Shared,
    mut step: impl FnMut() -> std::result::Result<T, Trouble>,
) -> Result<T> {
    let deadline = shared.clock.instant() + ANSWERED_WITHIN;
    loop {
        match step() {
            Ok(done) => return Ok(done),
            Err(Trouble::Again(_)) if shared.clock.instant() < deadline => {
                std::thread::sleep(RETRY);
            }
            Err(trouble) => return Err(failure_of(trouble)),
        }
    }
}

/// What ends a command that waits for nobody.
pub fn failure_of(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Stop(failure) => failure,
        Trouble::Wait(reason) => Failure::config(reason),
        Trouble::Unwanted => not_alone(),
        Trouble::Again(error) => unanswered(&error),
    }
}

fn unanswered(error: &KafkaError) -> Failure {
    Failure::unavailable(format!("kafka.bootstrap_servers: the brokers don't answer ({error})"))
}

pub fn not_alone() -> Failure {
    Failure::failed(
        "another instance joined the group, so nothing more was written; stop every instance, then \
         run the command again",
    )
}

/// What was committed before stays, and what was not is aborted: the command begins where it is.
fn interrupted(fault: Fault) -> Failure {
    match fault {
        Fault::Evicted => not_alone(),
        Fault::Abortable | Fault::Replace => Failure::unavailable(
            "the brokers did not accept a transaction, so the loss is not accepted yet; run the \
             command again",
        ),
    }
}
