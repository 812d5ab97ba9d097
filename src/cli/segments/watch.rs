//! `assent segments watch`: assignments and tombstones as they are committed.

use std::time::Duration;

use serde_json::json;

use super::super::{stderr, stdout};
use super::{chosen, render};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::assignments::{Change, Removal, SegmentTopics};
use crate::kafka::read::{Start, TopicReader};
use crate::registry::Reading;
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Rulebook;

/// Print changes of the segment topics until interrupted
///
/// Prints the assignments and tombstones that are committed from now on. A tombstone is shown with
/// its reason and with how long ago it was decided.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  assent segments watch --purpose partner-advertising")]
pub struct Args {
    /// Show only this purpose
    #[arg(long)]
    purpose: Option<String>,
    /// Print what the topics already hold first
    #[arg(long)]
    from_start: bool,
}

pub fn run(args: &Args, config: &Config, rulebook: &Rulebook, is_json: bool) -> Result<()> {
    let topics = SegmentTopics::new(config, &chosen(args.purpose.as_ref(), rulebook)?);
    let start = if args.from_start { Start::Beginning } else { Start::End };
    let reader = TopicReader::topics(config, topics.names(), start)?;
    let mut schemas = Reading::open(config)?.for_ever();
    loop {
        let Some(message) = reader.next(Duration::from_millis(100)) else { continue };
        let now = SystemClock.now();
        match topics.read(&message, &mut schemas)? {
            Change::Assigned(assignment) if is_json => stdout::json(&assignment)?,
            Change::Assigned(assignment) => {
                stdout::line(&format!("+ {}", render(&assignment)))?;
            }
            Change::Removed(removal) if is_json => stdout::json(&to_json(&removal, now))?,
            Change::Removed(removal) => stdout::line(&render_removal(&removal, now))?,
            Change::Unreadable(value) => {
                stderr::warning(&format!("a value can't be read: {}", shown(&value.why)));
            }
        }
    }
}

fn age_ms(removal: &Removal, now: Timestamp) -> Option<i64> {
    removal.decided_at.map(|decided_at| (now - decided_at).0)
}

fn to_json(removal: &Removal, now: Timestamp) -> serde_json::Value {
    json!({
        "pseudonym": removal.pseudonym,
        "purpose": removal.purpose,
        "segments": null,
        "reason": removal.reason,
        "decided_at": removal.decided_at,
        "age_ms": age_ms(removal, now),
    })
}

fn render_removal(removal: &Removal, now: Timestamp) -> String {
    let Removal { pseudonym, purpose, reason, .. } = removal;
    let age = age_ms(removal, now).map(|age| format!("  decided {age} ms ago"));
    let (pseudonym, reason) = (shown(pseudonym), shown(reason));
    format!("- {pseudonym}  {purpose}  {reason}{}", age.unwrap_or_default())
}
