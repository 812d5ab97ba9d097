//! `assent intake pending`: what consent platforms said of people whom nobody maps. Identifiers are shown as
//! hashes alone.

use std::collections::BTreeMap;

use rdkafka::Message as _;
use serde_json::json;

use super::{Globals, stderr, stdout, when};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::read::{Start, TopicReader};
use crate::serve::intake::kept::{HELD, Held, identity_of, open_held};
use crate::serve::keys::Keys;

/// Show what the intake of consent holds
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent intake pending --json")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Pending(PendingArgs),
}

/// List deliveries that are held because nobody maps their identifier
///
/// Each is held for 7 days and applied once the mapping comes. An identifier is shown as the hash that
/// is its key in the identity map.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent intake pending --json")]
struct PendingArgs {}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let Command::Pending(PendingArgs {}) = &args.command;
    let config = globals.load_config()?;
    let pending = pending(&config)?;
    for (key, held) in &pending {
        let identity = identity_of(key).unwrap_or_default();
        let (since, until) = (held.received_at, held.ends_at());
        if globals.json {
            stdout::json(&json!({
                "identity": identity, "kind": held.kind, "source": held.source,
                "received_at": since, "held_until": until,
            }))?;
        } else {
            let (since, until) = (when::text(since), when::text(until));
            let (kind, source) = (&held.kind, &held.source);
            stdout::line(&format!(
                "{identity} {kind} of {source}, received {since}, held until {until}"
            ))?;
        }
    }
    if pending.is_empty() && !globals.json {
        stderr::line("nothing is held: every identifier that came is mapped");
    }
    Ok(())
}

/// By the key of the record.
fn pending(config: &Config) -> Result<BTreeMap<String, Held>> {
    let keys = Keys::read(config, Vec::new())?.now();
    let topics = [config.topics.intake_state.clone()];
    let reader = TopicReader::topics(config, &topics, Start::Beginning)?;
    let mut pending = BTreeMap::new();
    let each = |message: &rdkafka::message::BorrowedMessage<'_>| {
        let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
        let Some(key) = key.filter(|key| key.starts_with(HELD)) else { return };
        match message.payload().and_then(|value| open_held(&keys, key, value)) {
            Some(held) => drop(pending.insert(key.to_owned(), held)),
            None => drop(pending.remove(key)),
        }
    };
    reader.read_to_end(each, |_| {})?;
    Ok(pending)
}
