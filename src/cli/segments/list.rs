//! `assent segments list`: all live assignments, once.

use std::collections::BTreeMap;

use super::super::{stderr, stdout};
use super::{chosen, each_change, in_words, render, with_segment};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::assignments::{Change, SegmentTopics};
use crate::kafka::read::{Start, TopicReader};
use crate::registry::Reading;
use assent_contract::domain::segment::SegmentAssignment;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;

/// List the live assignments that have not expired; if there are none, say why on stderr
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent segments list --purpose personalized-offers --json")]
pub struct Args {
    /// Show only this purpose
    #[arg(long)]
    purpose: Option<String>,
    /// Show only assignments with this segment
    #[arg(long)]
    segment: Option<String>,
    /// Show at most this many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// The last value of each key that is not a tombstone, by purpose and pseudonym.
pub struct Live {
    pub assignments: BTreeMap<(String, String), SegmentAssignment>,
    pub unreadable: u64,
    /// Records read.
    records: u64,
}

pub fn run(args: &Args, config: &Config, rulebook: &Rulebook, is_json: bool) -> Result<()> {
    let mut purposes = chosen(args.purpose.as_ref(), rulebook)?;
    if let Some(segment) = &args.segment {
        purposes = with_segment(segment, &purposes, rulebook)?;
    }
    let topics = SegmentTopics::new(config, &purposes);
    let reader = TopicReader::topics(config, topics.names(), Start::Beginning)?;
    let live = Live::read(&topics, &reader, &mut Reading::open(config)?)?;
    let now = SystemClock.now();
    let is_wanted = |assignment: &&SegmentAssignment| {
        assignment.expires_at > now
            && args.segment.as_ref().is_none_or(|id| assignment.segments.contains(id))
    };
    let wanted: Vec<_> = live.assignments.values().filter(is_wanted).collect();
    for &assignment in wanted.iter().take(args.limit.unwrap_or(usize::MAX)) {
        if is_json {
            stdout::json(assignment)?;
        } else {
            stdout::line(&render(assignment))?;
        }
    }
    if live.unreadable > 0 {
        stderr::warning(&format!("{} values in the segment topics can't be read", live.unreadable));
    }
    if wanted.is_empty() {
        stderr::line(&live.emptiness(now, &purposes, rulebook));
    }
    Ok(())
}

impl Live {
    /// Reads to the end.
    pub fn read(
        topics: &SegmentTopics,
        reader: &TopicReader,
        schemas: &mut Reading,
    ) -> Result<Self> {
        let mut live = Self { assignments: BTreeMap::new(), unreadable: 0, records: 0 };
        each_change(topics, reader, schemas, |change| live.apply(change))?;
        Ok(live)
    }

    /// Why nothing that was asked for is live.
    fn emptiness(&self, now: Timestamp, purposes: &[String], rulebook: &Rulebook) -> String {
        let of = purposes.join(", ");
        let (live, expired): (Vec<_>, Vec<_>) =
            self.assignments.values().partition(|assignment| assignment.expires_at > now);
        if self.records == 0 {
            return format!(
                "nothing was ever assigned for {of}; check that `assent run` is running and has \
                 decided what is in Kafka (`assent wait-ready --caught-up`)"
            );
        }
        // Each of several purposes has a minimum of its own: the greatest is the one to keep to.
        let chosen = rulebook.purposes.iter().filter(|purpose| purposes.contains(&purpose.id));
        let strictest = chosen.max_by_key(|purpose| purpose.min_members);
        let told = |count: usize| {
            strictest.map_or_else(|| count.to_string(), |purpose| in_words(purpose, count as u64))
        };
        match (live.len(), expired.len()) {
            (0, 0) => format!("no live assignment for {of}: tombstones removed every assignment"),
            (0, expired) => format!(
                "no live assignment for {of}: {} assignments have expired; they are renewed \
                 only while `assent run` is running",
                told(expired)
            ),
            (live, _) => {
                format!(
                    "no live assignment has this segment; {of} has {} live assignments",
                    told(live)
                )
            }
        }
    }

    fn apply(&mut self, change: Change) {
        self.records += 1;
        match change {
            Change::Assigned(assignment) => {
                let key = (assignment.purpose.clone(), assignment.pseudonym.clone());
                self.assignments.insert(key, assignment);
            }
            Change::Removed(removal) => {
                self.assignments.remove(&(removal.purpose, removal.pseudonym));
            }
            Change::Unreadable(value) => {
                self.unreadable += 1;
                self.assignments.remove(&(value.purpose, value.pseudonym));
            }
        }
    }
}
