//! `assent report readers`: what each declared reader has applied, from its acknowledgements, its group's offsets, the
//! purposes' topics, and the audit, which knows the requests.

mod acks;
mod requests;

use std::time::Duration;

use super::super::{Globals, progress};
use super::output::Output;
use super::records::{each_record, partitions};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, load_rulebook};
use crate::failure::{Failure, Result};
use crate::kafka::readers::committed_by;
use crate::kafka::scan::Ends;
use acks::Acks;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::{Purpose, Reader};
use assent_report::readers::{Following, OfPurpose, Position, Segment};
use assent_verify::Record;

const ASKED_FOR: Duration = Duration::from_secs(30);

/// Report which tombstones readers have not applied, and who may have used a key after a request (11 CCR 7026(f))
///
/// Of each reader that the rulebook declares: the oldest tombstone that it has not applied, and by how
/// many business days it is past the 15 that the law gives. Of each request to opt out: which readers
/// may have used the key between the request and its tombstone. A reader stands where it says in the
/// topic `reader-acks`, else where its consumer group has committed, else nowhere. Exits with code 1 if
/// a reader is overdue.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent report readers --html readers.html")]
pub struct Args {
    /// Most keys to name for each purpose
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    output: Output,
}

pub fn execute(args: &Args, globals: &Globals) -> Result<()> {
    let config = globals.load_config()?;
    let rulebook = load_rulebook(&config.rulebook)?.rulebook;
    let purposes: Vec<&Purpose> =
        rulebook.purposes.iter().filter(|purpose| !purpose.readers.is_empty()).collect();
    let ends = Ends::new(&config)?;
    let now = SystemClock.now();
    let mut notes = Vec::new();
    let requests = requests::read(&config, &ends, &purposes, &mut notes)?;
    let acks = Acks::read(&config, &ends, &purposes, now, &mut notes)?;
    let follow = |purpose: &&Purpose| {
        let positions = positions(&config, &ends, &acks, purpose)?;
        let following = Following::of(purpose, positions, &requests, now, args.limit);
        follow(&config, &ends, purpose, following, &mut notes)
    };
    let found = purposes.iter().map(follow).collect::<Result<Vec<_>>>()?;
    let report = acks.into_report(now, found, notes);
    args.output.print(&report, globals)?;
    if report.is_overdue() {
        return Err(Failure::failed(
            "a reader has not applied an opt-out within 15 business days; the report names it",
        ));
    }
    Ok(())
}

/// Where each reader of the purpose stands in each partition of its topic.
fn positions(
    config: &Config,
    ends: &Ends<'_>,
    acks: &Acks,
    purpose: &Purpose,
) -> Result<Vec<Vec<Position>>> {
    let topic = config.topics.segments_of(&purpose.id);
    let count = partitions(config, &topic)?;
    let bounds = (0..count)
        .map(|partition| Ok((ends.low(&topic, partition)?, ends.written(&topic, partition)?)))
        .collect::<Result<Vec<_>>>()?;
    let of_reader = |reader: &Reader| {
        let committed = committed_by(config, &reader.group_id, &topic, count, ASKED_FOR);
        let committed = committed.map_err(|error| {
            Failure::failed(format!(
                "what the group {} has committed can't be read: {error}; check that the brokers run, and that this \
                 user has the grants of `assent check --print-acls User:NAME --verifier`",
                reader.group_id
            ))
        })?;
        let of_partition = |(partition, bounds): (i32, &(i64, i64))| {
            let acknowledged = acks.of(&reader.id, &topic, partition);
            Position::of(partition, acknowledged, committed.get(&partition).copied(), *bounds)
        };
        Ok((0..count).zip(&bounds).map(of_partition).collect())
    };
    purpose.readers.iter().map(of_reader).collect()
}

fn follow(
    config: &Config,
    ends: &Ends<'_>,
    purpose: &Purpose,
    mut following: Following<'_>,
    notes: &mut Vec<String>,
) -> Result<OfPurpose> {
    let topic = config.topics.segments_of(&purpose.id);
    let bar = progress::bar(0, "records of segments");
    let mut damaged = 0;
    for partition in 0..partitions(config, &topic)? {
        following.next_partition();
        let low = ends.low(&topic, partition)?;
        damaged += each_record(config, ends, (&topic, partition), low, &bar, |record| {
            let segment = segment(partition, record);
            segment.is_some_and(|segment| {
                following.see(&segment);
                true
            })
        })?;
    }
    bar.finish_and_clear();
    if damaged > 0 {
        notes.push(format!("{damaged} records of {topic} are damaged, and not counted."));
    }
    Ok(following.finish())
}

/// `None`: its key is no text.
fn segment(partition: i32, record: &Record) -> Option<Segment<'_>> {
    let key = std::str::from_utf8(record.key.as_deref()?).ok()?;
    let decided_at = || record.header_text("decided_at")?.parse().ok().map(Timestamp);
    let tombstone = || {
        let reason = record.header_text("reason").unwrap_or("unknown");
        (reason, decided_at().unwrap_or(record.timestamp))
    };
    Some(Segment {
        partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key,
        tombstone: record.value.is_none().then(tombstone),
    })
}
