//! Takes changes in: sealed command and register entry in one transaction, many changes to one. Only once it
//! is committed is a change accepted; where it is not, nothing of it can be read by anybody.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::kept::{Drift, Held};
use super::{COMMAND, producer_name, seal};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::producer::{Record, TransactionalProducer};
use crate::pace;
use crate::serve::identities::{self, Mapped};
use crate::serve::keys::{Keys, KeysInUse};
use crate::serve::register::Register;
use assent_contract::domain::request::PrivacyRequest;
use assent_contract::wire::Framing;
use assent_core::commit::Fault;
use assent_intake::Command;

/// Changes that wait for the next transaction: at 20 ms each, some seconds' worth.
const WAITING_MAX: usize = 2_048;

/// In one transaction.
const TOGETHER_MAX: usize = 256;

/// Time-outs of the calls: together below what a client waits.
const INIT: Duration = Duration::from_secs(5);
const DELIVER: Duration = Duration::from_secs(3);
const COMMIT: Duration = Duration::from_secs(4);
const ABORT: Duration = Duration::from_secs(3);

/// How long the register is read to tell what became of an unclear commit.
const READ_BACK: Duration = Duration::from_secs(5);

const LOOK: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(200);

/// It was not taken in, and nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unaccepted;

/// What is written together, or not at all.
#[derive(Default)]
pub struct Offer {
    /// With the partitions of their subjects.
    pub commands: Vec<(i32, Command)>,
    pub requests: Vec<PrivacyRequest>,
    /// What is held, by the key of its record.
    pub held: Vec<(String, Held)>,
    /// By key of `identity-map`.
    pub identities: Vec<(String, Mapped)>,
    /// By key of its record.
    pub drift: Vec<(String, Drift)>,
}

impl Offer {
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
            && self.held.is_empty()
            && self.identities.is_empty()
            && self.drift.is_empty()
    }
}

/// A change on its way in.
struct Offered {
    offer: Offer,
    answer: oneshot::Sender<std::result::Result<(), Unaccepted>>,
}

/// The acceptor's end that handlers hold. Dropping it ends the thread.
pub struct Acceptor {
    offers: Option<SyncSender<Offered>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        drop(self.offers.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A record, ready to be written.
struct Ready<'a> {
    topic: &'a str,
    partition: i32,
    key: String,
    value: Vec<u8>,
}

impl Ready<'_> {
    fn borrowed(&self) -> Record<'_> {
        Record {
            topic: self.topic,
            partition: self.partition,
            key: self.key.as_bytes(),
            value: Some(&self.value),
            headers: None,
        }
    }
}

/// How many partitions the topics have that are written by key.
#[derive(Clone, Copy)]
pub struct Counts {
    pub requests: i32,
    pub state: i32,
    pub identities: i32,
}

/// What the thread works with.
struct Accepting {
    counts: Counts,
    config: Arc<Config>,
    keys: Arc<Keys>,
    register: Arc<Register>,
    framing: Framing,
    transactional_id: String,
    producer: Option<TransactionalProducer>,
    failed_at: Option<Instant>,
}

impl Acceptor {
    pub fn start(
        config: &Arc<Config>,
        keys: &Arc<Keys>,
        register: &Arc<Register>,
        framing: Framing,
        counts: Counts,
    ) -> Result<Self> {
        let no_name = |error| Failure::failed(format!("no randomness: {error}"));
        let mut accepting = Accepting {
            counts,
            config: Arc::clone(config),
            keys: Arc::clone(keys),
            register: Arc::clone(register),
            framing,
            transactional_id: producer_name(&config.kafka.group_id, "accept").map_err(no_name)?,
            producer: None,
            failed_at: None,
        };
        let (offers, offered) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("intake-accept".to_owned())
            .spawn(move || accepting.run(&offered))
            .map_err(|error| Failure::failed(format!("can't start a thread: {error}")))?;
        Ok(Self { offers: Some(offers), thread: Some(thread) })
    }

    pub async fn accept(&self, offer: Offer) -> std::result::Result<(), Unaccepted> {
        let (answer, answered) = oneshot::channel();
        let offered = Offered { offer, answer };
        let Some(offers) = &self.offers else { return Err(Unaccepted) };
        // Full, or nobody takes them any more.
        if offers.try_send(offered).is_err() {
            return Err(Unaccepted);
        }
        answered.await.unwrap_or(Err(Unaccepted))
    }
}

