//! `assent segments`: who is where, read from the segment topics as marketing reads them.
//!
//! Drops what has expired, as every reader must (INV-13).

mod count;
mod export;
mod get;
mod latest;
mod list;
mod watch;

use super::{Globals, progress};
use crate::config::load_rulebook;
use crate::failure::{Exit, Failure, Result};
use crate::kafka::assignments::{Change, SegmentTopics};
use crate::kafka::read::TopicReader;
use crate::registry::Reading;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::pseudonym::{KeyRing, Pseudonym};
use assent_contract::domain::segment::SegmentAssignment;
use assent_contract::rulebook::{Purpose, Rulebook};

/// Read the segment topics: list, count, watch, get one pseudonym, or export for a list of ids
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent segments list --json")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    List(list::Args),
    Watch(watch::Args),
    Get(get::Args),
    Count(count::Args),
    Export(export::Args),
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let (config, is_json) = (&globals.load_config()?, globals.json);
    let rulebook = &load_rulebook(&config.rulebook)?.rulebook;
    match &args.command {
        Command::List(args) => list::run(args, config, rulebook, is_json),
        Command::Watch(args) => watch::run(args, config, rulebook, is_json),
        Command::Get(args) => get::run(args, config, rulebook, is_json),
        Command::Count(args) => count::run(args, config, rulebook, is_json),
        Command::Export(args) => export::run(args, config, rulebook, is_json),
    }
}

/// Hands over what each record says, to the end as it was when the reader was opened.
fn each_change(
    topics: &SegmentTopics,
    reader: &TopicReader,
    schemas: &mut Reading,
    mut each: impl FnMut(Change),
) -> Result<()> {
    progress::read_to_end(reader, |message, _| {
        each(topics.read(message, schemas)?);
        Ok(())
    })
}

/// Where a subject can be live for the first of the ring's purposes: under the active key, and under those
/// whose keys are still being replaced.
fn live_pseudonyms(keys: &KeyRing, subject: &str) -> impl Iterator<Item = Pseudonym> {
    let retiring = keys.live_versions().filter(|version| *version != keys.active());
    let versions = std::iter::once(keys.active()).chain(retiring);
    versions.filter_map(|version| keys.pseudonym_under(version, 0, subject.as_bytes()))
}

/// The purposes to read: the named one, or all that concern people.
fn chosen(named: Option<&String>, rulebook: &Rulebook) -> Result<Vec<String>> {
    let declared = || rulebook.declared().map(|purpose| purpose.id.clone());
    match named {
        None => Ok(declared().collect()),
        Some(named) => match rulebook.purpose_index(named) {
            Some(at) => Ok(vec![rulebook.purposes[at].id.clone()]),
            None => Err(unknown("--purpose", named, "purpose", declared())),
        },
    }
}

/// A count of a purpose's live assignments, as far as it may be told.
fn in_words(purpose: &Purpose, count: u64) -> String {
    let least = purpose.min_members.unwrap_or_default();
    purpose.shown(count).map_or_else(|| format!("fewer than {least}"), |count| count.to_string())
}

/// The purposes among these that have the segment.
fn with_segment(segment: &str, purposes: &[String], rulebook: &Rulebook) -> Result<Vec<String>> {
    if rulebook.contextual.iter().any(|rule| rule.id == segment) {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "--segment {segment}: this segment is contextual and contains no subjects; read \
                 the topic contextual-segments instead"
            ),
        ));
    }
    let chosen = || rulebook.purposes.iter().filter(|purpose| purposes.contains(&purpose.id));
    let having = chosen().filter(|purpose| purpose.segments.iter().any(|rule| rule.id == segment));
    let having: Vec<String> = having.map(|purpose| purpose.id.clone()).collect();
    if having.is_empty() {
        let known = chosen().flat_map(|purpose| &purpose.segments).map(|rule| rule.id.clone());
        return Err(unknown("--segment", segment, "segment", known));
    }
    Ok(having)
}

fn unknown(option: &str, named: &str, what: &str, known: impl Iterator<Item = String>) -> Failure {
    let known: Vec<String> = known.collect();
    let message =
        format!("{option} {named}: the rulebook has no such {what}; it has {}", known.join(", "));
    Failure::new(Exit::Usage, message)
}

/// One line for a person.
fn render(assignment: &SegmentAssignment) -> String {
    let SegmentAssignment { pseudonym, purpose, segments, basis, .. } = assignment;
    let until = super::when::text(assignment.expires_at);
    let (pseudonym, purpose) = (shown(pseudonym), shown(purpose));
    let segments = shown(&segments.join(","));
    format!("{pseudonym}  {purpose}  {segments}  {}  until {until}", basis.symbol())
}
