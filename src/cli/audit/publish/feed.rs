//! The audit topic as links of chains, each from where its chain has to be read on.
//!
//! Joins no group and commits nothing: where a chain is, the log says.

use std::collections::BTreeMap;

use assent_evidence::hash::Hash;
use assent_evidence::publisher::Head;
use rdkafka::error::KafkaError;

use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::bounded_read::{BoundedRead, STALL_MAX, Step};
use crate::kafka::client::committed_reader_config;
use crate::kafka::consumer::Follower;
use crate::kafka::events::Received;
use crate::kafka::probe::{Isolation, Probe};
use crate::kafka::read::partition_count;
use crate::kafka::scan::Ends;
use crate::pace;
use crate::registry::Reading;
use assent_contract::domain::audit::chain;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::audit_outline;
use assent_contract::wire::framing::Framed;

/// A batch's record has the time at which it was written, by a clock that may differ from the one that
/// decided. Where that is not enough, the whole partition is read.
const BEFORE: Span = Span::HOUR;

const QUEUED_KBYTES: &str = "16384";

/// An audit batch, as far as its chain goes.
pub struct Link {
    pub partition: i32,
    pub offset: i64,
    pub written_at: Timestamp,
    pub chain: String,
    pub sequence: i64,
    pub previous: Hash,
    pub sha256: Hash,
    pub decided_at: Timestamp,
}

pub enum Fed {
    Link(Link),
    /// Nothing now.
    Nothing,
    /// All that the topic held when the feed was opened.
    End,
}

pub struct Feed {
    reading: BoundedRead,
    schemas: Reading,
    group_id: String,
    /// Partitions that are read from a guess on, and their low watermark.
    guessed: BTreeMap<i32, i64>,
}

/// How many partitions the audit topic has.
pub fn partitions(config: &Config) -> Result<i32> {
    let probe = Probe::with(config, "publish", Isolation::Committed)
        .map_err(|error| Failure::config(format!("kafka.properties: {error}")))?;
    partition_count(&probe, config, &config.topics.audit)
}

impl Feed {
    /// `head`: where the log is with a chain.
    pub fn open(
        config: &Config,
        ends: &Ends<'_>,
        partitions: i32,
        head: impl Fn(&str) -> Option<Head>,
    ) -> Result<Self> {
        let topic = &config.topics.audit;
        let (mut ranges, mut guessed) = (Vec::new(), BTreeMap::new());
        for partition in 0..partitions {
            let low = ends.low(topic, partition)?;
            let head = head(&chain::name(&config.kafka.group_id, partition));
            let guess = match head {
                Some(head) => ends.since(topic, partition, Timestamp(head.decided_at) - BEFORE)?,
                None => None,
            };
            let from = guess.unwrap_or(low).max(low);
            if from > low {
                guessed.insert(partition, low);
            }
            ranges.push((partition, from, ends.committed(topic, partition)?));
        }
        let mut client = committed_reader_config(config);
        client
            .set("group.id", format!("{}-verify", config.kafka.group_id))
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", QUEUED_KBYTES);
        let failed = |error| Failure::failed(format!("topic {topic}: reading failed: {error}"));
        let follower = Follower::of(&client, "publish", topic).map_err(failed)?;
        Ok(Self {
            reading: BoundedRead::begin(follower, ranges).map_err(failed)?,
            schemas: Reading::open(config)?,
            group_id: config.kafka.group_id.clone(),
            guessed,
        })
    }

    /// It waits for what comes.
    pub fn for_ever(self) -> Result<Self> {
        let reading = self.reading.without_end().map_err(|error| read_failed(&error))?;
        Ok(Self { reading, schemas: self.schemas.for_ever(), ..self })
    }

    pub fn topic(&self) -> &str {
        self.reading.topic()
    }

    /// Reads a partition from its low watermark on; `false`: it was.
    pub fn begin_earlier(&mut self, partition: i32) -> Result<bool> {
        let Some(low) = self.guessed.remove(&partition) else { return Ok(false) };
        self.reading.restart(partition, low).map_err(|error| read_failed(&error))?;
        Ok(true)
    }

    pub fn next(&mut self) -> Result<Fed> {
        let step =
            self.reading.step(|record| (record.partition(), record.offset(), Read::of(record)));
        let (partition, offset, read) = match step.map_err(|error| read_failed(&error))? {
            Step::Record(read) => read,
            Step::Nothing => return Ok(Fed::Nothing),
            Step::Over => return Ok(Fed::End),
            Step::Stalled => {
                return Err(Failure::unavailable(format!(
                    "topic {}: no record arrived for {} s; check that the brokers run",
                    self.topic(),
                    STALL_MAX.as_secs()
                )));
            }
            Step::Unreadable { partition, error } => {
                return Err(Failure::failed(format!(
                    "topic {}, partition {partition}, offset {}: a batch can't be read ({}); \
                     nothing was signed. `assent audit verify` says what is damaged",
                    self.topic(),
                    error.offset,
                    shown(&error.reason)
                )));
            }
            Step::OutOfRange { partition } => {
                let partition = partition.map(|it| format!(", partition {it}")).unwrap_or_default();
                return Err(Failure::failed(format!(
                    "topic {}{partition}: the batches that come next are gone, by retention or \
                     because the topic was made anew; nothing was signed. Publish a new log to \
                     another directory, and keep this one",
                    self.topic()
                )));
            }
            Step::Fatal(error) => {
                return Err(Failure::unavailable(format!("topic {}: {error}", self.topic())));
            }
        };
        self.link(partition, offset, &read)
    }

    fn link(&mut self, partition: i32, offset: i64, read: &Read) -> Result<Fed> {
        let no_batch = "it is no audit batch".to_owned();
        let found = match &read.value {
            None => Err(no_batch),
            Some(value) => self
                .schemas
                .read(|known| audit_outline(value, known))?
                .map_err(|rejection| rejection.detail)
                .and_then(|outline| {
                    let body = Framed::split(value).body().ok_or(no_batch)?;
                    Ok((outline, chain::body_hash(body)))
                }),
        };
        let own = chain::name(&self.group_id, partition);
        let why = match found {
            Ok((outline, sha256)) if outline.chain == own => {
                return Ok(Fed::Link(Link {
                    partition,
                    offset,
                    written_at: read.written_at,
                    chain: outline.chain,
                    sequence: outline.sequence,
                    previous: outline.previous,
                    sha256,
                    decided_at: outline.decided_at,
                }));
            }
            Ok((outline, _)) => format!("it is of chain {}", shown(&outline.chain)),
            Err(why) => why,
        };
        if let Some(repeated) = pace::may_say("published stranger") {
            let topic = self.topic();
            tracing::warn!(topic, partition, offset, why, repeated, "a record is not published");
        }
        Ok(Fed::Nothing)
    }
}

fn read_failed(error: &KafkaError) -> Failure {
    Failure::failed(format!("reading from Kafka failed: {error}"))
}

/// A record, out of librdkafka's hands.
struct Read {
    value: Option<Vec<u8>>,
    written_at: Timestamp,
}

impl Read {
    fn of(message: &Received<'_>) -> Self {
        Self {
            value: message.payload().map(<[u8]>::to_vec),
            written_at: Timestamp(message.timestamp().to_millis().unwrap_or_default()),
        }
    }
}
