//! The transactional producer of a worker, and what its errors mean for the commit protocol.
//!
//! Records are handed over on the worker's thread. Whatever waits for a broker is a call that can be left
//! behind; the producer with it, since the fault is then [`Fault::Replace`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, PurgeConfig};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::calls::{Call, Calls, LeftBehind};
use super::client::{LoggedIn, client_config, set_default};
use super::context::Logged;
use super::handle::Handle;
use super::refusals;
use super::rights::is_refusal;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::pace;
use assent_core::commit::Fault;
use assent_core::engine::output::BatchOutput;

/// How long the broker keeps the transaction of a producer that fell silent
/// (docs/contract/batch.md#identity): for so long every reader of committed records waits behind it.
const TRANSACTION_TIMEOUT_MS: &str = "10000";

/// How often the wait for deliveries looks again: well below a round trip.
const DELIVERY_LOOK: Duration = Duration::from_micros(200);

/// What an abort is given where waiting for deliveries took all its time.
const LEAST_TO_ABORT: Duration = Duration::from_millis(200);

/// A transaction begins in the client alone.
const BEGUN_WITHIN: Duration = Duration::from_secs(1);

/// Something to do while a broker's answer is on its way; was there anything?
pub type Meanwhile<'a> = Option<&'a dyn Fn() -> bool>;

/// One record to write.
pub struct Record<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub key: &'a [u8],
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Option<OwnedHeaders>,
}

/// A group's offset of a partition, and its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    pub next_click: i64,
    pub metadata: String,
}

impl GroupOffset {
    /// What is committed with a batch.
    pub fn of(output: &BatchOutput) -> Self {
        Self { next_click: output.next_click, metadata: output.next_sequence.to_string() }
    }
}

pub struct TransactionalProducer {
    producer: Handle<LoggedIn<BaseProducer<Logged>>>,
    calls: Calls,
}

impl TransactionalProducer {
    /// Makes the client; nothing is sent before [`Self::init`].
    pub fn new(config: &Config, transactional_id: &str) -> KafkaResult<Self> {
        let mut client = client_config(config);
        set_default(&mut client, config, "compression.type", "lz4");
        set_default(&mut client, config, "linger.ms", "1");
        client
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("delivery.report.only.error", "true");
        let producer = Handle::new(client.create_with_context(Logged("producer"))?);
        Ok(Self { producer, calls: Calls::default() })
    }

    /// Fences every predecessor with this transactional.id and settles what it left open.
    pub fn init(&self, timeout: Duration) -> Result<(), Fault> {
        self.call(Call::Init, timeout, None, move |producer| producer.init_transactions(timeout))?;
        refusals::transactions_begin();
        Ok(())
    }

