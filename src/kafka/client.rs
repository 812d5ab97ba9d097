//! The configuration that every client shares: where the cluster is, and the user's own properties.

use rdkafka::ClientConfig;

use crate::config::Config;

/// A client configuration that reaches the cluster; callers add what their role needs, after the
/// user's properties, so that what an invariant rests on wins.
pub fn client_config(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("client.id", "assent");
    for (key, value) in &config.kafka.properties {
        client.set(key, value);
    }
    client.set("bootstrap.servers", &config.kafka.bootstrap_servers);
    client
}
