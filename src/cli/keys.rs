//! `assent keys`: make a keyset, and see what is in one. Secrets are never shown.

use std::collections::HashSet;
use std::path::PathBuf;

use assent_evidence::note::Signer;
use rdkafka::Message;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Globals, stderr, stdout};
use crate::config::{
    Config, KeysetChange, create_keyset, create_signing_key, load_rulebook, read_keyset,
    read_signing_key,
};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::assignments::SegmentTopics;
use crate::kafka::missing::demand;
use crate::kafka::probe::Probe;
use crate::kafka::read::{Start, TopicReader};
use crate::kafka::rights::Right;
use assent_contract::domain::hex::hex;
use assent_contract::domain::pseudonym::{KeyRing, Keyset, Pseudonym};

/// Bytes of a fingerprint that are shown: enough to compare two files by eye.
const FINGERPRINT_SHOWN: usize = 8;

/// Create, change and show the keyset that pseudonyms are computed with
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent keys new\n  assent keys rotate\n  assent keys retire 1")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    New(NewArgs),
    Rotate(RotateArgs),
    Retire(RetireArgs),
    Show(ShowArgs),
}

/// Create a keyset with one active key, or a key for the audit log; never overwrites a file
///
/// Anyone who has the keyset can compute pseudonyms from ids. Without it, live pseudonyms can't be
/// removed. Keep a backup with your other secrets.
///
/// With --for audit-log, creates the key that signs the published audit log, and prints its verifier
/// key: give that to whoever checks the log.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent keys new --out /etc/assent/keyset.json\n  \
    assent keys new --for audit-log --origin shop.example/audit")]
struct NewArgs {
    /// File to write [default: the configured keyset, or audit.log_key]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What the key is for
    #[arg(long = "for", value_name = "USE", value_enum, default_value_t)]
    purpose: Use,
    /// Name of the audit log [default: audit.origin]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Use {
    #[default]
    Pseudonyms,
    AuditLog,
}

/// Add a new active key; the current one becomes retiring
///
/// A running instance notices the change within 10 s and moves every live key: it writes the new
/// assignment and the tombstone of the old key in one transaction. Give the changed file to every
/// instance. Retire the old version once it has no live key left. The file keeps its owner and
/// permissions, and a symbolic link to it stays a link. Change a secret that Kubernetes mounts
/// where it is stored, not here.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent keys rotate")]
struct RotateArgs {}

/// Retire a retiring key version for good; refused while it has live keys
///
/// Removes the secret of the version from the keyset. The lowest version keeps its secret, because
/// the state is keyed with it.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent keys retire 1")]
struct RetireArgs {
    /// Key version to retire
    version: u8,
}

/// Show each key version with its status and fingerprint
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent keys show --json")]
struct ShowArgs {
    /// Which key to show; for audit-log, the verifier key
    #[arg(long = "for", value_name = "USE", value_enum, default_value_t)]
    purpose: Use,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    match &args.command {
        Command::New(NewArgs { out, purpose: Use::AuditLog, origin }) => {
            new_log_key(out.clone(), origin.clone(), globals)
        }
        Command::New(NewArgs { origin: Some(_), .. }) => Err(Failure::new(
            Exit::Usage,
            "--origin names an audit log; add --for audit-log, or remove it",
        )),
        Command::New(NewArgs { out, .. }) => new(out.clone(), globals),
        Command::Rotate(RotateArgs {}) => rotate(globals),
        Command::Retire(RetireArgs { version }) => retire(*version, globals),
        Command::Show(ShowArgs { purpose: Use::AuditLog }) => {
            let signer = read_signing_key(&globals.load_config()?.audit)?;
            show_verifier(&signer, globals)
        }
        Command::Show(ShowArgs { .. }) => show(globals),
    }
}

fn new(out: Option<PathBuf>, globals: &Globals) -> Result<()> {
    let path = match out {
        Some(out) => out,
        None => globals.load_config()?.keyset,
    };
    let secret = new_secret()?;
    create_keyset(&path, &Keyset::first(*secret))?;
    if globals.json {
        return stdout::json(&json!({ "file": path, "version": 1 }));
    }
    stdout::line(&format!("{}: created a keyset; key version 1 is active", path.display()))
}