    /// Between transactions: lets librdkafka log, and renew what it authenticates with.
    pub fn serve(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// No broker hears of it yet.
    pub fn begin(&self) -> Result<(), Fault> {
        self.call(Call::Begin, BEGUN_WITHIN, None, BaseProducer::begin_transaction)
    }

    /// Hands a record over. Waits where librdkafka's queue is full, until `deadline`.
    pub fn send(
        &self,
        record: Record<'_>,
        clock: &dyn Clock,
        deadline: Instant,
    ) -> Result<(), Fault> {
        let mut pending = BaseRecord::to(record.topic).partition(record.partition).key(record.key);
        pending.payload = record.value;
        pending.headers = record.headers;
        loop {
            match self.producer.send(pending) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    if clock.instant() >= deadline {
                        return Err(not_delivered());
                    }
                    pending = back;
                    self.producer.poll(Duration::ZERO);
                    std::thread::sleep(DELIVERY_LOOK);
                }
                Err((error, _)) => return Err(judged("produce", &error)),
            }
        }
    }

    /// Waits until every record has been taken by its broker or has failed. `commit_transaction`
    /// would wait too, but a tenth of a second at least
    /// (docs/librdkafka.md#committing-waits-for-a-flush). `pass_time` is called between looks.
    pub fn drain(
        &self,
        clock: &dyn Clock,
        deadline: Instant,
        pass_time: &dyn Fn(),
    ) -> Result<(), Fault> {
        self.producer.poll(Duration::ZERO);
        while self.producer.in_flight_count() > 0 {
            if clock.instant() >= deadline {
                return Err(not_delivered());
            }
            pass_time();
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Adds the group's offsets to the transaction.
    pub fn send_offsets(
        &self,
        topic: &str,
        offsets: &BTreeMap<i32, GroupOffset>,
        group: &Arc<ConsumerGroupMetadata>,
        timeout: Duration,
        meanwhile: Meanwhile<'_>,
    ) -> Result<(), Fault> {
        let (list, group) = (offset_list(topic, offsets), Arc::clone(group));
        self.call(Call::SendOffsets, timeout, meanwhile, move |producer| {
            producer.send_offsets_to_transaction(&list?, &group, timeout)
        })
    }

    pub fn commit(&self, timeout: Duration, meanwhile: Meanwhile<'_>) -> Result<(), Fault> {
        self.call(Call::Commit, timeout, meanwhile, move |producer| {
            producer.commit_transaction(timeout)
        })
    }

    pub fn abort(&self, timeout: Duration) -> Result<(), Fault> {
        self.call(Call::Abort, timeout, None, move |producer| abort(producer, timeout))
    }

    fn call(
        &self,
        call: Call,
        timeout: Duration,
        meanwhile: Meanwhile<'_>,
        work: impl FnOnce(&BaseProducer<Logged>) -> KafkaResult<()> + Send + 'static,
    ) -> Result<(), Fault> {
        let producer = self.producer.clone();
        match self.calls.make_meanwhile(call, timeout, meanwhile, move || work(&producer)) {
            Ok(result) => result.map_err(|error| judged(call.label(), &error)),
            Err(LeftBehind) => Err(Fault::Replace),
        }
    }
}

/// librdkafka waits inside for what is in flight, but leaves it to its caller to take the reports of what it
/// throws away, so both are done before.
fn abort(producer: &BaseProducer<Logged>, timeout: Duration) -> KafkaResult<()> {
    let deadline = SystemClock.instant() + timeout;
    loop {
        producer.purge(PurgeConfig::default().queue());
        producer.poll(Duration::ZERO);
        if producer.in_flight_count() == 0 {
            break;
        }
        if SystemClock.instant() >= deadline {
            return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
        }
        std::thread::sleep(DELIVERY_LOOK);
    }
    let rest = deadline.saturating_duration_since(SystemClock.instant()).max(LEAST_TO_ABORT);
    producer.abort_transaction(rest)
}

fn offset_list(
    topic: &str,
    offsets: &BTreeMap<i32, GroupOffset>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (&partition, offset) in offsets {
        let mut element = list.add_partition(topic, partition);
        element.set_offset(Offset::Offset(offset.next_click))?;
        element.set_metadata(&offset.metadata);
    }
    Ok(list)
}

/// The client may go on asking a leader or a coordinator of before for as long as it lives: another one asks
/// anew.
fn not_delivered() -> Fault {
    if let Some(repeated) = pace::may_say("not delivered") {
        tracing::warn!(repeated, "no broker accepted the records of a transaction in time");
    }
    Fault::Replace
}

fn judged(call: &'static str, error: &KafkaError) -> Fault {
    let fault = judge(error);
    if let Some(code) = error.rdkafka_error_code() {
        refusals::note(code, "");
    }
    // What the brokers refuse is told as that.
    if !is_refusal(error)
        && let Some(repeated) = pace::may_say(&format!("transaction {call}"))
    {
        tracing::warn!(call, %error, ?fault, repeated, "a transaction failed");
    }
    fault
}

/// What follows from an error. What is not known to be harmless is unclear.
fn judge(error: &KafkaError) -> Fault {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::UnknownMemberId | Code::IllegalGeneration | Code::FencedInstanceId) => {
            return Fault::Evicted;
        }
        Some(
            Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown,
        ) => return Fault::Replace,
        _ => {}
    }
    match error {
        KafkaError::Transaction(error) if error.is_fatal() => Fault::Replace,
        KafkaError::Transaction(error) if error.txn_requires_abort() => Fault::Abortable,
        KafkaError::MessageProduction(_) => Fault::Abortable,
        _ => Fault::Replace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_evicted_surrenders_and_what_is_unclear_is_replaced() {
        use RDKafkaErrorCode as Code;
        let check = |code, fault| assert_eq!(judge(&KafkaError::Flush(code)), fault, "{code:?}");
        check(Code::UnknownMemberId, Fault::Evicted);
        check(Code::IllegalGeneration, Fault::Evicted);
        check(Code::FencedInstanceId, Fault::Evicted);
        check(Code::OperationTimedOut, Fault::Replace);
        check(Code::Fenced, Fault::Replace);
        let full = KafkaError::MessageProduction(Code::MessageSizeTooLarge);
        assert_eq!(judge(&full), Fault::Abortable);
        let gone = KafkaError::MessageProduction(Code::BrokerTransportFailure);
        assert_eq!(judge(&gone), Fault::Replace);
    }

    #[test]
    fn offsets_carry_the_sequence_with_them() {
        let offset = GroupOffset { next_click: 42, metadata: "7".to_owned() };
        let list = offset_list("clickstream", &BTreeMap::from([(3, offset)])).unwrap();
        let element = list.find_partition("clickstream", 3).unwrap();
        assert_eq!((element.offset(), element.metadata()), (Offset::Offset(42), "7"));
    }
}
