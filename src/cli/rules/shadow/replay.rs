//! What the new rulebook makes of a partition's inputs, from the first record that the topics hold: as a group
//! that begins today would decide them. Nothing is written.

use std::sync::Arc;

use indicatif::ProgressBar;

use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::scan::{Ends, Scan};
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::{ClickReader, ConsentReader, ConsentReading};
use assent_core::engine::input::{ClickInput, ConsentInput, Coverage};
use assent_core::engine::{OpenBatch, Partition, Restore, Setup};
use assent_verify::{Readers, Record};

/// Inputs that are decided together: bounds what is undone, and what would be written.
const BATCH_MAX: usize = 10_000;

/// Where the inputs lie.
pub struct Inputs<'a> {
    pub config: &'a Config,
    pub ends: &'a Ends<'a>,
    pub setup: &'a Arc<Setup>,
    /// Older clicks don't count; `None`: all that the topic holds.
    pub since: Option<Timestamp>,
    pub bar: &'a ProgressBar,
}

/// A partition that the new rulebook decided, and how far back its clicks reach.
pub struct Replayed {
    pub partition: Partition,
    /// `None`: to the first click that there ever was.
    pub reaches_to: Option<Timestamp>,
}

impl Inputs<'_> {
    /// All consent, and then the clicks, at one `now`.
    pub fn replay(&self, number: i32, now: Timestamp) -> Result<Replayed> {
        let topics = &self.config.topics;
        let consent_from = self.ends.low(&topics.consent, number)?;
        let consent_to = self.ends.committed(&topics.consent, number)?;
        let low = self.ends.low(&topics.clickstream, number)?;
        let click_to = self.ends.committed(&topics.clickstream, number)?;
        let click_from = match self.since {
            None => low,
            Some(at) => self.ends.since(&topics.clickstream, number, at)?.unwrap_or(click_to),
        };
        let mut partition = Restore::new(number)
            .finish(Arc::clone(self.setup))
            .map_err(|refusal| Failure::failed(refusal.to_string()))?;
        partition.start_at(click_from, consent_from);
        let readers = self.readers();
        let mut at = Coverage {
            click_to: click_from,
            consent_to: consent_from,
            barrier: consent_from,
            synced: None,
        };
        let range = (consent_from, consent_to);
        partition =
            self.decide(partition, (&topics.consent, number), range, now, &mut |open, record| {
                let reading = readers.read_consent(number, record, &record.known);
                open.consent(&consent_input(record, &reading));
                at.consent_to = record.offset + 1;
                at.barrier = at.consent_to;
                at
            })?;
        let mut oldest = None;
        let range = (click_from, click_to);
        partition = self.decide(
            partition,
            (&topics.clickstream, number),
            range,
            now,
            &mut |open, record| {
                oldest.get_or_insert(record.timestamp);
                open.click(&ClickInput {
                    offset: record.offset,
                    payload: record.value.as_deref(),
                    click: readers.read_click(number, record, &record.known),
                });
                at.click_to = record.offset + 1;
                at
            },
        )?;
        let is_whole = low == 0 && click_from == low;
        let from = self.since.filter(|_| click_from > low);
        let reaches_to = (!is_whole).then(|| from.or(oldest).unwrap_or(now));
        Ok(Replayed { partition: partition.swept(now), reaches_to })
    }

    /// In batches, each confirmed as if it had been committed. `take` hands a record to the batch and says what
    /// the batch covers with it.
    fn decide(
        &self,
        mut partition: Partition,
        (topic, number): (&str, i32),
        (from, to): (i64, i64),
        now: Timestamp,
        take: &mut dyn FnMut(&mut OpenBatch, &Record) -> Coverage,
    ) -> Result<Partition> {
        self.bar.inc_length((to - from).max(0) as u64);
        let mut scan = Scan::open(self.config, topic, number, from, to)?;
        let mut next = scan.next_record()?;
        while next.is_some() {
            let mut open = partition.begin(now, true);
            let (mut taken, mut coverage) = (0, None);
            while taken < BATCH_MAX
                && let Some(record) = next
            {
                coverage = Some(take(&mut open, &record));
                self.bar.inc(1);
                taken += 1;
                next = scan.next_record()?;
            }
            let coverage = coverage.expect("a batch has a record");
            partition = open.finish(coverage).0.confirm();
        }
        Ok(partition)
    }

    fn readers(&self) -> Readers {
        let Setup { rulebook, partitioner, input_partitions, .. } = &**self.setup;
        Readers {
            clicks: ClickReader::new(rulebook.fields, *partitioner, *input_partitions),
            consent: ConsentReader::new(*partitioner, *input_partitions),
        }
    }
}

fn consent_input<'r>(record: &'r Record, reading: &'r ConsentReading) -> ConsentInput<'r> {
    ConsentInput {
        offset: record.offset,
        append_time: record.timestamp,
        key: record.key.as_deref().unwrap_or_default(),
        payload: record.value.as_deref(),
        body: reading.body(),
    }
}