/// The verifier key alone is on stdout, so that a script can keep it.
fn new_log_key(out: Option<PathBuf>, origin: Option<String>, globals: &Globals) -> Result<()> {
    let audit = globals.load_config()?.audit;
    let Some(origin) = origin.or(audit.origin) else {
        return Err(Failure::new(
            Exit::Usage,
            "--origin is missing: name the log, for example --origin shop.example/audit",
        ));
    };
    let signer = Signer::new(&origin, &*new_secret()?)
        .map_err(|fault| Failure::new(Exit::Usage, format!("--origin: {fault}")))?;
    let path = out.unwrap_or(audit.log_key);
    create_signing_key(&path, &signer)?;
    stderr::line(&format!(
        "{}: created a key for the audit log; its verifier key is on stdout",
        path.display()
    ));
    show_verifier(&signer, globals)
}

fn show_verifier(signer: &Signer, globals: &Globals) -> Result<()> {
    let verifier = signer.verifier().to_string();
    if globals.json {
        return stdout::json(&json!({ "origin": signer.name(), "verifier_key": verifier }));
    }
    stdout::line(&verifier)
}

fn new_secret() -> Result<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(|error| {
        Failure::failed(format!("the random number generator of the system failed: {error}"))
    })?;
    Ok(secret)
}

fn rotate(globals: &Globals) -> Result<()> {
    let path = globals.load_config()?.keyset;
    let (change, mut keyset) = KeysetChange::begin(&path)?;
    let retiring = keyset.active();
    let version = keyset
        .rotate(*new_secret()?)
        .map_err(|error| Failure::config(format!("{}: {error}", path.display())))?;
    change.finish(&keyset)?;
    if globals.json {
        return stdout::json(&json!({ "file": path, "version": version, "retiring": retiring }));
    }
    let path = path.display();
    stdout::line(&format!("{path}: key version {version} is active, {retiring} is retiring"))
}

fn retire(version: u8, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let (change, mut keyset) = KeysetChange::begin(&config.keyset)?;
    keyset
        .retire(version)
        .map_err(|error| Failure::config(format!("{}: {error}", config.keyset.display())))?;
    let live = live_keys_of(version, &config)?;
    if live > 0 {
        return Err(Failure::failed(format!(
            "key version {version} still has {live} live keys, which could not be removed without \
             it; wait until a running instance has moved them (see the metric assent_live_keys)"
        )));
    }
    change.finish(&keyset)?;
    if globals.json {
        return stdout::json(&json!({ "file": config.keyset, "version": version }));
    }
    stdout::line(&format!("{}: key version {version} is retired", config.keyset.display()))
}

/// Counts the live keys of a version in every segment topic of the cluster, whatever the rulebook
/// declares now, and whether they have expired or not: both are still there.
fn live_keys_of(version: u8, config: &Config) -> Result<usize> {
    let cluster = Admin::new(config)?.cluster()?;
    demand_sight(config)?;
    let purposes: Vec<String> =
        cluster.topics.keys().filter_map(|topic| config.topics.purpose_of(topic)).collect();
    if purposes.is_empty() {
        return Ok(0);
    }
    let topics = SegmentTopics::new(config, &purposes);
    let reader = TopicReader::topics(config, topics.names(), Start::Beginning)?;
    let mut live = HashSet::new();
    reader.read_to_end(
        |message| {
            let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
            let Some(pseudonym) = key.and_then(Pseudonym::parse) else { return };
            let at = (message.topic().to_owned(), pseudonym);
            if pseudonym.version() == version && message.payload().is_some() {
                live.insert(at);
            } else {
                live.remove(&at);
            }
        },
        |_| {},
    )?;
    Ok(live.len())
}

/// To whoever may not see a topic it is not there, with its live keys.
fn demand_sight(config: &Config) -> Result<()> {
    let probe = Probe::new(config)
        .map_err(|error| Failure::config(format!("kafka.properties: {error}")))?;
    let rulebook = load_rulebook(&config.rulebook)?.rulebook;
    let all = rulebook.purposes.iter();
    let topics: Vec<String> = all.map(|it| config.topics.segments_of(&it.id)).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    demand(&probe, config, &topics, Right::Read)
}

fn show(globals: &Globals) -> Result<()> {
    let keyset = read_keyset(&globals.load_config()?.keyset)?;
    let ring = KeyRing::new(&keyset, &[]);
    for (version, status) in keyset.versions() {
        let fingerprint = ring.fingerprints().get(&version).map(fingerprint_prefix);
        if globals.json {
            stdout::json(&json!({
                "version": version,
                "status": status.label(),
                "fingerprint": fingerprint,
            }))?;
        } else {
            let shown = fingerprint.as_deref().unwrap_or("emptied");
            stdout::line(&format!("version {version:<3}  {:<8}  {shown}", status.label()))?;
        }
    }
    Ok(())
}

fn fingerprint_prefix(fingerprint: &[u8; 32]) -> String {
    hex(&fingerprint[..FINGERPRINT_SHOWN])
}
