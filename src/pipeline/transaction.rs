//! Obeys the commit protocol of `engine::commit` on a real producer.
//!
//! Every step is one call with a time-out of its own; what went wrong comes back as an event, and
//! the protocol says what follows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;

use super::Shared;
use super::crash::crash_point;
use crate::engine::commit::{Action, Commit, Ending, Event, Fault};
use crate::kafka::producer::{GroupOffset, TransactionalProducer};
use crate::task::batch::{Batch, Part};
use crate::task::crash::point_after;

/// Time-outs of the calls. Together below the 30 s after which /livez calls the loop dead, and the
/// deliveries below the broker's own 10 s for a transaction.
const INIT: Duration = Duration::from_secs(5);
const DELIVER: Duration = Duration::from_secs(8);
const SEND_OFFSETS: Duration = Duration::from_secs(5);
const COMMIT: Duration = Duration::from_secs(8);
const ABORT: Duration = Duration::from_secs(4);

/// How often the wait for deliveries looks whether it is over: well below a round trip.
const LOOK: Duration = Duration::from_micros(200);

/// What a transaction needs beside its producer.
pub struct Surroundings<'a> {
    pub shared: &'a Shared,
    pub worker: usize,
    /// As captured at assignment: this fences a zombie. `None`: no commit.
    pub group: Option<&'a Arc<ConsumerGroupMetadata>>,
    /// Did the batch land? Asked of a settled log, after an unclear answer.
    pub read_back: &'a dyn Fn(&Batch) -> Result<bool, Fault>,
    /// Something to do while a broker's answer is on its way; was there anything?
    pub meanwhile: &'a dyn Fn() -> bool,
    /// Calls end by then.
    pub deadline: Option<Instant>,
}

impl Surroundings<'_> {
    fn now(&self) -> Instant {
        self.shared.clock.instant()
    }

    fn pass_time(&self) {
        if !(self.meanwhile)() {
            std::thread::sleep(LOOK);
        }
    }

    /// This much time, or what is left of it; never so little that a sound call can't succeed.
    fn at_most(&self, timeout: Duration) -> Duration {
        const LEAST: Duration = Duration::from_millis(200);
        self.deadline.map_or(timeout, |deadline| {
            timeout.min(deadline.saturating_duration_since(self.now())).max(LEAST)
        })
    }
}

/// A worker's producer, and where its protocol stands.
pub struct Transactor {
    transactional_id: String,
    producer: Option<TransactionalProducer>,
    protocol: Commit,
    /// Nothing is tried before.
    pub not_before: Instant,
}

impl Transactor {
    pub fn new(transactional_id: String, now: Instant) -> Self {
        Self { transactional_id, producer: None, protocol: Commit::new(), not_before: now }
    }

    pub fn is_ready(&self) -> bool {
        self.protocol.is_ready()
    }

    /// Keeps the producer's client alive between transactions.
    pub fn serve(&self) {
        if let Some(producer) = &self.producer {
            producer.serve();
        }
    }

    /// Goes on with `event` until the protocol rests or the batch is over.
    pub fn drive(
        &mut self,
        event: Event,
        batch: &Batch,
        around: &Surroundings<'_>,
    ) -> Option<Ending> {
        let mut action = self.protocol.on(event);
        loop {
            around.shared.status.tick(around.worker);
            match action {
                Action::Rest | Action::Conclude(_) => break,
                _ => {}
            }
            let event = match self.perform(action, batch, around) {
                Ok(event) => event,
                Err(fault) => {
                    self.let_go(fault);
                    Event::Failed(fault)
                }
            };
            count(action, event, around.shared);
            action = self.protocol.on(event);
        }
        let pause = Duration::from_millis(self.protocol.pause().0 as u64);
        self.not_before = around.now() + pause;
        match action {
            Action::Conclude(ending) => Some(ending),
            _ => None,
        }
    }

    fn perform(
        &mut self,
        action: Action,
        batch: &Batch,
        around: &Surroundings<'_>,
    ) -> Result<Event, Fault> {
        match action {
            Action::Initialize => self.initialize(around)?,
            Action::Begin => self.producer()?.begin()?,
            Action::Produce => self.produce(batch, around)?,
            Action::SendOffsets => self.send_offsets(batch, around)?,
            Action::Commit => {
                self.producer()?.commit(around.at_most(COMMIT), Some(around.meanwhile))?;
            }
            Action::Abort => {
                self.producer()?.abort(around.at_most(ABORT))?;
            }
            Action::ReadBack => {
                let landed = (around.read_back)(batch)?;
                if let Some(point) = point_after(action) {
                    crash_point(point);
                }
                return Ok(Event::Landed(landed));
            }
            Action::Rest | Action::Conclude(_) => {}
        }
        if let Some(point) = point_after(action) {
            crash_point(point);
        }
        Ok(Event::Done)
    }

    fn initialize(&mut self, around: &Surroundings<'_>) -> Result<(), Fault> {
        self.producer = None;
        let producer = TransactionalProducer::new(&around.shared.config, &self.transactional_id)
            .map_err(|error| {
                tracing::error!(%error, "can't create a producer");
                Fault::Replace
            })?;
        producer.init(around.at_most(INIT))?;
        self.producer = Some(producer);
        Ok(())
    }

    fn produce(&self, batch: &Batch, around: &Surroundings<'_>) -> Result<(), Fault> {
        let producer = self.producer()?;
        let clock = around.shared.clock.as_ref();
        let deadline = around.now() + around.at_most(DELIVER);
        for (&partition, part) in &batch.parts {
            for output in &part.output.outputs {
                let purposes = &part.output.purposes;
                around.shared.destinations.publish(partition, purposes, output, &mut |record| {
                    producer.send(record, clock, deadline)
                })?;
            }
        }
        producer.drain(clock, deadline, &|| around.pass_time())
    }

    fn send_offsets(&self, batch: &Batch, around: &Surroundings<'_>) -> Result<(), Fault> {
        let group = around.group.ok_or(Fault::Evicted)?;
        let offset_of =
            |(&partition, part): (&i32, &Part)| (partition, GroupOffset::of(&part.output));
        let offsets = batch.parts.iter().map(offset_of).collect();
        let topic = &around.shared.config.topics.clickstream;
        let timeout = around.at_most(SEND_OFFSETS);
        self.producer()?.send_offsets(topic, &offsets, group, timeout, Some(around.meanwhile))
    }

    /// A producer that is to be replaced may hang in a call that was left behind: nothing more is asked of
    /// it.
    fn let_go(&mut self, fault: Fault) {
        if fault == Fault::Replace {
            self.producer = None;
        }
    }

    fn producer(&self) -> Result<&TransactionalProducer, Fault> {
        self.producer.as_ref().ok_or(Fault::Replace)
    }
}

fn count(action: Action, event: Event, shared: &Shared) {
    let result = match (action, event) {
        (Action::Commit, Event::Done) | (Action::ReadBack, Event::Landed(true)) => "committed",
        (Action::Abort, Event::Done) | (Action::ReadBack, Event::Landed(false)) => "aborted",
        (Action::Commit | Action::Abort | Action::SendOffsets, Event::Failed(Fault::Replace)) => {
            "unclear"
        }
        _ => return,
    };
    shared.metrics.transactions_total.with_label_values(&[result]).inc();
}
