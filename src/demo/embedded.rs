//! librdkafka's mock cluster, with Assent's topics and a configuration that points at it.
//!
//! What the mock can't do is said in `demo --help`: it compacts nothing, and proves nothing about
//! exactly-once. All that is kept lies in a folder of its own, gone with this value.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use zeroize::Zeroizing;

use super::page::Secrets;
use crate::config::{self, Config};
use crate::failure::{Failure, Result};
use crate::kafka::handle::await_closed;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::rulebook::{self, Rulebook};

/// The rulebook that is shipped.
const RULEBOOK: &str = include_str!("../../rules/children-retail.yaml");

/// Of every topic: enough to show that partitions are independent.
pub const PARTITIONS: i32 = 4;

/// Clients of a sound broker are closed in milliseconds.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// Whose subject tokens `serve` accepts.
const ISSUER: &str = "shop.example";

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
    /// `origins`: whose pages may ask `serve`.
    pub fn start(origins: &[String], secrets: &Secrets) -> Result<Self> {
        let cluster = MockCluster::new(1)
            .map_err(|error| Failure::failed(format!("the embedded broker failed: {error}")))?;
        let folder = Folder::new()?;
        let config = configure(&cluster.bootstrap_servers(), &folder.0, origins, secrets)?;
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

/// The broker outlives its clients, which close on threads of their own: else they report that it is away.
impl Drop for Embedded {
    fn drop(&mut self) {
        await_closed(CLOSED_WITHIN);
    }
}

/// A configuration and its files as a person would write them, read as any other.
fn configure(
    bootstrap_servers: &str,
    folder: &Path,
    origins: &[String],
    secrets: &Secrets,
) -> Result<Config> {
    let yaml = format!(
        "kafka: {{bootstrap_servers: \"{bootstrap_servers}\", group_id: demo}}\n\
         http: {{listen: \"127.0.0.1:0\"}}\n\
         rulebook: rulebook.yaml\n\
         serve:\n\
         \x20 listen: \"127.0.0.1:0\"\n\
         \x20 clients:\n\
         \x20 - {{id: shop-server, token_file: shop-server.token, allow: [lookup, events, consent, opt_out]}}\n\
         \x20 - {{id: web, token_file: web.token, allow: [lookup, events, opt_out], publishable: true}}\n\
         \x20 subject_tokens: {{key_file: subject-token.secret, issuer: {ISSUER}}}\n\
         \x20 cors_origins: {origins:?}\n"
    );
    let files: [(&str, &str); 5] = [
        ("assent.yaml", &yaml),
        ("rulebook.yaml", RULEBOOK),
        ("shop-server.token", &secrets.server_token),
        ("web.token", &secrets.web_token),
        ("subject-token.secret", &secrets.subject_secret),
    ];
    for (name, text) in files {
        let file = folder.join(name);
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(&file);
        let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
        written.map_err(|error| unusable(&file, &error))?;
    }
    let mut config = config::load(Some(&folder.join("assent.yaml")), &BTreeMap::new())?;
    config.kafka.is_embedded = true;
    Ok(config)
}

/// What the shop's own server and `serve` share.
pub fn fresh_secrets() -> Result<Secrets> {
    let secret = || -> Result<Zeroizing<String>> {
        let mut bytes = Zeroizing::new([0; 16]);
        getrandom::fill(bytes.as_mut_slice()).map_err(no_randomness)?;
        Ok(Zeroizing::new(format!("{:032x}", u128::from_be_bytes(*bytes))))
    };
    Ok(Secrets {
        server_token: secret()?,
        web_token: secret()?,
        subject_secret: secret()?,
        issuer: ISSUER,
    })
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
        &named.privacy_requests,
        &named.identity_map,
        &named.intake_state,
    ];
    let segments = purposes.iter().map(|purpose| named.segments_of(purpose));
    fixed.into_iter().cloned().chain(segments).collect()
}

fn fresh_keyset() -> Result<Keyset> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(no_randomness)?;
    Ok(Keyset::first(*secret))
}

fn no_randomness(error: getrandom::Error) -> Failure {
    Failure::failed(format!("the random number generator of the system failed: {error}"))
}

/// A temporary folder that nobody else has, removed with what is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(no_randomness)?;
        let path =
            std::env::temp_dir().join(format!("assent-demo-{:016x}", u64::from_be_bytes(name)));
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(&path).map_err(|error| unusable(&path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "{}: the temporary directory of the demo can't be created: {error}",
        path.display()
    ))
}
