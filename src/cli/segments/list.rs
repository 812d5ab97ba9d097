//! `assent segments list`: all live assignments, once.

use std::collections::BTreeMap;

use super::super::{progress, stderr, stdout};
use super::{chosen, render};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::domain::segment::SegmentAssignment;
use crate::failure::Result;
use crate::kafka::assignments::{Change, SegmentTopics};
use crate::kafka::read::{Start, TopicReader};
use crate::registry::Reading;

/// List the live assignments that have not expired
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent segments list --purpose personalized-offers --json")]
pub struct Args {
    #[arg(long)]
    purpose: Option<String>,
    /// Only those in this segment.
    #[arg(long)]
    segment: Option<String>,
    /// At most this many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// The last value of each key that is not a tombstone, by purpose and pseudonym.
pub struct Live {
    pub assignments: BTreeMap<(String, String), SegmentAssignment>,
    pub unreadable: u64,
}

pub fn run(args: &Args, config: &Config, declared: &[String], is_json: bool) -> Result<()> {
    let topics = SegmentTopics::new(config, &chosen(args.purpose.as_ref(), declared)?);
    let reader = TopicReader::topics(config, topics.names(), Start::Beginning)?;
    let live = Live::read(&topics, &reader, &mut Reading::open(config)?)?;
    let now = SystemClock.now();
    let is_wanted = |assignment: &&SegmentAssignment| {
        assignment.expires_at > now
            && args.segment.as_ref().is_none_or(|id| assignment.segments.contains(id))
    };
    let wanted = live.assignments.values().filter(is_wanted);
    for assignment in wanted.take(args.limit.unwrap_or(usize::MAX)) {
        if is_json {
            stdout::json(assignment)?;
        } else {
            stdout::line(&render(assignment))?;
        }
    }
    if live.unreadable > 0 {
        stderr::warning(&format!("{} values of the segment topics can't be read", live.unreadable));
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
        let mut live = Self { assignments: BTreeMap::new(), unreadable: 0 };
        let bar = progress::bar(0, "records");
        reader.try_read_to_end(
            |message| {
                live.apply(topics.read(message, schemas)?);
                Ok(())
            },
            |at| {
                bar.set_length(at.total);
                bar.set_position(at.done);
            },
        )?;
        bar.finish_and_clear();
        Ok(live)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Assigned(assignment) => {
                let key = (assignment.purpose.clone(), assignment.pseudonym.clone());
                self.assignments.insert(key, assignment);
            }
            Change::Removed(removal) => {
                self.assignments.remove(&(removal.purpose, removal.pseudonym));
            }
            Change::Unreadable(_) => self.unreadable += 1,
        }
    }
}
