//! Heartbeats of the consent changelog: a null value under `__assent_heartbeat_<partition>` on that
//! partition, with the header `source` (docs/contract/topics.md#heartbeats).

use super::write::{Writer, headers};
use crate::config::Config;
use crate::failure::Result;
use assent_contract::domain::ids::HEARTBEAT_PREFIX;

/// As whom Assent writes them.
pub const SOURCE: &str = "assent";

/// The header that names the source.
const HEADER: &str = "source";

pub struct Heartbeats {
    writer: Writer,
    topic: String,
}

impl Heartbeats {
    pub fn open(config: &Config) -> Result<Self> {
        let topic = config.topics.consent.clone();
        Ok(Self { writer: Writer::open(config, &[&topic])?, topic })
    }

    /// One to every partition; returns how many, once each is acknowledged by all in-sync replicas.
    pub fn beat(&self) -> Result<i32> {
        let partitions = self.writer.partitions(&self.topic);
        for partition in 0..partitions {
            let key = format!("{HEARTBEAT_PREFIX}{partition}");
            let headers = headers([(HEADER, SOURCE)]);
            self.writer.send_null(&self.topic, partition, key.as_bytes(), headers)?;
        }
        self.writer.flush()?;
        Ok(partitions)
    }
}
