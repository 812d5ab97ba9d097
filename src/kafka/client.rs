//! The configuration that every client shares: where the cluster is, and the user's own properties.

use rdkafka::ClientConfig;

use crate::config::Config;

/// Twice in a row without a broker, and librdkafka's own 10 s are waited for once it is there again.
const RECONNECT_WITHIN_MS: &str = "1000";

/// Longer than the 10 s after which the broker aborts a dead producer's transaction, so partitions
/// never move while one of theirs is open (docs/librdkafka.md#transaction-and-session-time-outs).
const SESSION_TIMEOUT_MS: &str = "12000";

/// A fetch waits this long for data, and with it the news that a partition has none
/// (docs/librdkafka.md#position-and-control-records).
const FETCH_WAIT_MS: &str = "10";

/// A client configuration that reaches the cluster; callers add what their role needs, after the
/// user's properties, so that what an invariant rests on wins.
pub fn client_config(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("client.id", "assent").set("reconnect.backoff.max.ms", RECONNECT_WITHIN_MS);
    for (key, value) in &config.kafka.properties {
        client.set(key, value);
    }
    client.set("bootstrap.servers", &config.kafka.bootstrap_servers);
    client
}

/// A value that holds where the user set none.
pub fn set_default(client: &mut ClientConfig, config: &Config, key: &str, value: &str) {
    if !config.kafka.properties.contains_key(key) {
        client.set(key, value);
    }
}

/// A client that reads. The session is set for all of them, although only a member has one: librdkafka
/// refuses a `max.poll.interval.ms` below it, and a user's own would otherwise meet its default of 45 s.
pub fn reader_config(config: &Config) -> ClientConfig {
    let mut client = client_config(config);
    client.set("session.timeout.ms", SESSION_TIMEOUT_MS);
    client
}

/// A reader of committed records that commits nothing. The group's id lets librdkafka assign; only a
/// subscription joins the group.
pub fn committed_reader_config(config: &Config) -> ClientConfig {
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
