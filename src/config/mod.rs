//! The configuration, resolved: every value checked, every path absolute, before a socket opens.
//!
//! yaml (flat keys) → entries (file, variables, secret files) → resolve (types, bounds) → [`Config`].
//! keys declares what may be written, and makes docs/configuration.md.

mod audit;
mod entries;
mod intake;
mod keys;
mod keyset;
mod near_misses;
mod oauth;
mod properties;
mod read;
mod registry;
mod resolve;
mod rulebook;
mod serve;
mod tls;
mod values;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use audit::{Audit, create_signing_key, read_signing_key};
pub use intake::{Api, IntakeSource, kind as identifier_kind};
pub use keys::documentation;
pub use keyset::{KeysetChange, create_keyset, read_keyset};
pub use oauth::OAuth;
pub use registry::{Credentials, SchemaRegistry};
pub use rulebook::{RulebookFile, RulebookRefusal, load_rulebook, read_rulebook};
pub use serve::{Allowed, Client, Rate, Serve, SubjectTokens, Tls};
pub use values::topic as topic_name;

use crate::failure::{Failure, Result};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::time::Span;

/// Read where no `--config` is given; all defaults where it isn't there.
pub const DEFAULT_FILE: &str = "assent.yaml";

/// Reads the configuration: `file` (which then must be there) or [`DEFAULT_FILE`], under the
/// variables `ASSENT__SECTION__KEY`. Fails (78) at the first fault.
pub fn load(file: Option<&Path>, variables: &BTreeMap<String, String>) -> Result<Config> {
    let path = file.unwrap_or(Path::new(DEFAULT_FILE));
    let yaml = match std::fs::read_to_string(path) {
        Ok(yaml) => Some(yaml),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => None,
        Err(error) => {
            let message = format!(
                "{}: the configuration can't be read: {error}; check the path",
                path.display()
            );
            return Err(Failure::config(message));
        }
    };
    parse(path, yaml.as_deref(), variables)
}

/// The same from text; `path` names it in messages and is what relative paths are relative to.
fn parse(path: &Path, yaml: Option<&str>, variables: &BTreeMap<String, String>) -> Result<Config> {
    resolve::resolve(&entries::Entries::read(path, yaml, variables)?)
}

#[derive(Clone, Debug)]
pub struct Config {
    pub kafka: Kafka,
    /// `None`: values are in Avro single-object encoding.
    pub schema_registry: Option<SchemaRegistry>,
    pub topics: Topics,
    pub rulebook: PathBuf,
    pub keyset: PathBuf,
    pub consent: Consent,
    pub pipeline: Pipeline,
    pub http: Http,
    pub audit: Audit,
    pub serve: Serve,
    pub canary: Canary,
    /// By source.
    pub intake: Vec<IntakeSource>,
}

impl Config {
    /// Is there anybody who may ask `assent serve` something?
    pub fn is_served(&self) -> bool {
        self.serve.is_configured() || !self.intake.is_empty()
    }

    /// What must stay as it is while a state lives, by key. The state's own topic is where this is kept.
    pub fn fixed(&self) -> BTreeMap<String, String> {
        let topics = &self.topics;
        let fixed = [
            ("kafka.group_id", &self.kafka.group_id),
            ("topics.clickstream", &topics.clickstream),
            ("topics.consent", &topics.consent),
            ("topics.segments", &topics.segments),
            ("topics.contextual", &topics.contextual),
            ("topics.audit", &topics.audit),
            ("topics.dead_letters", &topics.dead_letters),
        ];
        fixed.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect()
    }
}

#[derive(Clone)]
pub struct Kafka {
    pub bootstrap_servers: String,
    pub group_id: String,
    pub partitioner: Partitioner,
    /// Passed to librdkafka, by one name each. May hold secrets: never logged.
    pub properties: BTreeMap<String, String>,
    /// `None`: no login, or one with a name and a password.
    pub oauth: Option<OAuth>,
    /// librdkafka's mock cluster: it can't say what this user may do, which topic stands under a name, how it is set,
    /// or who is in a group. No key sets it.
    pub is_embedded: bool,
}

impl Kafka {
    /// What Kafka's own scripts need to reach the same brokers, as a shell takes it.
    pub fn reached_by_tools(&self) -> String {
        format!("--bootstrap-server {}", shell_word(&self.bootstrap_servers))
    }

    /// Who this is to the brokers, as ACLs name it, where the configuration says so: behind a certificate or a
    /// token they have rules of their own for it.
    pub fn principal(&self) -> Option<String> {
        self.properties.get("sasl.username").map(|name| format!("User:{name}"))
    }

    /// What is to be said with a command for those scripts where brokers ask who is there.
    pub fn tools_note(&self) -> &'static str {
        let protocol = self.properties.get("security.protocol");
        let is_plain = protocol.is_none_or(|it| it.eq_ignore_ascii_case("plaintext"));
        if is_plain {
            ""
        } else {
            ", with --command-config and the properties file of a user who is allowed to"
        }
    }
}

/// As one word of a POSIX shell.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Shows the properties' names only: their values may be secrets.
impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("group_id", &self.group_id)
            .field("partitioner", &self.partitioner)
            .field("properties", &self.properties.keys())
            .field("oauth", &self.oauth)
            .field("is_embedded", &self.is_embedded)
            .finish()
    }
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
    /// Who asked what of the audit; no topic of the pipeline's.
    pub audit_access: String,
    /// The register of requests; of `assent serve`, as are the next two.
    pub privacy_requests: String,
    pub identity_map: String,
    pub intake_state: String,
    /// How far readers have applied segments, as they say; no topic of the pipeline's.
    pub reader_acks: String,
}

impl Topics {
    pub fn segments_of(&self, purpose: &str) -> String {
        self.segments.replace("{purpose}", purpose)
    }

    /// The key that names this topic; of one that no key names, the section.
    pub fn key_of(&self, topic: &str) -> &'static str {
        let named = [
            ("topics.clickstream", &self.clickstream),
            ("topics.consent", &self.consent),
            ("topics.contextual", &self.contextual),
            ("topics.audit", &self.audit),
            ("topics.state", &self.state),
            ("topics.dead_letters", &self.dead_letters),
            ("topics.audit_access", &self.audit_access),
            ("topics.privacy_requests", &self.privacy_requests),
            ("topics.identity_map", &self.identity_map),
            ("topics.intake_state", &self.intake_state),
            ("topics.reader_acks", &self.reader_acks),
        ];
        match named.into_iter().find(|(_, name)| name.as_str() == topic) {
            Some((key, _)) => key,
            None if self.purpose_of(topic).is_some() => "topics.segments",
            None => "topics",
        }
    }

    /// The purpose that a segment topic of this name is of.
    pub fn purpose_of(&self, topic: &str) -> Option<String> {
        let (before, after) = self.segments.split_once("{purpose}")?;
        let purpose = topic.strip_prefix(before)?.strip_suffix(after)?;
        assent_contract::domain::ids::is_slug(purpose).then(|| purpose.to_owned())
    }
}

#[derive(Clone, Debug)]
pub struct Consent {
    /// Past this, clicks are decided `CONSENT_STALE`.
    pub max_sync_lag: Duration,
    /// Of so many subjects of a partition, of whom nothing else is kept, an opt-out signal is.
    pub signals_without_record_max: usize,
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
pub struct Canary {
    /// From the begin of a round to that of the next one.
    pub every: Duration,
}

#[derive(Clone, Debug)]
pub struct Http {
    pub listen: std::net::SocketAddr,
}

#[cfg(test)]
mod tests;
