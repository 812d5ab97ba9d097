//! Being the only member of the group, and writing as such: what the broker fences the moment that
//! somebody else joins.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;

use crate::failure::{Failure, Result};
use crate::kafka::consumer::{Answers, ClickConsumer, Rebalance};
use crate::kafka::probe::Probe;
use crate::pipeline::shared::Shared;
use crate::pipeline::take_up_error::TakeUpError;
use crate::pipeline::transaction::{TransactionContext, Transactor};
use assent_core::commit::{Action, Commit, Ending, Event, Fault};
use assent_core::engine::output::BatchOutput;

/// A member that died stays in the group for its session of 12 s.
const EMPTY_WITHIN: Duration = Duration::from_secs(15);

const JOINED_WITHIN: Duration = Duration::from_secs(30);
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
const ASKED_FOR: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_millis(500);

pub struct SoleMember {
    clicks: ClickConsumer,
    group: Arc<ConsumerGroupMetadata>,
    transactor: Transactor,
    protocol: Commit,
}

impl SoleMember {
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
                Some(_) => return Err(another_joined()),
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
        let group = clicks.group_metadata().map(Arc::new).ok_or_else(another_joined)?;
        clicks.accept().map_err(|_| another_joined())?;
        Ok(Self { clicks, group, transactor: Transactor::new(name), protocol: Commit::new() })
    }

    /// Is nobody else here? Keeps the membership alive meanwhile.
    pub fn is_alone(&self) -> bool {
        self.clicks.poll();
        !self.clicks.is_disturbed()
    }

    /// Fences what a predecessor left open, and makes a producer.
    pub fn begin(&mut self, shared: &Shared) -> Result<()> {
        let deadline = shared.clock.instant() + ANSWERED_WITHIN;
        loop {
            match self.run(Event::Resume, None, shared) {
                Err(_) if shared.clock.instant() < deadline => std::thread::sleep(RETRY),
                made => return made,
            }
        }
    }

    /// One transaction, with the group's offset of the partition.
    pub fn write(&mut self, shared: &Shared, partition: i32, output: &BatchOutput) -> Result<()> {
        if !self.is_alone() {
            return Err(another_joined());
        }
        self.run(Event::Start, Some((partition, output)), shared)
    }

    /// Runs the commit protocol to its rest or to the end of the batch. Nothing is tried again here: the
    /// command begins where it is.
    fn run(
        &mut self,
        event: Event,
        written: Option<(i32, &BatchOutput)>,
        shared: &Shared,
    ) -> Result<()> {
        let mut failed = None;
        let mut action = self.protocol.on(event);
        loop {
            match action {
                Action::Conclude(Ending::Committed) => return Ok(()),
                Action::Conclude(Ending::Surrendered) => return Err(another_joined()),
                // A producer is made, and there was nothing to write.
                Action::Rest if written.is_none() && failed.is_none() => return Ok(()),
                Action::Rest | Action::Conclude(Ending::RolledBack) => {
                    return Err(interrupted(failed.unwrap_or(Fault::Replace)));
                }
                _ => {}
            }
            let cx = TransactionContext {
                shared,
                group: Some(&self.group),
                // An unclear batch is where the protocol rests, and the command ends.
                read_back: &|| Err(Fault::Replace),
                meanwhile: &|| false,
                deadline: None,
            };
            let event = self.transactor.perform(action, written.into_iter(), &cx);
            if let Event::Failed(fault) = event {
                failed = Some(fault);
            }
            action = self.protocol.on(event);
        }
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
    mut step: impl FnMut() -> std::result::Result<T, TakeUpError>,
) -> Result<T> {
    let deadline = shared.clock.instant() + ANSWERED_WITHIN;
    loop {
        match step() {
            Ok(done) => return Ok(done),
            Err(TakeUpError::Again(_)) if shared.clock.instant() < deadline => {
                std::thread::sleep(RETRY);
            }
            Err(error) => return Err(failure_of(error)),
        }
    }
}

/// What ends a command that waits for nobody.
pub fn failure_of(error: TakeUpError) -> Failure {
    match error {
        TakeUpError::Stop(failure) | TakeUpError::Unsure(_, failure) => failure,
        TakeUpError::Wait(reason) => Failure::config(reason),
        TakeUpError::Unwanted => another_joined(),
        TakeUpError::Again(error) => unanswered(&error),
    }
}

fn unanswered(error: &KafkaError) -> Failure {
    Failure::unavailable(format!("kafka.bootstrap_servers: the brokers don't answer ({error})"))
}

pub fn another_joined() -> Failure {
    Failure::failed(
        "another instance joined the group, so nothing more was written; stop every instance, then \
         run the command again",
    )
}

/// What was committed before stays, and what was not is aborted: the command begins where it is.
fn interrupted(fault: Fault) -> Failure {
    match fault {
        Fault::Evicted => another_joined(),
        Fault::Abortable | Fault::Replace => Failure::unavailable(
            "the brokers did not accept a transaction, so the loss is not accepted yet; run the \
             command again",
        ),
    }
}
