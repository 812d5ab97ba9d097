//! What the commands ask of a cluster besides records: topics, their settings, and making them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaErrorCode;

use super::acls::{Acl, topic_acls};
use super::calls::{Call, Calls};
use super::client::{LoggedIn, client_config};
use super::handle::Handle;
use super::reach::reach;
use super::rights::is_refusal_code;
use super::topic_plan::TopicPlan;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};

/// How long a command waits for a broker before it calls it out of reach.
const REACH: Duration = Duration::from_secs(10);

/// A broker that answered may take this long to make topics.
const OPERATION: Duration = Duration::from_secs(30);

/// A topic that was made a second ago may not be known to every broker yet.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks at the brokers' metadata.
const PROPAGATION: Duration = Duration::from_millis(100);

/// The cluster as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub brokers: usize,
    /// Partition count by topic, where every partition has a leader.
    pub topics: BTreeMap<String, i32>,
    /// Topics of which a partition has no leader now.
    pub leaderless: BTreeSet<String>,
    /// By topic, of the partition with the fewest replicas in sync: how many these are, and how many it has.
    pub in_sync: BTreeMap<String, InSync>,
}

/// Replicas per partition where the cluster has enough brokers.
const REPLICATION: usize = 3;

impl Cluster {
    /// Of a topic that nobody said more about.
    pub fn usual_replication(&self) -> i32 {
        if self.brokers >= REPLICATION { REPLICATION as i32 } else { 1 }
    }

    /// Is there such a topic, in whatever state?
    pub fn knows(&self, topic: &str) -> bool {
        self.topics.contains_key(topic) || self.leaderless.contains(topic)
    }
}

/// A partition's replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InSync {
    pub partition: i32,
    pub in_sync: usize,
    pub replicas: usize,
}

/// What a broker says of one setting of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Described {
    As(String),
    /// It knows the topic, and no such setting.
    Unsaid,
    /// This user may not describe the topic.
    Forbidden,
}

pub struct Admin {
    client: Handle<LoggedIn<AdminClient<DefaultClientContext>>>,
    calls: Calls,
    servers: String,
}

fn fewest_in_sync(topic: &MetadataTopic) -> Option<(String, InSync)> {
    let partitions = topic.partitions().iter().map(|it| InSync {
        partition: it.id(),
        in_sync: it.isr().len(),
        replicas: it.replicas().len(),
    });
    Some((topic.name().to_owned(), partitions.min_by_key(|it| it.in_sync)?))
}

impl Admin {
    /// Fails where no broker can be talked to, within 10 s: 69, or 78 where what is configured is why.
    pub fn new(config: &Config) -> Result<Self> {
        reach(config, REACH, &SystemClock)?;
        Self::unreached(config)
    }

    /// For who knows that there are brokers.
    pub fn unreached(config: &Config) -> Result<Self> {
        let client = client_config(config)
            .create()
            .map_err(|error| Failure::config(format!("kafka.properties: {error}")))?;
        let servers = config.kafka.bootstrap_servers.clone();
        Ok(Self { client: Handle::new(client), calls: Calls::default(), servers })
    }

