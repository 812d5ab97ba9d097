//! `assent keys`: make a keyset, and see what is in one. Secrets are never shown.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;
use zeroize::Zeroizing;

use super::{Globals, stdout};
use crate::config::{create_keyset, read_keyset};
use crate::domain::pseudonym::{KeyRing, Keyset};
use crate::failure::{Failure, Result};

/// Bytes of a fingerprint that are shown: enough to compare two files by eye.
const FINGERPRINT_SHOWN: usize = 8;

/// Make or look at the keyset that pseudonyms are made with
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent keys new\n  assent keys show")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    New(NewArgs),
    Show(ShowArgs),
}

/// Write a new keyset with one active key; never over an existing one
///
/// Whoever holds it can recompute pseudonyms from ids, and without it live pseudonyms can't be
/// removed: keep a copy where your other secrets are.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent keys new --out /etc/assent/keyset.json")]
struct NewArgs {
    /// Where to write it; default: the configured path
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Show versions, what each is used for, and fingerprints
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent keys show --json")]
struct ShowArgs {}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    match &args.command {
        Command::New(NewArgs { out }) => new(out.clone(), globals),
        Command::Show(ShowArgs {}) => show(globals),
    }
}

fn new(out: Option<PathBuf>, globals: &Globals) -> Result<()> {
    let path = match out {
        Some(out) => out,
        None => globals.load_config()?.keyset,
    };
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice())
        .map_err(|error| Failure::failed(format!("the system's random source failed: {error}")))?;
    create_keyset(&path, &Keyset::first(*secret))?;
    if globals.json {
        return stdout::json(&json!({ "file": path, "version": 1 }));
    }
    stdout::line(&format!("{}: a new keyset, key version 1 active", path.display()))
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
    fingerprint[..FINGERPRINT_SHOWN].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
