//! What the changelog holds of one subject: read from its partition, read_committed, to the end.

use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

use super::super::progress;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::read::TopicReader;
use crate::kafka::write::Position;
use crate::registry::Reading;
use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::{ConsentReader, ConsentReading, Inbound, Unread, out_of_reach};

/// The last record under the subject's key.
pub enum Last {
    Record(Box<ConsentRecord>),
    Erasure,
    /// Why it can't be read.
    Unreadable(String),
}

/// A subject's records, as far as compaction left them.
#[derive(Default)]
pub struct History {
    /// `None`: there is nothing under this key.
    pub last: Option<Entry>,
    /// The highest version of a record that can be read.
    highest: Option<i64>,
}

pub struct Entry {
    pub what: Last,
    pub position: Position,
    /// As the broker says: its append time where the topic is set so.
    pub append_time: Timestamp,
}

impl History {
    pub fn read(config: &Config, subject: &str) -> Result<Self> {
        let topic = &config.topics.consent;
        let reader = TopicReader::key_partition(config, topic, subject.as_bytes())?;
        let records = ConsentReader::new(config.kafka.partitioner, reader.partition_count());
        let mut schemas = Reading::open(config)?;
        let mut history = Self::default();
        progress::read_to_end(&reader, |message, _| {
            if message.key() == Some(subject.as_bytes()) {
                history.add(Entry {
                    what: Last::of(&records, message, &mut schemas)?,
                    position: Position { partition: message.partition(), offset: message.offset() },
                    append_time: Timestamp(message.timestamp().to_millis().unwrap_or_default()),
                });
            }
            Ok(())
        })?;
        Ok(history)
    }

    fn add(&mut self, entry: Entry) {
        if let Last::Record(record) = &entry.what {
            self.highest = self.highest.max(Some(record.version));
        }
        self.last = Some(entry);
    }

    /// One more than the highest version, 1 where there is none.
    pub fn next_version(&self) -> Result<i64> {
        self.highest.map_or(Some(1), |highest| highest.checked_add(1)).ok_or_else(|| {
            Failure::failed(
                "the subject's record already has the highest possible version; erase the subject \
                 first",
            )
        })
    }

    /// The record to change; a failure where there is none that could be.
    pub fn last_record(&self) -> Result<ConsentRecord> {
        match self.last.as_ref().map(|entry| &entry.what) {
            Some(Last::Record(record)) => Ok(ConsentRecord::clone(record)),
            Some(Last::Unreadable(why)) => Err(Failure::failed(format!(
                "the subject's last record can't be read ({}), so everything is withheld; write a \
                 complete record with `assent consent put`",
                shown(why)
            ))),
            Some(Last::Erasure) | None => Err(Failure::failed(
                "this subject has no consent record, so there is nothing to withdraw",
            )),
        }
    }
}

impl Last {
    fn of(
        records: &ConsentReader,
        message: &BorrowedMessage<'_>,
        schemas: &mut Reading,
    ) -> Result<Self> {
        let inbound = Inbound {
            partition: message.partition(),
            key: message.key(),
            payload: message.payload(),
        };
        let reading =
            schemas.read(|known| match records.read_with(&inbound, false, None, known) {
                ConsentReading::Waits(id) => Err(Unread::Waits(id)),
                reading => Ok(reading),
            })?;
        let reading = reading.unwrap_or_else(ConsentReading::Unreadable);
        Ok(match reading {
            ConsentReading::Record(record) => Self::Record(record),
            ConsentReading::Erasure => Self::Erasure,
            ConsentReading::Unreadable(rejection) | ConsentReading::DeadLettered(rejection) => {
                Self::Unreadable(rejection.detail)
            }
            ConsentReading::Heartbeat { .. } | ConsentReading::Forwarded => {
                Self::Unreadable("it lies on the wrong partition for its key".to_owned())
            }
            ConsentReading::Waits(_) => Self::Unreadable(out_of_reach().detail),
        })
    }
}
