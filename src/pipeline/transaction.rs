//! Executes the actions of the commit protocol (`assent_core::commit`) on a real producer.
//!
//! Every action is one call with a time-out of its own; what went wrong comes back as an event, and
//! the protocol says what follows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;

use super::crash::crash_point;
use super::shared::Shared;
use crate::config::Config;
use crate::failure::Failure;
use crate::kafka::producer::{GroupOffset, TransactionalProducer};
use crate::kafka::refusals;
use crate::kafka::rights::of_transactions;
use assent_contract::domain::time::Span;
use assent_core::commit::point_after;
use assent_core::commit::{Action, Event, Fault};
use assent_core::engine::output::BatchOutput;

/// Time-outs of the calls. Together below the 30 s after which /livez calls the loop dead, and the
/// deliveries below the broker's own 10 s for a transaction.
const INIT: Duration = Duration::from_secs(5);
const DELIVER: Duration = Duration::from_secs(8);
const SEND_OFFSETS: Duration = Duration::from_secs(5);
const COMMIT: Duration = Duration::from_secs(8);
const ABORT: Duration = Duration::from_secs(4);

/// How often the wait for deliveries looks whether it is over: well below a round trip.
const LOOK: Duration = Duration::from_micros(200);

/// What a transaction needs besides its producer.
pub struct TransactionContext<'a> {
    pub shared: &'a Shared,
    /// As captured at assignment: this fences a zombie. `None`: no commit.
    pub group: Option<&'a Arc<ConsumerGroupMetadata>>,
    /// Did the batch land? Asked of a settled log, after an unclear answer.
    pub read_back: &'a dyn Fn() -> Result<bool, Fault>,
    /// Something to do while a broker's answer is on its way; was there anything?
    pub meanwhile: &'a dyn Fn() -> bool,
    /// Uptime: calls end by then.
    pub deadline: Option<Span>,
}

impl TransactionContext<'_> {
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
            let left = deadline - self.shared.clock.uptime();
            timeout.min(Duration::from_millis(left.0.max(0) as u64)).max(LEAST)
        })
    }
}

/// A producer that obeys.
pub struct Transactor {
    transactional_id: String,
    producer: Option<TransactionalProducer>,
}

impl Transactor {
    pub fn new(transactional_id: String) -> Self {
        Self { transactional_id, producer: None }
    }

    /// Before the group is joined: is this producer let in? Whatever else keeps it from beginning is tried again
    /// later. Fails (78) where the brokers refuse its id.
    pub fn ask_in(&self, config: &Config) -> Result<(), Failure> {
        let Ok(producer) = TransactionalProducer::new(config, &self.transactional_id) else {
            return Ok(());
        };
        if producer.init(INIT).is_err() && refusals::of_transactions() {
            return Err(of_transactions(config).failure(config));
        }
        Ok(())
    }

    /// Keeps the producer's client alive between transactions.
    pub fn serve(&self) {
        if let Some(producer) = &self.producer {
            producer.serve();
        }
    }

    /// One action of the protocol, with what each partition's part of the batch writes.
    pub fn perform<'b>(
        &mut self,
        action: Action,
        outputs: impl Iterator<Item = (i32, &'b BatchOutput)>,
        cx: &TransactionContext<'_>,
    ) -> Event {
        let event = self.attempt(action, outputs, cx).unwrap_or_else(|fault| {
            self.let_go(fault);
            Event::Failed(fault)
        });
        count(action, event, cx.shared);
        event
    }

    fn attempt<'b>(
        &mut self,
        action: Action,
        outputs: impl Iterator<Item = (i32, &'b BatchOutput)>,
        cx: &TransactionContext<'_>,
    ) -> Result<Event, Fault> {
        let mut event = Event::Done;
        match action {
            Action::Initialize => self.initialize(cx)?,
            Action::Begin => self.producer()?.begin()?,
            Action::Produce => self.produce(outputs, cx)?,
            Action::SendOffsets => self.send_offsets(outputs, cx)?,
            Action::Commit => {
                self.producer()?.commit(cx.at_most(COMMIT), Some(cx.meanwhile))?;
            }
            Action::Abort => self.producer()?.abort(cx.at_most(ABORT))?,
            Action::ReadBack => event = Event::Landed((cx.read_back)()?),
            Action::Rest | Action::Conclude(_) => {}
        }
        if let Some(point) = point_after(action) {
            crash_point(point);
        }
        Ok(event)
    }

    fn initialize(&mut self, cx: &TransactionContext<'_>) -> Result<(), Fault> {
        self.producer = None;
        let producer = TransactionalProducer::new(&cx.shared.config, &self.transactional_id)
            .map_err(|error| {
                tracing::error!(%error, "can't create a producer");
                Fault::Replace
            })?;
        producer.init(cx.at_most(INIT))?;
        self.producer = Some(producer);
        Ok(())
    }

    fn produce<'b>(
        &self,
        outputs: impl Iterator<Item = (i32, &'b BatchOutput)>,
        cx: &TransactionContext<'_>,
    ) -> Result<(), Fault> {
        let producer = self.producer()?;
        let clock = cx.shared.clock.as_ref();
        let deadline = cx.now() + cx.at_most(DELIVER);
        for (partition, BatchOutput { purposes, outputs, .. }) in outputs {
            for output in outputs {
                cx.shared.destinations.publish(partition, purposes, output, &mut |record| {
                    producer.send(record, clock, deadline)
                })?;
            }
        }
        producer.drain(clock, deadline, &|| cx.pass_time())
    }

    fn send_offsets<'b>(
        &self,
        outputs: impl Iterator<Item = (i32, &'b BatchOutput)>,
        cx: &TransactionContext<'_>,
    ) -> Result<(), Fault> {
        let group = cx.group.ok_or(Fault::Evicted)?;
        let offsets = outputs.map(|(at, output)| (at, GroupOffset::of(output))).collect();
        let topic = &cx.shared.config.topics.clickstream;
        let timeout = cx.at_most(SEND_OFFSETS);
        self.producer()?.send_offsets(topic, &offsets, group, timeout, Some(cx.meanwhile))
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

/// Whatever makes a new producer necessary leaves a transaction of which it is not known how it ended: also
/// while a new one can't be initialized, because the brokers can't end the old transaction.
fn count(action: Action, event: Event, shared: &Shared) {
    let result = match (action, event) {
        (Action::Commit, Event::Done) | (Action::ReadBack, Event::Landed(true)) => "committed",
        (Action::Abort, Event::Done) | (Action::ReadBack, Event::Landed(false)) => "aborted",
        (_, Event::Failed(Fault::Replace)) => "unclear",
        _ => return,
    };
    shared.metrics.transactions_total.with_label_values(&[result]).inc();
}
