//! One partition, read_committed, from one offset to another: for those who re-read a cluster.
//!
//! Joins no group, commits nothing, writes nothing. The ends are asked for apart from the reading, so
//! that a caller can choose the order in which it asks: that is what makes a cut consistent.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::bounded_read::{BoundedRead, PAUSE, STALL_MAX, Step};
use super::client::committed_reader_config;
use super::consumer::{Answers, Follower};
use super::events::Received;
use super::examine::{Place, Verdict, examine};
use super::missing::demand;
use super::probe::{Isolation, Probe};
use super::reach::reach;
use super::rights::{Right, is_refusal, of_reader};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::registry::Reading;
use assent_contract::domain::ids::ID_BYTES_MAX;
use assent_contract::domain::intake::{RECORD_BYTES_MAX, payload_hash};
use assent_contract::domain::time::Timestamp;
use assent_verify::Record;

/// How long one answer of a broker may take.
const ANSWER: Duration = Duration::from_secs(10);

/// An open transaction may hold a topic's end back for this long: six times what Assent's own may
/// take, and so long that a foreign one is worth a message of its own.
const SETTLED_WITHIN: Duration = Duration::from_mins(1);

const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What one reader prefetches at most, in KiB; three read at a time.
const QUEUED_KBYTES: &str = "16384";

/// Asks where partitions begin and end.
pub struct Ends<'a> {
    config: &'a Config,
    committed: Probe,
    written: Probe,
}

impl<'a> Ends<'a> {
    pub fn new(config: &'a Config) -> Result<Self> {
        reach(config, ANSWER, &SystemClock)?;
        let probe = |isolation| {
            Probe::with(config, "verify", isolation)
                .map_err(|error| Failure::config(format!("kafka.properties: {error}")))
        };
        let (committed, written) = (probe(Isolation::Committed)?, probe(Isolation::Uncommitted)?);
        Ok(Self { config, committed, written })
    }

    /// Fails (78) where this user may not read one of these topics.
    pub fn demand(&self, topics: &[&str]) -> Result<()> {
        demand(&self.committed, self.config, topics, Right::Read)
    }

    /// The first offset that the partition still holds.
    pub fn low(&self, topic: &str, partition: i32) -> Result<i64> {
        self.ask(topic, || one(partition, &self.committed.starts(topic, &[partition], ANSWER)?))
    }

    /// One past the last record that is readable: before the first open transaction.
    pub fn committed(&self, topic: &str, partition: i32) -> Result<i64> {
        self.ask(topic, || one(partition, &self.committed.ends(topic, &[partition], ANSWER)?))
    }

    /// One past the last record that was written, of open transactions too.
    pub fn written(&self, topic: &str, partition: i32) -> Result<i64> {
        self.ask(topic, || one(partition, &self.written.ends(topic, &[partition], ANSWER)?))
    }

    /// Waits until everything below `end` is committed or known to be aborted.
    pub fn settle(&self, topic: &str, partition: i32, end: i64) -> Result<()> {
        let started = SystemClock.instant();
        while self.committed(topic, partition)? < end {
            if started.elapsed() > SETTLED_WITHIN {
                return Err(Failure::failed(format!(
                    "topic {topic}, partition {partition}: a transaction has been open for more \
                     than {} s, and nothing after it can be read; find it with \
                     `kafka-transactions.sh {} find-hanging --topic {topic} --partition \
                     {partition}`{}, abort it, and run the command again",
                    SETTLED_WITHIN.as_secs(),
                    self.config.kafka.reached_by_tools(),
                    self.config.kafka.tools_note()
                )));
            }
            std::thread::sleep(ASK_AGAIN);
        }
        Ok(())
    }

    /// The first offset whose record is of this time or later; `None`: there is none.
    pub fn since(&self, topic: &str, partition: i32, time: Timestamp) -> Result<Option<i64>> {
        let found = self.ask(topic, || self.committed.since(topic, partition, time.0, ANSWER))?;
        Ok(found.get(&partition).copied())
    }

