//! Asks the broker where partitions begin and end, and what it knows of topics and groups, on a client that
//! never fetches.
//!
//! A question on a fetching client would wait behind its long poll
//! (docs/librdkafka.md#questions-wait-behind-a-fetch); one that reads committed records would be told
//! the last stable offset, which an open transaction keeps where it began, and INV-2 would rest on less than was
//! written. No question takes longer than it may: a client that does not come back is left behind, and
//! another one asks from then on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::groups::GroupInfo;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::calls::{Call, Calls};
use super::client::{ClientSettings, LoggedIn, reader_config};
use super::context::Logged;
use super::granted::{group_rights, topic_rights};
use super::handle::Handle;
use super::rights::Rights;
use super::topic_ids::topic_ids;
use crate::config::{Config, Topics};
use assent_core::engine::loss::{TopicId, TopicIds};

/// Whose end of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// The last stable offset: before the first open transaction.
    Committed,
    /// The high watermark: one past the last record, of open transactions too.
    Uncommitted,
}

type Client = Handle<LoggedIn<BaseConsumer<Logged>>>;

pub struct Probe {
    config: ClientSettings,
    role: &'static str,
    client: RefCell<Client>,
    calls: Calls,
    says_rights: bool,
    /// Told before each question.
    pulse: Box<dyn Fn() + Send>,
}

impl Probe {
    pub fn new(config: &Config) -> KafkaResult<Self> {
        Self::with(config, "probe", Isolation::Uncommitted)
    }

