//! A chain held against what was published of it. The log has a chain's entries in its order, so both are
//! read once, side by side.

use std::collections::BTreeSet;

use assent_evidence::entry::Entry;

use super::log::Published;
use super::result::{Outcome, Place};
use crate::failure::Result;
use assent_contract::domain::audit::verify::{FaultKind, Link};
use assent_contract::domain::hex::hex;
use assent_contract::domain::time::Timestamp;

pub struct Against<'a> {
    published: Published<'a>,
    /// Read and not held against anything yet.
    next: Option<Entry>,
    /// What was decided since must still be there.
    kept_since: Timestamp,
    /// A batch of the chain was met.
    has_begun: bool,
    /// Of what was met, the highest sequence.
    last: i64,
    /// Published before the first batch that was met, and not removed by retention: the first of it, and the
    /// sequence after its last.
    before: Option<(i64, i64)>,
    /// What lay behind later batches.
    late: BTreeSet<i64>,
}

/// What lay too late is remembered so far; beyond, a missing beginning may be named that is there.
const LATE_MAX: usize = 10_000;

impl<'a> Against<'a> {
    /// `kept_since`: what was decided earlier may have been removed by retention.
    pub fn new(mut published: Published<'a>, kept_since: Timestamp) -> Result<Self> {
        let next = published.next_entry()?;
        Ok(Self {
            published,
            next,
            kept_since,
            has_begun: false,
            last: -1,
            before: None,
            late: BTreeSet::new(),
        })
    }

    /// The next batch that continues the chain.
    pub fn hold(&mut self, link: &Link, chain: &str, outcome: &mut Outcome) -> Result<()> {
        while let Some(entry) = self.next.take_if(|entry| entry.sequence < link.sequence) {
            // Behind the first batch the chain itself tells what is missing.
            if !self.has_begun && self.must_be_there(&entry) {
                let first = self.before.map_or(entry.sequence, |(first, _)| first);
                self.before = Some((first, entry.sequence + 1));
            }
            self.next = self.published.next_entry()?;
        }
        (self.has_begun, self.last) = (true, link.sequence);
        if let Some(entry) = self.next.take_if(|entry| entry.sequence == link.sequence) {
            if entry.sha256 != link.hash {
                let detail = format!(
                    "it has another hash than the one that was published, {}",
                    hex(&entry.sha256)
                );
                let place = Place { offset: Some(link.offset), detail: &detail };
                outcome.fault(chain, link.sequence, FaultKind::Altered, place);
            }
            self.next = self.published.next_entry()?;
        }
        Ok(())
    }

    /// One that does not continue the chain, or what stands in its place and is no batch.
    pub fn note_late(&mut self, sequence: i64) {
        if self.late.len() < LATE_MAX {
            self.late.insert(sequence);
        }
    }

    /// What was published and did not come: the beginning or the end of the chain was removed.
    pub fn finish(mut self, chain: &str, outcome: &mut Outcome) -> Result<()> {
        if let Some((first, end)) = self.before
            && let Some(missing) = (first..end).find(|sequence| !self.late.contains(sequence))
        {
            is_missing(chain, missing, outcome);
        }
        while let Some(entry) = self.next.take() {
            let is_late = self.late.contains(&entry.sequence);
            if entry.sequence > self.last && !is_late && self.must_be_there(&entry) {
                is_missing(chain, entry.sequence, outcome);
                return Ok(());
            }
            self.next = self.published.next_entry()?;
        }
        Ok(())
    }

    /// Retention can't have taken it.
    fn must_be_there(&self, entry: &Entry) -> bool {
        Timestamp(entry.decided_at) >= self.kept_since
    }
}

fn is_missing(chain: &str, sequence: i64, outcome: &mut Outcome) {
    let place = Place { offset: None, detail: "it was published, and is not there any more" };
    outcome.fault(chain, sequence, FaultKind::Missing, place);
}
