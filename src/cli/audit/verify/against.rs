//! A chain held against what was published of it. The log has a chain's entries in its order, so both are
//! read once, side by side.

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
    /// That the beginning is missing was said.
    is_told: bool,
}

impl<'a> Against<'a> {
    /// `kept_since`: what was decided earlier may have been removed by retention.
    pub fn new(mut published: Published<'a>, kept_since: Timestamp) -> Result<Self> {
        let next = published.next_entry()?;
        Ok(Self { published, next, kept_since, has_begun: false, last: -1, is_told: false })
    }

    /// The next batch that continues the chain.
    pub fn hold(&mut self, chain: &str, link: &Link, outcome: &mut Outcome) -> Result<()> {
        while let Some(entry) = self.next.take_if(|entry| entry.sequence < link.sequence) {
            // Behind the first batch the chain itself tells what is missing.
            if !self.has_begun && !self.is_told {
                self.is_told = self.is_missing(chain, &entry, outcome);
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

    /// What was published and did not come: the end of the chain was removed.
    pub fn finish(mut self, chain: &str, outcome: &mut Outcome) -> Result<()> {
        while let Some(entry) = self.next.take() {
            if entry.sequence > self.last && self.is_missing(chain, &entry, outcome) {
                return Ok(());
            }
            self.next = self.published.next_entry()?;
        }
        Ok(())
    }

    /// Where retention can't have taken it.
    fn is_missing(&self, chain: &str, entry: &Entry, outcome: &mut Outcome) -> bool {
        let is_missing = Timestamp(entry.decided_at) >= self.kept_since;
        if is_missing {
            let place =
                Place { offset: None, detail: "it was published, and is not there any more" };
            outcome.fault(chain, entry.sequence, FaultKind::Missing, place);
        }
        is_missing
    }
}