    fn ask<T>(&self, topic: &str, question: impl Fn() -> KafkaResult<T>) -> Result<T> {
        let started = SystemClock.instant();
        loop {
            match question() {
                Ok(answer) => return Ok(answer),
                Err(error) if is_refusal(&error) => {
                    let key = self.config.topics.key_of(topic);
                    return Err(of_reader(key, topic.to_owned()).failure(self.config));
                }
                Err(_) if started.elapsed() < STALL_MAX => {
                    self.learn_anew(topic);
                    std::thread::sleep(ASK_AGAIN);
                }
                Err(error) => return Err(unreachable_broker(self.config, topic, &error)),
            }
        }
    }

    /// librdkafka takes what it remembers of a topic, "no such partition" too, for the answer.
    fn learn_anew(&self, topic: &str) {
        for probe in [&self.committed, &self.written] {
            // Where that fails too, the question is asked again all the same.
            let _ = probe.metadata(Some(topic), ANSWER);
        }
    }
}

fn one(partition: i32, answer: &BTreeMap<i32, i64>) -> KafkaResult<i64> {
    let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition);
    answer.get(&partition).copied().ok_or(unknown)
}

/// Reads one partition.
pub struct Scan {
    config: Config,
    reading: BoundedRead,
    answers: Answers,
    partition: i32,
    /// Where the reading begins, and where it ends.
    range: (i64, i64),
    /// Read, and at or past what was asked for.
    ahead: VecDeque<Record>,
    /// First and last offset of each batch that nobody can read.
    unreadable: Vec<(i64, i64)>,
    /// Where an examination was made last.
    last_tried: Option<i64>,
    schemas: Reading,
    /// Records handed over.
    pub records: u64,
}

impl Scan {
    /// From `from`, or from the first offset that the partition still holds where that is later.
    pub fn open(config: &Config, topic: &str, partition: i32, from: i64, to: i64) -> Result<Self> {
        let answers = Answers::Usual;
        let failed = |error: KafkaError| read_failed(topic, partition, &error);
        let follower = follower(config, topic, answers).map_err(failed)?;
        let ranges = (from < to).then_some((partition, from, to));
        Ok(Self {
            config: config.clone(),
            reading: BoundedRead::begin(follower, ranges).map_err(failed)?,
            answers,
            partition,
            range: (from, to),
            ahead: VecDeque::new(),
            unreadable: Vec::new(),
            last_tried: None,
            schemas: Reading::open(config)?,
            records: 0,
        })
    }

    /// The next record below the end; `None`: it is reached.
    pub fn next_record(&mut self) -> Result<Option<Record>> {
        self.next_below(self.range.1)
    }

    /// All that comes before this offset and was not handed over yet.
    pub fn take_below(&mut self, offset: i64) -> Result<VecDeque<Record>> {
        let mut taken = VecDeque::new();
        while let Some(record) = self.next_below(offset)? {
            taken.push_back(record);
        }
        Ok(taken)
    }

    /// How far everything was read.
    pub fn at(&self) -> i64 {
        self.reading.position(self.partition).max(self.range.0)
    }

    /// The batches that nobody can read, as far as this was read.
    pub fn unreadable(&self) -> &[(i64, i64)] {
        &self.unreadable
    }

    /// The next record before this offset; `None`: there is none any more.
    pub fn next_below(&mut self, end: i64) -> Result<Option<Record>> {
        let end = end.min(self.range.1);
        if self.ahead.is_empty() && self.at() < end {
            self.read_on(end)?;
        }
        if self.ahead.front().is_some_and(|record| record.offset < end) {
            self.records += 1;
            return Ok(self.ahead.pop_front());
        }
        Ok(None)
    }

