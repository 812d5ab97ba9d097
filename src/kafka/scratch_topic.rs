//! A topic that a command makes for itself, writes what it likes into, and deletes in the end.
//!
//! Never touches one that was there before. Knows nothing of what the bytes mean.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::message::OwnedHeaders;

use super::admin::Admin;
use super::producer::{Record, TransactionalProducer};
use super::topic_plan::{Role, Setting, TopicPlan};
use super::write::{Writer, headers};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};
use assent_core::commit::Fault;

/// What one answer to a transaction may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks at records under way.
const LOOK: Duration = Duration::from_millis(1);

pub struct ScratchTopic<'a> {
    config: &'a Config,
    admin: Admin,
    plan: TopicPlan,
    partitions: i32,
    /// For this life of the topic: its clients know no earlier one.
    writer: Writer,
    is_there: bool,
}

/// What is written.
#[derive(Clone, Debug)]
pub struct Written {
    pub key: String,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Value(Vec<u8>),
    /// With its headers.
    Tombstone(Vec<(&'static str, String)>),
}

/// What becomes of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Commit,
    Abort,
}

impl<'a> ScratchTopic<'a> {
    /// `None`: there is one of this name already.
    pub fn create(
        config: &'a Config,
        name: &str,
        partitions: i32,
        settings: BTreeMap<&'static str, Setting>,
    ) -> Result<Option<Self>> {
        let admin = Admin::new(config)?;
        if admin.cluster()?.knows(name) {
            return Ok(None);
        }
        let plan = TopicPlan { key: "--topic", name: name.to_owned(), role: Role::Aside, settings };
        if !make(&admin, &plan, partitions)? {
            return Ok(None);
        }
        match open(config, &admin, &plan) {
            Ok(writer) => {
                Ok(Some(Self { config, admin, plan, partitions, writer, is_there: true }))
            }
            Err(failure) => {
                admin.delete(name, &SystemClock)?;
                Err(failure)
            }
        }
    }

    /// Deletes it and makes it anew, with nothing in it.
    pub fn recreate(&mut self) -> Result<()> {
        self.delete()?;
        if !make(&self.admin, &self.plan, self.partitions)? {
            return Err(Failure::failed(format!(
                "topic {}: somebody else created it meanwhile; name another one",
                self.plan.name
            )));
        }
        self.is_there = true;
        self.writer = open(self.config, &self.admin, &self.plan)?;
        Ok(())
    }

    /// Where a key lies.
    pub fn partition_of(&self, key: &str) -> i32 {
        self.writer.partition_of(&self.plan.name, key.as_bytes())
    }

    /// Writes these and waits until they are acknowledged.
    pub fn put(&self, records: &[Written]) -> Result<()> {
        let topic = &self.plan.name;
        for Written { key, what } in records {
            match what {
                What::Value(value) => self.writer.send(topic, key.as_bytes(), Some(value))?,
                What::Tombstone(headers) => {
                    let partition = self.partition_of(key);
                    self.writer.send_null(topic, partition, key.as_bytes(), owned(headers))?;
                }
            }
        }
        self.writer.flush()
    }

    /// Writes these in one transaction. An end takes an offset that no reader is shown, and so do the records
    /// of one that was aborted.
    pub fn transact(&self, records: &[Written], end: End) -> Result<()> {
        self.try_transact(records, end).map_err(|_| {
            Failure::unavailable(format!(
                "topic {0}: a transaction failed; check that the brokers run, and that this user may \
                 write to the topic and use the transactional id {0} (Write and Describe)",
                self.plan.name
            ))
        })
    }

    fn try_transact(&self, records: &[Written], end: End) -> std::result::Result<(), Fault> {
        let deadline = SystemClock.instant() + ANSWERED_WITHIN;
        let producer =
            TransactionalProducer::new(self.config, &self.plan.name).map_err(|_| Fault::Replace)?;
        producer.init(ANSWERED_WITHIN)?;
        producer.begin()?;
        for Written { key, what } in records {
            let (topic, partition) = (&self.plan.name, self.partition_of(key));
            let (value, headers) = match what {
                What::Value(value) => (Some(value.as_slice()), None),
                What::Tombstone(headers) => (None, Some(owned(headers))),
            };
            let record = Record { topic, partition, key: key.as_bytes(), value, headers };
            producer.send(record, &SystemClock, deadline)?;
        }
        // An aborted record that the broker never had leaves nothing behind.
        producer.drain(&SystemClock, deadline, &|| std::thread::sleep(LOOK))?;
        match end {
            End::Commit => producer.commit(ANSWERED_WITHIN, None),
            End::Abort => producer.abort(ANSWERED_WITHIN),
        }
    }

    /// Removes every record that a partition has now.
    pub fn remove_records(&self, partition: i32) -> Result<()> {
        self.admin.remove_records(&self.plan.name, partition)
    }

    /// Where this is not called, it is deleted all the same, but nobody is told where that fails.
    pub fn delete(&mut self) -> Result<()> {
        self.is_there = false;
        self.admin.delete(&self.plan.name, &SystemClock)
    }
}

fn owned(pairs: &[(&'static str, String)]) -> OwnedHeaders {
    headers(pairs.iter().map(|(key, value)| (*key, value.as_str())))
}

impl Drop for ScratchTopic<'_> {
    fn drop(&mut self) {
        if self.is_there
            && let Err(failure) = self.delete()
        {
            tracing::warn!("{failure}");
        }
    }
}

/// `false`: somebody else was faster.
fn make(admin: &Admin, plan: &TopicPlan, partitions: i32) -> Result<bool> {
    admin.create(plan, partitions, admin.cluster()?.usual_replication())
}

/// Once it is there.
fn open(config: &Config, admin: &Admin, plan: &TopicPlan) -> Result<Writer> {
    admin.await_topics(std::slice::from_ref(plan), &SystemClock)?;
    Writer::open(config, &[&plan.name])
}