    /// Fails (69) where no broker answers within 10 s.
    pub fn cluster(&self) -> Result<Cluster> {
        let metadata = self
            .call(REACH, |client| client.inner().fetch_metadata(None, REACH))
            .map_err(|error| self.unreachable(&error))?;
        let (led, leaderless): (Vec<_>, Vec<_>) = metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none() && !topic.partitions().is_empty())
            .partition(|topic| topic.partitions().iter().all(|it| it.leader() >= 0));
        let count =
            |topic: &&MetadataTopic| (topic.name().to_owned(), topic.partitions().len() as i32);
        Ok(Cluster {
            brokers: metadata.brokers().len(),
            topics: led.iter().map(count).collect(),
            leaderless: leaderless.iter().map(|topic| topic.name().to_owned()).collect(),
            in_sync: led.iter().filter_map(|topic| fewest_in_sync(topic)).collect(),
        })
    }

    /// The cluster with these topics, or after 10 s without some of them.
    pub fn cluster_with(&self, plans: &[TopicPlan], clock: &dyn Clock) -> Result<Cluster> {
        let deadline = clock.instant() + KNOWN_WITHIN;
        loop {
            let cluster = self.cluster()?;
            let is_there = |plan: &TopicPlan| cluster.topics.contains_key(&plan.name);
            if plans.iter().all(is_there) || clock.instant() >= deadline {
                return Ok(cluster);
            }
            std::thread::sleep(PROPAGATION);
        }
    }

    /// Waits until the brokers show all of these topics with a leader each: a topic that was just
    /// made takes a moment to reach every broker. Fails after 30 s.
    pub fn await_topics(&self, plans: &[TopicPlan], clock: &dyn Clock) -> Result<Cluster> {
        let deadline = clock.instant() + OPERATION;
        loop {
            let cluster = self.cluster()?;
            let Some(missing) = plans.iter().find(|plan| !cluster.topics.contains_key(&plan.name))
            else {
                return Ok(cluster);
            };
            if clock.instant() >= deadline {
                let message = "was created, but no broker shows it yet; run the command again";
                return Err(Failure::failed(format!("topic {} {message}", missing.name)));
            }
            std::thread::sleep(PROPAGATION);
        }
    }

    /// Every setting of these topics, defaults included; a topic that may not be described is
    /// absent.
    pub fn settings(&self, topics: &[&str]) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let described = self.call(OPERATION, move |client| {
            let resources: Vec<_> =
                names.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
            let options = AdminOptions::new().request_timeout(Some(OPERATION));
            block_on(client.describe_configs(&resources, &options))
        });
        let answers = described.map_err(|error| self.refused("describing topics", &error))?;
        Ok(topics
            .iter()
            .zip(answers)
            .filter_map(|(topic, answer)| {
                let entries = answer.ok()?.entries.into_iter();
                let settings = entries.filter_map(|entry| Some((entry.name, entry.value?)));
                let settings: BTreeMap<String, String> = settings.collect();
                // rust-rdkafka 0.39 passes a refusal on as an empty answer.
                (!settings.is_empty()).then(|| ((*topic).to_owned(), settings))
            })
            .collect())
    }

    /// One setting of a topic as it is now, a default too.
    pub fn setting(&self, topic: &str, name: &str, within: Duration) -> KafkaResult<Described> {
        let topic = topic.to_owned();
        let answer = self.call(within, move |client| {
            let resources = [ResourceSpecifier::Topic(&topic)];
            let options = AdminOptions::new().request_timeout(Some(within));
            block_on(client.describe_configs(&resources, &options))
        })?;
        match answer.into_iter().next() {
            Some(Ok(found)) => {
                let mut entries = found.entries.into_iter();
                let value = entries.find(|entry| entry.name == name).and_then(|entry| entry.value);
                Ok(value.map_or(Described::Unsaid, Described::As))
            }
            Some(Err(RDKafkaErrorCode::TopicAuthorizationFailed)) => Ok(Described::Forbidden),
            Some(Err(code)) => Err(KafkaError::AdminOp(code)),
            None => Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut)),
        }
    }

    /// Makes one topic. `Ok(false)`: somebody else was faster.
    pub fn create(&self, plan: &TopicPlan, partitions: i32, replication: i32) -> Result<bool> {
        let settings: Vec<(&'static str, String)> =
            plan.settings.iter().map(|(&name, setting)| (name, setting.value())).collect();
        let name = plan.name.clone();
        let created = self.call(2 * OPERATION, move |client| {
            let replicas = TopicReplication::Fixed(replication);
            let mut topic = NewTopic::new(&name, partitions, replicas)
                .set("min.insync.replicas", if replication >= 3 { "2" } else { "1" });
            for (name, value) in &settings {
                topic = topic.set(name, value);
            }
            let options = AdminOptions::new()
                .request_timeout(Some(OPERATION))
                .operation_timeout(Some(OPERATION));
            block_on(client.create_topics([&topic], &options))
        });
        let answers = created.map_err(|error| self.refused("creating topics", &error))?;
        match answers.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((name, code))) if is_refusal_code(code) => Err(Failure::config(format!(
                "topic {name}: this user may not create it ({code}); run `assent topics create` as \
                 a user who may, with Create on the topic or on the cluster"
            ))),
            Some(Err((name, code))) => Err(Failure::failed(format!(
                "topic {name} can't be created: {code}; check the settings of the brokers and the \
                 ACLs of this user"
            ))),
            None => Err(Failure::failed(format!("topic {}: the broker did not answer", plan.name))),
        }
    }

    /// Deletes one topic, with all that is in it. Returns once no broker shows it any more.
    pub fn delete(&self, topic: &str, clock: &dyn Clock) -> Result<()> {
        let name = topic.to_owned();
        let deleted = self.call(2 * OPERATION, move |client| {
            let options = AdminOptions::new()
                .request_timeout(Some(OPERATION))
                .operation_timeout(Some(OPERATION));
            block_on(client.delete_topics(&[&name], &options))
        });
        let answers = deleted.map_err(|error| self.refused("deleting a topic", &error))?;
        if let Some(Err((name, code))) = answers.into_iter().next()
            && code != RDKafkaErrorCode::UnknownTopicOrPartition
        {
            return Err(Failure::failed(format!(
                "topic {name} can't be deleted: {code}; delete it yourself, as a user with Delete \
                 on the topic"
            )));
        }
        let deadline = clock.instant() + OPERATION;
        while self.cluster()?.knows(topic) {
            if clock.instant() >= deadline {
                let what = "was deleted, but a broker still shows it; look again later";
                return Err(Failure::failed(format!("topic {topic} {what}")));
            }
            std::thread::sleep(PROPAGATION);
        }
        Ok(())
    }

    /// Removes every record that a partition has now; the next one has the offset that it would have had.
    pub fn remove_records(&self, topic: &str, partition: i32) -> Result<()> {
        let name = topic.to_owned();
        let removed = self.call(2 * OPERATION, move |client| {
            let mut ends = TopicPartitionList::new();
            ends.add_partition_offset(&name, partition, Offset::End)?;
            let options = AdminOptions::new()
                .request_timeout(Some(OPERATION))
                .operation_timeout(Some(OPERATION));
            let removed = block_on(client.delete_records(&ends, &options))?;
            removed.elements().iter().try_for_each(TopicPartitionListElem::error)
        });
        removed.map_err(|error| self.refused("removing records", &error))
    }

    /// Every ACL of a topic that the cluster has.
    pub fn topic_acls(&self) -> KafkaResult<Vec<Acl>> {
        self.call(OPERATION, |client| topic_acls(client.inner(), OPERATION))
    }

    fn call<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl FnOnce(&AdminClient<DefaultClientContext>) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        let client = self.client.clone();
        let answer = self.calls.make(Call::Admin, within, move || work(&client));
        answer.unwrap_or(Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut)))
    }

    fn unreachable(&self, error: &KafkaError) -> Failure {
        Failure::unavailable(format!(
            "kafka.bootstrap_servers: no broker answers at {} ({error}); check that Kafka runs, \
             and the address and kafka.properties",
            self.servers
        ))
    }

    fn refused(&self, what: &str, error: &KafkaError) -> Failure {
        match code_of(error) {
            Some(
                RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown,
            ) => self.unreachable(error),
            _ => Failure::failed(format!("{what}: the broker refused: {error}")),
        }
    }
}

/// rdkafka's own thread completes these.
fn block_on<T>(answer: impl Future<Output = KafkaResult<T>>) -> KafkaResult<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| KafkaError::AdminOpCreation(error.to_string()))?;
    runtime.block_on(answer)
}

/// The code of any error, of an admin operation too.
fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        _ => error.rdkafka_error_code(),
    }
}