impl Accepting {
    fn run(&mut self, offered: &Receiver<Offered>) {
        loop {
            match offered.recv_timeout(IDLE) {
                Ok(first) => {
                    let mut batch = vec![first];
                    batch.extend(offered.try_iter().take(TOGETHER_MAX - 1));
                    self.settle(batch);
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(producer) = &self.producer {
                        producer.serve();
                    }
                    self.renew();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn settle(&mut self, batch: Vec<Offered>) {
        let result = match self.write(&batch) {
            Ok(()) => Ok(()),
            Err((fault, is_committing)) => self.recover(fault, is_committing, &batch),
        };
        for offered in batch {
            let _ = offered.answer.send(result); // who hung up needs no answer
        }
    }

    /// What of a failed transaction is known for sure: it is not there, or it is.
    fn recover(
        &mut self,
        fault: Fault,
        is_committing: bool,
        batch: &[Offered],
    ) -> std::result::Result<(), Unaccepted> {
        let aborted = fault == Fault::Abortable
            && self.producer.as_ref().is_some_and(|producer| producer.abort(ABORT).is_ok());
        if aborted {
            return Err(Unaccepted);
        }
        // The next producer of this name settles what this one left, one way or the other. Where no commit was
        // asked for, the broker aborts it.
        if self.producer.take().is_some() {
            self.failed_at = None;
            self.renew();
        }
        if is_committing { self.read_back(batch) } else { Err(Unaccepted) }
    }

    /// Did the register take the batch? Everything of a transaction is there, or nothing. A batch without a
    /// request counts as not taken: whoever sends it again changes nothing.
    fn read_back(&self, batch: &[Offered]) -> std::result::Result<(), Unaccepted> {
        let mut requests = batch.iter().flat_map(|offered| &offered.offer.requests);
        let Some(first) = requests.next() else { return Err(Unaccepted) };
        let (asked, deadline) = (SystemClock.instant(), SystemClock.instant() + READ_BACK);
        while SystemClock.instant() < deadline {
            if self.register.find(&first.request_id).is_some() {
                return Ok(());
            }
            if self.producer.is_some() && self.register.progress().is_proven_since(asked) {
                return Err(Unaccepted);
            }
            std::thread::sleep(LOOK);
        }
        if let Some(repeated) = pace::may_say("intake unclear") {
            tracing::warn!(repeated, "it is not clear whether a change was taken in");
        }
        Err(Unaccepted)
    }

    fn write(&mut self, batch: &[Offered]) -> std::result::Result<(), (Fault, bool)> {
        self.renew();
        let Some(producer) = &self.producer else { return Err((Fault::Replace, false)) };
        let keys = self.keys.now();
        let before = |fault| (fault, false);
        producer.begin().map_err(before)?;
        let deadline = SystemClock.instant() + DELIVER;
        for offered in batch {
            let records = self.records(&offered.offer, &keys).map_err(before)?;
            for record in &records {
                producer.send(record.borrowed(), &SystemClock, deadline).map_err(before)?;
            }
        }
        let pass_time = || std::thread::sleep(LOOK / 5);
        producer.drain(&SystemClock, deadline, &pass_time).map_err(before)?;
        producer.commit(COMMIT, None).map_err(|fault| (fault, true))
    }

    fn records(
        &self,
        offer: &Offer,
        keys: &KeysInUse,
    ) -> std::result::Result<Vec<Ready<'_>>, Fault> {
        let topics = &self.config.topics;
        let mut records = Vec::new();
        for (partition, command) in &offer.commands {
            let key = format!("{COMMAND}{}", command.request_id);
            let value = seal::seal(&keys.ring, key.as_bytes(), &command.encode())
                .map_err(|_| Fault::Abortable)?;
            records.push(Ready { topic: &topics.intake_state, partition: *partition, key, value });
        }
        for request in &offer.requests {
            let value = self.framing.frame(&request.body());
            let key = request.request_id.clone();
            records.push(self.keyed(&topics.privacy_requests, self.counts.requests, key, value));
        }
        for (key, held) in &offer.held {
            let value = seal::seal_lasting(&keys.ring, key.as_bytes(), &held.encode())
                .map_err(|_| Fault::Abortable)?;
            records.push(self.keyed(&topics.intake_state, self.counts.state, key.clone(), value));
        }
        for (key, mapped) in &offer.identities {
            let value = identities::sealed(keys, key, mapped).map_err(|_| Fault::Abortable)?;
            records.push(self.keyed(
                &topics.identity_map,
                self.counts.identities,
                key.clone(),
                value,
            ));
        }
        for (key, drift) in &offer.drift {
            let value = serde_json::to_vec(drift).expect("plain data");
            records.push(self.keyed(&topics.intake_state, self.counts.state, key.clone(), value));
        }
        Ok(records)
    }

    fn keyed<'a>(&self, topic: &'a str, count: i32, key: String, value: Vec<u8>) -> Ready<'a> {
        let partition = self.config.kafka.partitioner.partition(key.as_bytes(), count);
        Ready { topic, partition, key, value }
    }

    /// A producer, where there is none: at most one try a second.
    fn renew(&mut self) {
        let now = SystemClock.instant();
        let is_pausing = self
            .failed_at
            .is_some_and(|at| now.saturating_duration_since(at) < Duration::from_secs(1));
        if self.producer.is_some() || is_pausing {
            return;
        }
        let made = TransactionalProducer::new(&self.config, &self.transactional_id);
        match made.map_err(|error| error.to_string()).and_then(|producer| {
            producer.init(INIT).map(|()| producer).map_err(|fault| format!("{fault:?}"))
        }) {
            Ok(producer) => self.producer = Some(producer),
            Err(error) => {
                self.failed_at = Some(SystemClock.instant());
                if let Some(repeated) = pace::may_say("intake producer") {
                    tracing::warn!(error, repeated, "changes can't be taken in; trying again");
                }
            }
        }
    }
}
