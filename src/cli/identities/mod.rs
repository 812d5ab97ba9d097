//! `assent identities import`: whose the identifiers of consent platforms are, from a file.
//!
//! No message repeats an identifier or a subject: a line is named by its number (INV-6).

mod csv;

use std::path::PathBuf;

use serde_json::json;

use self::csv::{Row, rows};
use super::{Globals, stdout};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, identifier_kind};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::write::Writer;
use crate::serve::identities::{Mapped, key_of, sealed};
use crate::serve::keys::Keys;
use assent_contract::domain::ids::is_valid_id;
use assent_intake::source::Identifier;

/// Map identifiers of consent platforms to subjects
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent identities import identities.csv")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Import(ImportArgs),
}

/// Import a CSV file with the columns kind, identifier, subject_id
///
/// The first line holds the names of the columns. A kind is in lower case, such as email. A line takes
/// the place of what was mapped before. The whole file is checked before anything is written; what was
/// held of an identifier is applied once `assent serve` has read the mapping.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent identities import identities.csv")]
struct ImportArgs {
    /// File to read
    file: PathBuf,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let Command::Import(args) = &args.command;
    let config = globals.load_config()?;
    let path = args.file.display();
    let text = std::fs::read_to_string(&args.file).map_err(|error| {
        Failure::new(Exit::Data, format!("{path}: {error}; check the path, and that it is UTF-8"))
    })?;
    let refuse = |line: usize, what: &str| {
        Failure::new(Exit::Data, format!("{path}:{line}: {what}; nothing was written"))
    };
    let rows = rows(&text).map_err(|fault| refuse(fault.line, fault.what))?;
    let mappings = checked(rows).map_err(|(line, what)| refuse(line, &what))?;
    let written = write(&config, &mappings)?;
    if globals.json {
        return stdout::json(&json!({"imported": written}));
    }
    stdout::line(&format!("{written} identities imported"))
}

fn checked(rows: Vec<Row>) -> std::result::Result<Vec<(Identifier, String)>, (usize, String)> {
    let check = |row: Row| {
        let Row { line, kind, identifier, subject_id } = row;
        let kind = identifier_kind(&kind).map_err(|what| (line, format!("kind: {what}")))?;
        let identifier = Identifier::new(&kind, &identifier).ok_or_else(|| {
            (line, "identifier must not be empty, and have at most 700 bytes".to_owned())
        })?;
        if !is_valid_id(&subject_id) {
            let what = "subject_id must have 1 to 512 bytes and must not begin with __assent_";
            return Err((line, what.to_owned()));
        }
        Ok((identifier, subject_id))
    };
    rows.into_iter().map(check).collect()
}

fn write(config: &Config, mappings: &[(Identifier, String)]) -> Result<usize> {
    let keys = Keys::read(config, Vec::new())?.now();
    let topic = &config.topics.identity_map;
    let writer = Writer::open(config, &[topic])?;
    let mapped_at = SystemClock.now();
    for (identifier, subject_id) in mappings {
        let key = key_of(&keys, identifier);
        let mapped = Mapped { subject_id: subject_id.clone(), mapped_at };
        let value = sealed(&keys, &key, &mapped)
            .map_err(|error| Failure::failed(format!("no randomness: {error}")))?;
        writer.send(topic, key.as_bytes(), Some(&value))?;
    }
    writer.flush()?;
    Ok(mappings.len())
}
