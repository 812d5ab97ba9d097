//! librdkafka's mock cluster, with Assent's topics and a configuration that points at it.
//!
//! What the mock can't do is said in `demo --help`: it compacts nothing, and proves nothing about
//! exactly-once. All that is kept lies in a folder of its own, gone with this value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use zeroize::Zeroizing;

use crate::config::{self, Config};
use crate::failure::{Failure, Result};
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::rulebook::{self, Rulebook};

/// The rulebook that is shipped.
const RULEBOOK: &str = include_str!("../../rules/children-retail.yaml");

/// Of every topic: enough to show that partitions are independent.
pub const PARTITIONS: i32 = 4;

/// An embedded broker, a fresh keyset and the shipped rulebook.
pub struct Embedded {
    _cluster: MockCluster<'static, DefaultProducerContext>,
    /// Holds the state for as long as the demo runs.
    _folder: Folder,
    pub config: Arc<Config>,
    pub rulebook: Arc<Rulebook>,
    pub rulebook_yaml: Arc<[u8]>,
    pub keys: Arc<KeyRing>,
}

impl Embedded {
    pub fn start() -> Result<Self> {
        let cluster = MockCluster::new(1)
            .map_err(|error| Failure::failed(format!("the embedded broker failed: {error}")))?;
        let folder = Folder::new()?;
        let config = configure(&cluster.bootstrap_servers(), &folder.0)?;
        let rulebook = rulebook::compile(RULEBOOK.as_bytes())
            .map_err(|_| Failure::failed("the built-in rulebook has errors"))?;
        let keyset = fresh_keyset()?;
        config::create_keyset(&config.keyset, &keyset)?;
        let purposes: Vec<_> = rulebook.purposes.iter().map(|purpose| purpose.id.clone()).collect();
        for topic in topics(&config, &purposes) {
            cluster.create_topic(&topic, PARTITIONS, 1).map_err(|error| {
                Failure::failed(format!("the embedded topic {topic} can't be created: {error}"))
            })?;
        }
        Ok(Self {
            _cluster: cluster,
            _folder: folder,
            config: Arc::new(config),
            rulebook: Arc::new(rulebook),
            rulebook_yaml: RULEBOOK.as_bytes().into(),
            keys: Arc::new(KeyRing::new(&keyset, &purposes)),
        })
    }

    /// The rulebook's purposes, in its order.
    pub fn purposes(&self) -> Vec<String> {
        self.rulebook.purposes.iter().map(|purpose| purpose.id.clone()).collect()
    }
}

/// A configuration file as a person would write it, read as any other.
fn configure(bootstrap_servers: &str, folder: &Path) -> Result<Config> {
    let file = folder.join("assent.yaml");
    let yaml = format!(
        "kafka: {{bootstrap_servers: \"{bootstrap_servers}\", group_id: demo}}\n\
         http: {{listen: \"127.0.0.1:0\"}}\n"
    );
    std::fs::write(&file, yaml).map_err(|error| unusable(&file, &error))?;
    config::load(Some(&file), &BTreeMap::new())
}

fn topics(config: &Config, purposes: &[String]) -> Vec<String> {
    let named = &config.topics;
    let fixed = [
        &named.clickstream,
        &named.consent,
        &named.contextual,
        &named.audit,
        &named.state,
        &named.dead_letters,
    ];
    let segments = purposes.iter().map(|purpose| named.segments_of(purpose));
    fixed.into_iter().cloned().chain(segments).collect()
}

fn fresh_keyset() -> Result<Keyset> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(|error| {
        Failure::failed(format!("the random number generator of the system failed: {error}"))
    })?;
    Ok(Keyset::first(*secret))
}

/// A temporary folder that nobody else has, removed with what is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|error| {
            Failure::failed(format!("the random number generator of the system failed: {error}"))
        })?;
        let path =
            std::env::temp_dir().join(format!("assent-demo-{:016x}", u64::from_be_bytes(name)));
        std::fs::create_dir(&path).map_err(|error| unusable(&path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "{}: the temporary directory of the demo can't be created: {error}",
        path.display()
    ))
}
