//! The configuration, resolved: every value checked, every path absolute, before a socket opens.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::partitioner::Partitioner;
use crate::domain::time::Span;

#[derive(Clone, Debug)]
pub struct Config {
    pub kafka: Kafka,
    pub topics: Topics,
    pub rulebook: PathBuf,
    pub keyset: PathBuf,
    pub consent: Consent,
    pub pipeline: Pipeline,
    pub http: Http,
}

#[derive(Clone, Debug)]
pub struct Kafka {
    pub bootstrap_servers: String,
    pub group_id: String,
    pub partitioner: Partitioner,
    /// Passed to librdkafka as they are. May hold secrets: never logged.
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct Topics {
    pub clickstream: String,
    pub consent: String,
    /// Holds `{purpose}`.
    pub segments: String,
    pub contextual: String,
    pub audit: String,
    pub state: String,
    pub dead_letters: String,
}

impl Topics {
    pub fn segments_of(&self, purpose: &str) -> String {
        self.segments.replace("{purpose}", purpose)
    }
}

#[derive(Clone, Debug)]
pub struct Consent {
    /// Past this, clicks are decided CONSENT_STALE.
    pub max_sync_lag: Duration,
    pub sources: BTreeMap<String, Source>,
}

#[derive(Clone, Debug)]
pub struct Source {
    pub max_silence: Duration,
    pub on_silence: OnSilence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSilence {
    Alert,
    /// Gate line 1 for a partition in which the source is silent.
    Close,
}

#[derive(Clone, Debug)]
pub struct Pipeline {
    pub workers: usize,
    pub commit_interval: Duration,
    pub lease: Span,
    pub state_dir: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Http {
    pub listen: std::net::SocketAddr,
}
