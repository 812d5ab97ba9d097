//! One transaction of the owner: its records, and the group's offsets with this member's metadata.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};

use super::owner::{Owning, TurnError};
use crate::clock::{Clock, SystemClock};
use crate::kafka::producer::{GroupOffset, Record};
use assent_core::commit::Fault;

/// Together below the 10 s after which the broker aborts a transaction.
const DELIVER: Duration = Duration::from_secs(3);
const SEND_OFFSETS: Duration = Duration::from_secs(2);
const COMMIT: Duration = Duration::from_secs(3);
const ABORT: Duration = Duration::from_secs(3);

const LOOK: Duration = Duration::from_micros(200);

/// A record to write.
pub struct Write {
    pub topic: String,
    pub partition: i32,
    pub key: Vec<u8>,
    /// `None`: a null value.
    pub value: Option<Vec<u8>>,
    /// Name and value.
    pub header: Option<(&'static str, String)>,
}

impl Owning {
    /// Writes all of it, with these offsets of the group's, or nothing. `Again`: nothing was written.
    pub(super) fn transact(
        &mut self,
        writes: &[Write],
        next: &BTreeMap<i32, i64>,
    ) -> Result<(), TurnError> {
        self.renew_producer()?;
        let Err(fault) = self.attempt(writes, next) else { return Ok(()) };
        let aborted = fault == Fault::Abortable
            && self.producer.as_ref().is_some_and(|producer| producer.abort(ABORT).is_ok());
        if aborted {
            return Err(TurnError::Again("a transaction was aborted".to_owned()));
        }
        // What became of it, the topics say to whoever takes the partitions up next.
        Err(TurnError::Surrender(format!("a transaction failed: {fault:?}")))
    }

    fn attempt(&self, writes: &[Write], next: &BTreeMap<i32, i64>) -> Result<(), Fault> {
        let producer = self.producer.as_ref().ok_or(Fault::Replace)?;
        let group = self.group.as_ref().ok_or(Fault::Evicted)?;
        let deadline = SystemClock.instant() + DELIVER;
        producer.begin()?;
        for write in writes {
            let headers = write.header.as_ref().map(|(key, value)| {
                OwnedHeaders::new().insert(Header { key, value: Some(value.as_bytes()) })
            });
            let record = Record {
                topic: &write.topic,
                partition: write.partition,
                key: &write.key,
                value: write.value.as_deref(),
                headers,
            };
            producer.send(record, &SystemClock, deadline)?;
        }
        producer.drain(&SystemClock, deadline, &|| std::thread::sleep(LOOK))?;
        let offset = |next: i64| GroupOffset { next_click: next, metadata: String::new() };
        let offsets = next.iter().map(|(&partition, &next)| (partition, offset(next))).collect();
        let topic = &self.with.config.topics.intake_state;
        producer.send_offsets(topic, &offsets, group, SEND_OFFSETS, None)?;
        producer.commit(COMMIT, None)
    }
}
