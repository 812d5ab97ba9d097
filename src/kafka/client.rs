//! The configuration that every client shares: where the cluster is, and the user's own properties.

use std::ops::Deref;
use std::sync::Arc;

use rdkafka::client::ClientContext;
use rdkafka::config::{
    ClientConfig, FromClientConfig, FromClientConfigAndContext, RDKafkaLogLevel,
};
use rdkafka::error::KafkaResult;

use super::token::{Keeper, Native, Registration};
use crate::config::Config;

/// Twice in a row without a broker, and librdkafka's own 10 s are waited for once it is there again.
const RECONNECT_WITHIN_MS: &str = "1000";

/// Longer than the 10 s after which the broker aborts a dead producer's transaction, so partitions
/// never move while one of theirs is open (docs/librdkafka.md#transaction-and-session-time-outs).
const SESSION_TIMEOUT_MS: &str = "12000";

/// A fetch waits this long for data, and with it the news that a partition has none
/// (docs/librdkafka.md#position-and-control-records).
const FETCH_WAIT_MS: &str = "10";

/// What a client is made with.
#[derive(Clone)]
pub struct ClientSettings {
    properties: ClientConfig,
    /// `None`: it logs in with a name and a password, a certificate, or not at all.
    keeper: Option<Arc<Keeper>>,
}

impl ClientSettings {
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.properties.set(name, value);
        self
    }

    pub fn set_log_level(&mut self, level: RDKafkaLogLevel) -> &mut Self {
        self.properties.set_log_level(level);
        self
    }

    pub fn create<T: FromClientConfig + Native>(&self) -> KafkaResult<LoggedIn<T>> {
        Ok(self.logged_in(self.properties.create()?))
    }

    pub fn create_with_context<C, T>(&self, context: C) -> KafkaResult<LoggedIn<T>>
    where
        C: ClientContext,
        T: FromClientConfigAndContext<C> + Native,
    {
        Ok(self.logged_in(self.properties.create_with_context(context)?))
    }

    fn logged_in<T: Native>(&self, client: T) -> LoggedIn<T> {
        LoggedIn {
            _registration: self.keeper.as_ref().map(|keeper| keeper.register(&client)),
            client,
        }
    }
}

/// A client, and its registration with the keeper of its tokens.
pub struct LoggedIn<T> {
    /// Dropped before the client.
    _registration: Option<Registration>,
    client: T,
}

impl<T> Deref for LoggedIn<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.client
    }
}

/// A client configuration that reaches the cluster; callers add what their role needs, after the
/// user's properties, so that what an invariant rests on wins.
pub fn client_config(config: &Config) -> ClientSettings {
    let mut client = ClientConfig::new();
    client.set("client.id", "assent").set("reconnect.backoff.max.ms", RECONNECT_WITHIN_MS);
    for (key, value) in &config.kafka.properties {
        client.set(key, value);
    }
    client.set("bootstrap.servers", &config.kafka.bootstrap_servers);
    ClientSettings { properties: client, keeper: config.kafka.oauth.as_ref().map(Keeper::of) }
}

/// A value that holds where the user set none.
pub fn set_default(client: &mut ClientSettings, config: &Config, key: &str, value: &str) {
    if !config.kafka.properties.contains_key(key) {
        client.set(key, value);
    }
}

/// A client that reads. The session is set for all of them, although only a member has one: librdkafka
/// refuses a `max.poll.interval.ms` below it, and a user's own would otherwise meet its default of 45 s.
pub fn reader_config(config: &Config) -> ClientSettings {
    let mut client = client_config(config);
    client.set("session.timeout.ms", SESSION_TIMEOUT_MS);
    client
}

/// A reader of committed records that commits nothing. The group's id lets librdkafka assign; only a
/// subscription joins the group.
pub fn committed_reader_config(config: &Config) -> ClientSettings {
    let mut client = reader_config(config);
    client
        .set("group.id", &config.kafka.group_id)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false")
        // What a disk or a wire changed is an error, not another value.
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", FETCH_WAIT_MS)
        .set("fetch.queue.backoff.ms", "10");
    client
}