    /// Until a record came, or nothing more comes before `end`.
    fn read_on(&mut self, end: i64) -> Result<()> {
        self.reading.resume();
        let (topic, partition) = (self.reading.topic().to_owned(), self.partition);
        let mut last_error = None;
        while self.at() < end {
            let schemas = &mut self.schemas;
            let take = |received: &Received<'_>| {
                let known = schemas.knowing(received.payload())?;
                Ok(Record { known, ..record(received) })
            };
            let failed = |error| read_failed(&topic, partition, &error);
            match self.reading.step(take).map_err(failed)? {
                Step::Record(record) => {
                    self.ahead.push_back(record?);
                    return Ok(());
                }
                Step::Over => return Ok(()),
                Step::Nothing | Step::Stalled => std::thread::sleep(PAUSE),
                Step::Unreadable { error, .. } => self.pass_unreadable(&error.reason)?,
                Step::OutOfRange { .. } => {
                    last_error = Some("an offset that is not there".to_owned());
                }
                Step::Fatal(error) => last_error = Some(error.to_string()),
            }
            if self.reading.has_stalled() {
                let last_error = last_error.take().unwrap_or_else(|| "no answer".to_owned());
                // Where nobody says that it can't be read, it may be so all the same.
                self.pass_unreadable(&last_error)?;
            }
        }
        Ok(())
    }

    /// Past what no client can read; or reads anew what can be read after all.
    fn pass_unreadable(&mut self, last_error: &str) -> Result<()> {
        let (topic, offset) = (self.reading.topic().to_owned(), self.at());
        let place = Place { topic: topic.clone(), partition: self.partition, offset };
        let verdict = match examine(&self.config, &place) {
            Verdict::Unclear(_) => examine(&self.config, &place),
            verdict => verdict,
        };
        let mut next = offset;
        match verdict {
            Verdict::Unclear(why) => {
                return Err(stalled(&topic, self.partition, &format!("{last_error}; {why}")));
            }
            Verdict::Readable { larger: true } if self.answers == Answers::Usual => {
                self.answers = Answers::Larger;
            }
            Verdict::Readable { .. } if self.last_tried == Some(offset) => {
                return Err(stalled(&topic, self.partition, last_error));
            }
            Verdict::Readable { .. } => {}
            Verdict::Unreadable { last, .. } => {
                self.unreadable.push((offset, last));
                next = last + 1;
            }
        }
        self.last_tried = Some(offset);
        follower(&self.config, &topic, self.answers)
            .and_then(|made| self.reading.go_on_with(made, self.partition, next))
            .map_err(|error| read_failed(&topic, self.partition, &error))
    }
}

fn follower(config: &Config, topic: &str, answers: Answers) -> KafkaResult<Follower> {
    let mut client = committed_reader_config(config);
    client
        // librdkafka assigns nothing without one; only a subscription would join it.
        .set("group.id", format!("{}-verify", config.kafka.group_id))
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", QUEUED_KBYTES);
    answers.set(&mut client);
    Follower::of(&client, "verify", topic)
}

/// Of one that is too large to be an input the hash alone is kept, and of a key that is none its beginning.
fn record(message: &Received<'_>) -> Record {
    let (key, value) = (message.key(), message.payload());
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let is_outsized = length(key) + length(value) > RECORD_BYTES_MAX;
    let kept = |value: &[u8]| if is_outsized { Vec::new() } else { value.to_vec() };
    let most = if is_outsized { ID_BYTES_MAX + 1 } else { usize::MAX };
    Record {
        offset: message.offset(),
        timestamp: Timestamp(message.timestamp().to_millis().unwrap_or_default()),
        key: key.map(|key| key[..key.len().min(most)].to_vec()),
        value: value.map(kept),
        unkept_sha256: payload_hash(value.filter(|_| is_outsized)),
        headers: message.headers(),
        ..Record::default()
    }
}

fn unreachable_broker(config: &Config, topic: &str, error: &KafkaError) -> Failure {
    Failure::unavailable(format!(
        "kafka.bootstrap_servers {}: no answer about topic {topic} within {} s ({error}); check \
         that the broker runs, and that this user may read and describe the topics (`assent check \
         --print-acls` prints the grants)",
        config.kafka.bootstrap_servers,
        STALL_MAX.as_secs(),
    ))
}

fn read_failed(topic: &str, partition: i32, error: &KafkaError) -> Failure {
    Failure::failed(format!("topic {topic}, partition {partition}: reading failed: {error}"))
}

fn stalled(topic: &str, partition: i32, why: &str) -> Failure {
    Failure::unavailable(format!(
        "topic {topic}, partition {partition}: no record arrived for {} s: {why}",
        STALL_MAX.as_secs()
    ))
}