    pub fn with(config: &Config, role: &'static str, isolation: Isolation) -> KafkaResult<Self> {
        let says_rights = !config.kafka.is_embedded;
        let mut config = reader_config(config);
        let level = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        };
        config.set("isolation.level", level).set("allow.auto.create.topics", "false");
        let client = RefCell::new(make(&config, role)?);
        let (calls, pulse) = (Calls::default(), Box::new(|| {}));
        Ok(Self { config, role, client, calls, says_rights, pulse })
    }

    /// `pulse` is told before each question: several in a row take several times as long as one.
    #[must_use]
    pub fn on_question(self, pulse: impl Fn() + Send + 'static) -> Self {
        Self { pulse: Box::new(pulse), ..self }
    }

    /// librdkafka can keep what it learned of a broker that was going down, "no leader", for as long
    /// as its metadata lives: 15 minutes. A new client asks anew.
    pub fn renew(&self) {
        match make(&self.config, self.role) {
            Ok(client) => drop(self.client.replace(client)),
            Err(error) => tracing::warn!(%error, "can't create a client"),
        }
    }

    /// Where partitions end.
    pub fn ends(
        &self,
        topic: &str,
        partitions: &[i32],
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<i32, i64>> {
        self.offsets(topic, partitions, Offset::End, timeout)
    }

    /// The low watermarks: the first offset that a topic still holds.
    pub fn starts(
        &self,
        topic: &str,
        partitions: &[i32],
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<i32, i64>> {
        self.offsets(topic, partitions, Offset::Beginning, timeout)
    }

    /// What a topic holds: partition, first offset, and one past the last.
    pub fn ranges(
        &self,
        topic: &str,
        partitions: &[i32],
        timeout: Duration,
    ) -> KafkaResult<Vec<(i32, i64, i64)>> {
        let starts = self.starts(topic, partitions, timeout)?;
        let ends = self.ends(topic, partitions, timeout)?;
        let range =
            |(partition, end)| (partition, starts.get(&partition).copied().unwrap_or(end), end);
        Ok(ends.into_iter().map(range).collect())
    }

    /// The first offset of a partition whose record is of this time (epoch ms) or later; absent: there is
    /// none.
    pub fn since(
        &self,
        topic: &str,
        partition: i32,
        time: i64,
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<i32, i64>> {
        self.offsets(topic, &[partition], Offset::Offset(time), timeout)
    }

    /// What is known of one topic, or of all.
    pub fn metadata(&self, topic: Option<&str>, timeout: Duration) -> KafkaResult<Metadata> {
        let topic = topic.map(str::to_owned);
        self.ask(Call::Metadata, timeout, move |client| {
            client.fetch_metadata(topic.as_deref(), timeout)
        })
    }

    /// The cluster's ids of the two inputs. A cluster that has none, or does not say, leaves them
    /// unknown; one that does not answer is an error.
    pub fn input_ids(&self, topics: &Topics, timeout: Duration) -> KafkaResult<TopicIds> {
        let names = [topics.clickstream.clone(), topics.consent.clone()];
        let answer = self.ask(Call::TopicIds, timeout, move |client| {
            topic_ids(client.client(), &names.each_ref().map(String::as_str), timeout)
        });
        let ids = match answer {
            Err(KafkaError::AdminOp(
                RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion,
            )) => return Ok(TopicIds::default()),
            answer => answer?,
        };
        let id = |name: &str| ids.get(name).copied().unwrap_or_default();
        Ok(TopicIds { clicks: id(&topics.clickstream), consent: id(&topics.consent) })
    }

    /// What this user may do with these topics, as far as the brokers say.
    pub fn topic_rights(
        &self,
        topics: Vec<String>,
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<String, Rights>> {
        if !self.says_rights {
            return Ok(BTreeMap::new());
        }
        self.ask(Call::Rights, timeout, move |client| {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            topic_rights(client.client(), &names, timeout)
        })
    }

    /// What this user may do with a group; `None`: the brokers don't say, or the coordinator does not answer. Then
    /// the client is not kept (docs/librdkafka.md#a-question-to-a-coordinator).
    pub fn group_rights(&self, group: &str, timeout: Duration) -> KafkaResult<Option<Rights>> {
        if !self.says_rights {
            return Ok(None);
        }
        let group = group.to_owned();
        let answer = self.ask(Call::Rights, timeout, move |client| {
            group_rights(client.client(), &group, timeout)
        });
        if !matches!(answer, Ok(Some(_))) {
            self.renew();
        }
        answer
    }

    /// The cluster's id of one topic. 0: it has none, or there is no such topic.
    pub fn topic_id(&self, topic: &str, timeout: Duration) -> KafkaResult<TopicId> {
        let name = topic.to_owned();
        let answer = self.ask(Call::TopicIds, timeout, move |client| {
            topic_ids(client.client(), &[name.as_str()], timeout)
        });
        match answer {
            Err(KafkaError::AdminOp(
                RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion,
            )) => Ok(TopicId::default()),
            answer => Ok(answer?.get(topic).copied().unwrap_or_default()),
        }
    }

    /// Who is in the group now: each member's client and host.
    pub fn members(&self, group: &str, timeout: Duration) -> KafkaResult<Vec<String>> {
        let group = group.to_owned();
        self.ask(Call::Members, timeout, move |client| {
            let groups = client.client().fetch_group_list(Some(&group), timeout)?;
            let members = groups.groups().iter().flat_map(GroupInfo::members);
            Ok(members
                .map(|member| format!("{} at {}", member.id(), member.client_host()))
                .collect())
        })
    }

    fn offsets(
        &self,
        topic: &str,
        partitions: &[i32],
        which: Offset,
        timeout: Duration,
    ) -> KafkaResult<BTreeMap<i32, i64>> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut question = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            question.add_partition_offset(topic, partition, which)?;
        }
        self.ask(Call::Offsets, timeout, move |client| {
            let answer = client.offsets_for_times(question, timeout)?;
            let mut offsets = BTreeMap::new();
            for element in answer.elements() {
                element.error()?;
                if let Offset::Offset(offset) = element.offset() {
                    offsets.insert(element.partition(), offset);
                }
            }
            Ok(offsets)
        })
    }

    /// One question. A client that does not come back with an answer, be it an error, is replaced.
    fn ask<T: Send + 'static>(
        &self,
        call: Call,
        timeout: Duration,
        question: impl FnOnce(&BaseConsumer<Logged>) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        (self.pulse)();
        let client = self.client.borrow().clone();
        let answer = self.calls.make(call, timeout, move || {
            serve(&client);
            question(&client)
        });
        answer.unwrap_or_else(|_| {
            self.renew();
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut))
        })
    }
}

fn make(config: &ClientSettings, role: &'static str) -> KafkaResult<Client> {
    config.create_with_context(Logged(role)).map(Handle::new)
}

/// Lets librdkafka say what it has to log: a poll takes up one thing.
fn serve(client: &BaseConsumer<Logged>) {
    for _ in 0..16 {
        client.poll(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::{MockCluster, MockCoordinator};

    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::config;

    /// Without a new client the second question ends the process (docs/librdkafka.md#a-question-to-a-coordinator).
    #[test]
    fn a_coordinator_that_comes_late_is_asked_again_by_another_client() {
        let cluster = MockCluster::new(2).unwrap();
        cluster.coordinator(MockCoordinator::Group("g".to_owned()), 2).unwrap();
        cluster.broker_down(2).unwrap();
        let servers = ("ASSENT__KAFKA__BOOTSTRAP_SERVERS".to_owned(), cluster.bootstrap_servers());
        let config = config::load(None, &BTreeMap::from([servers])).unwrap();
        let probe = Probe::new(&config).unwrap();
        let timeout = Duration::from_secs(1);
        assert!(!matches!(probe.group_rights("g", timeout), Ok(Some(_))));
        cluster.broker_up(2).unwrap();
        let until = SystemClock.instant() + Duration::from_secs(5);
        while SystemClock.instant() < until {
            let _ = probe.topic_rights(vec!["t".to_owned()], Duration::from_millis(200));
        }
    }
}
