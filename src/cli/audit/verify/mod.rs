//! `assent audit verify`: is the audit the one that was written? Chains in the topic or in an export, held
//! against a published log where one is named.
//!
//! Needs no keyset and no rulebook: it never asks what was decided. Memory: one chain at a time, however
//! long it is.

mod against;
mod chain;
mod export;
mod log;
mod result;
mod topic;

use std::path::{Path, PathBuf};

use assent_evidence::note::Verifier;

use self::log::PublishedLog;
use self::result::Outcome;
use super::super::Globals;
use crate::config::{Config, read_signing_key};
use crate::failure::{Exit, Failure, Result};

/// Verify the chains of the audit: find batches that were altered, removed, reordered or added
///
/// Reads the audit topic from the oldest batch that it holds. With --from it also checks the log
/// that the checkpoint signs, and that the topic still holds what was published, so that a removed
/// end is found, too. With --export it reads an export instead of Kafka. Changes nothing, and needs
/// neither keyset nor rulebook. The last line is the verdict. Exits with code 1 if there are faults.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  assent audit verify\n  assent audit verify --partition 0 --json\n  \
    assent audit verify --from /srv/audit-log/checkpoint\n  assent audit verify --export ./export-2026-11"
)]
pub struct Args {
    /// Verify only the chains of this partition; can be repeated
    #[arg(long, value_name = "N")]
    partition: Vec<i32>,
    /// A published checkpoint; its log is in the same directory
    #[arg(long, value_name = "CHECKPOINT")]
    from: Option<PathBuf>,
    /// Read this export instead of the topic
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// Verifier key of the log, or a file that holds it [default: the key in audit.log_key]
    #[arg(long, value_name = "KEY")]
    log_key: Option<String>,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let mut outcome = Outcome::default();
    let log = match &args.from {
        None => None,
        Some(checkpoint) => {
            let verifier = verifier(args, &config)?;
            PublishedLog::open(checkpoint, &verifier, &mut outcome)?
        }
    };
    let scope = Scope { partitions: &args.partition, log: log.as_ref() };
    match &args.export {
        None => topic::verify(&config, &scope, &mut outcome)?,
        Some(folder) => {
            let verifier = || verifier(args, &config);
            export::verify(folder, &verifier, &scope, &mut outcome)?;
        }
    }
    result::print(outcome, globals.json)
}

/// What is looked at.
struct Scope<'a> {
    /// Empty: all.
    partitions: &'a [i32],
    log: Option<&'a PublishedLog>,
}

impl Scope<'_> {
    fn has(&self, partition: i32) -> bool {
        self.partitions.is_empty() || self.partitions.contains(&partition)
    }
}

/// Who signs the log: the key that was given, else the public half of the configured one.
fn verifier(args: &Args, config: &Config) -> Result<Verifier> {
    let Some(given) = &args.log_key else {
        return match read_signing_key(&config.audit) {
            Ok(signer) => Ok(signer.verifier()),
            Err(failure) => Err(Failure::new(
                failure.exit,
                format!("{}; or name the log's verifier key with --log-key", failure.message),
            )),
        };
    };
    let usage = |why: String| Failure::new(Exit::Usage, format!("--log-key: {why}"));
    let is_key = given.contains('+') && !Path::new(given).exists();
    let text = if is_key {
        given.clone()
    } else {
        std::fs::read_to_string(given).map_err(|error| usage(format!("{given}: {error}")))?
    };
    Verifier::parse(text.trim())
        .map_err(|fault| usage(format!("{fault}; give NAME+<hash>+<base64>, or a file with it")))
}
