//! The floor that `scripts/bench` holds Assent against: every click consumed and produced again, one
//! to one, exactly once, and nothing else done with it.
//!
//! Reads read_committed, commits a transaction with the group's offsets every 100 ms, lz4, by the same clients
//! and drained commits as Assent. Its settings are the ones that cost it least: large fetches, large
//! batches, and queues that hold what comes meanwhile; opt-outs don't wait here for anything. Knows nothing of
//! what a click is.
//!
//! `passthrough BOOTSTRAP INPUT OUTPUT MESSAGES` makes OUTPUT like INPUT, copies as the group OUTPUT
//! until that many messages are committed, prints a line `committed <messages so far>` for each transaction, and
//! waits for the end of its stdin, so that its process can still be measured.

use std::io::Read;
use std::time::{Duration, Instant};

use assent::clock::{Clock, SystemClock};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// As Assent has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const COMMIT_EVERY: Duration = Duration::from_millis(100);

const TIMEOUT: Duration = Duration::from_secs(20);

/// How often the wait for deliveries looks again.
const DELIVERY_LOOK: Duration = Duration::from_micros(200);

/// The pause of a loop that found nothing.
const IDLE: Duration = Duration::from_millis(1);

fn main() -> KafkaResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` and `cargo bench` start every bench: without arguments, nothing.
    let [servers, input, output, messages] = arguments.as_slice() else { return Ok(()) };
    let messages = messages.parse().expect("MESSAGES is a number");
    let mut copy = Copy::open(servers, input, output)?;
    copy.run(messages)?;
    std::io::stdin().read_to_end(&mut Vec::new()).expect("stdin can be read");
    Ok(())
}

struct Copy {
    consumer: BaseConsumer,
    producer: BaseProducer,
    input: String,
    output: String,
    /// By partition: the next offset; `None`: nothing was copied since the last commit.
    next: Vec<Option<i64>>,
    copied: u64,
}

impl Copy {
    fn open(servers: &str, input: &str, output: &str) -> KafkaResult<Self> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", servers).set("client.id", "passthrough");
        let consumer: BaseConsumer = consumer_config(&client, output).create()?;
        let metadata = consumer.fetch_metadata(Some(input), TIMEOUT)?;
        let partitions = metadata.topics()[0].partitions().len() as i32;
        make_topic(&client, output, partitions)?;
        let producer: BaseProducer = producer_config(&client, output).create()?;
        producer.init_transactions(TIMEOUT)?;
        consumer.subscribe(&[input])?;
        let (input, output) = (input.to_owned(), output.to_owned());
        let next = vec![None; partitions as usize];
        Ok(Self { consumer, producer, input, output, next, copied: 0 })
    }

    fn run(&mut self, messages: u64) -> KafkaResult<()> {
        let mut committed = 0;
        while committed < messages {
            self.producer.begin_transaction()?;
            self.copy_until(SystemClock.instant() + COMMIT_EVERY, messages)?;
            self.commit()?;
            committed = self.copied;
            println!("committed {committed}");
        }
        Ok(())
    }

    fn copy_until(&mut self, end: Instant, messages: u64) -> KafkaResult<()> {
        while SystemClock.instant() < end && self.copied < messages {
            if !self.copy_burst()? {
                std::thread::sleep(IDLE);
            }
        }
        Ok(())
    }

    /// Was there anything?
    fn copy_burst(&mut self) -> KafkaResult<bool> {
        for taken in 0..1_000 {
            let Some(message) = self.consumer.poll(Duration::ZERO) else { return Ok(taken > 0) };
            let message = message?;
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.output);
            record.partition = Some(message.partition());
            record.key = message.key();
            record.payload = message.payload();
            send(&self.producer, record)?;
            self.next[message.partition() as usize] = Some(message.offset() + 1);
            self.copied += 1;
        }
        Ok(true)
    }

    /// Drained first: a commit with messages in flight takes a tenth of a second at least.
    fn commit(&mut self) -> KafkaResult<()> {
        self.producer.poll(Duration::ZERO);
        while self.producer.in_flight_count() > 0 {
            std::thread::sleep(DELIVERY_LOOK);
            self.producer.poll(Duration::ZERO);
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in self.next.iter_mut().enumerate() {
            if let Some(next) = next.take() {
                offsets.add_partition_offset(
                    &self.input,
                    partition as i32,
                    Offset::Offset(next),
                )?;
            }
        }
        if offsets.count() > 0 {
            let group = self.consumer.group_metadata().expect("a member of the group");
            self.producer.send_offsets_to_transaction(&offsets, &group, TIMEOUT)?;
        }
        self.producer.commit_transaction(TIMEOUT)
    }
}

fn consumer_config(client: &ClientConfig, name: &str) -> ClientConfig {
    let mut config = client.clone();
    config
        .set("group.id", name)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", "65536");
    config
}

fn producer_config(client: &ClientConfig, name: &str) -> ClientConfig {
    let mut config = client.clone();
    config
        .set("transactional.id", name)
        .set("compression.type", "lz4")
        .set("delivery.report.only.error", "true")
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "1048576");
    config
}

fn send(producer: &BaseProducer, mut record: BaseRecord<'_, [u8], [u8]>) -> KafkaResult<()> {
    const FULL: RDKafkaErrorCode = RDKafkaErrorCode::QueueFull;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(FULL), back)) => {
                record = back;
                producer.poll(Duration::ZERO);
                std::thread::sleep(DELIVERY_LOOK);
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn make_topic(client: &ClientConfig, topic: &str, partitions: i32) -> KafkaResult<()> {
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).map(drop)
}
