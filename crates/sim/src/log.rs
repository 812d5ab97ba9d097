//! The simulated log: topics, offsets, transactions with their control records, what a reader of
//! committed records sees, compaction and retention.
//!
//! Nothing that was ever appended is forgotten: what compaction or retention took is only marked, so
//! that the auditor sees the whole truth.

use std::collections::BTreeMap;

use assent_contract::domain::intake::Rejection;
use assent_contract::domain::time::{Span, Timestamp};
use assent_core::engine::input::DeadClicks;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    Clicks,
    Consent,
    /// By the place of its purpose in the workload's list.
    Segments(u8),
    Contextual,
    DeadLetters,
    Audit,
    State,
}

pub type Headers = Vec<(&'static str, String)>;

/// A record to append.
#[derive(Clone, Default)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

/// A record as it lies in its partition; its place there is its offset.
pub struct Stored {
    pub record: Record,
    /// The broker's clock.
    pub appended_at: Timestamp,
    /// Counts all appends of the cluster: what came before what.
    pub order: u64,
    pub transaction: Option<usize>,
    pub is_control: bool,
    /// Taken by compaction or retention, at this order.
    pub removed: Option<u64>,
    /// First and last offset of its batch, where that was damaged: nobody can read it.
    pub damaged: Option<(i64, i64)>,
}

/// What becomes of clicks of a damaged batch: the same wherever it is met.
pub fn dead_clicks((first, last): (i64, i64)) -> DeadClicks {
    DeadClicks { first, last, is_batch: true, rejection: Rejection::unreadable("simulated damage") }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    Committed,
    Aborted,
}

#[derive(Default)]
pub struct Partition {
    pub records: Vec<Stored>,
    /// Open transactions and their first offsets here.
    open: BTreeMap<usize, usize>,
}

#[derive(Default)]
pub struct Log {
    partitions: BTreeMap<(Topic, i32), Partition>,
    pub fates: Vec<Fate>,
    pub order: u64,
    /// Of everything that happened: equal for equal histories.
    pub trace: Trace,
}

/// For how long compaction leaves tombstones: `delete.retention.ms` as `assent topics create` sets it.
pub const DELETE_RETENTION: Span = Span(30 * Span::DAY.0);

/// Which tombstones compaction may take: those past `delete.retention`.
#[derive(Clone, Copy)]
pub struct Outdated {
    pub before: Timestamp,
    /// By offset: who reads the topic had them all.
    pub below: i64,
}

/// FNV-1a, 64 bits.
pub struct Trace(pub u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    pub fn note(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub fn count(&mut self, number: i64) {
        self.note(&number.to_le_bytes());
    }
}

impl Log {
    pub fn partition(&mut self, topic: Topic, partition: i32) -> &mut Partition {
        self.partitions.entry((topic, partition)).or_default()
    }

    pub fn get(&self, topic: Topic, partition: i32) -> &[Stored] {
        self.partitions.get(&(topic, partition)).map_or(&[], |found| found.records.as_slice())
    }

    pub fn topics(&self) -> impl Iterator<Item = (Topic, i32, &[Stored])> {
        self.partitions
            .iter()
            .map(|(&(topic, number), found)| (topic, number, found.records.as_slice()))
    }

    /// Returns the offset.
    pub fn append(
        &mut self,
        (topic, partition): (Topic, i32),
        record: Record,
        now: Timestamp,
        transaction: Option<usize>,
    ) -> i64 {
        self.trace.count(i64::from(partition));
        self.trace.note(record.key.as_deref().unwrap_or(b"-"));
        self.trace.note(record.value.as_deref().unwrap_or(b"-"));
        self.put((topic, partition), record, now, transaction, false)
    }

    fn put(
        &mut self,
        (topic, partition): (Topic, i32),
        record: Record,
        appended_at: Timestamp,
        transaction: Option<usize>,
        is_control: bool,
    ) -> i64 {
        self.order += 1;
        let order = self.order;
        let place = self.partition(topic, partition);
        let offset = place.records.len();
        if let Some(transaction) = transaction.filter(|_| !is_control) {
            place.open.entry(transaction).or_insert(offset);
        }
        let (removed, damaged) = (None, None);
        place.records.push(Stored {
            record,
            appended_at,
            order,
            transaction,
            is_control,
            removed,
            damaged,
        });
        offset as i64
    }

    pub fn begin(&mut self) -> usize {
        self.fates.push(Fate::Open);
        self.fates.len() - 1
    }

    /// Ends a transaction: a control record in every partition that it touched.
    pub fn end(&mut self, transaction: usize, committed: bool, now: Timestamp) {
        self.fates[transaction] = if committed { Fate::Committed } else { Fate::Aborted };
        self.trace.count(i64::from(committed));
        let touched: Vec<(Topic, i32)> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.open.contains_key(&transaction))
            .map(|(&place, _)| place)
            .collect();
        for (topic, partition) in touched {
            self.put((topic, partition), Record::default(), now, Some(transaction), true);
            self.partition(topic, partition).open.remove(&transaction);
        }
    }

    pub fn high_watermark(&self, topic: Topic, partition: i32) -> i64 {
        self.get(topic, partition).len() as i64
    }

    pub fn last_stable_offset(&self, topic: Topic, partition: i32) -> i64 {
        let open = self.partitions.get(&(topic, partition)).and_then(|it| it.open.values().min());
        open.map_or(self.high_watermark(topic, partition), |&first| first as i64)
    }

    /// Is it there for a reader of committed records?
    pub fn is_visible(&self, stored: &Stored) -> bool {
        stored.removed.is_none() && self.is_committed(stored)
    }

    /// Data that is or once was visible.
    pub fn is_committed(&self, stored: &Stored) -> bool {
        !stored.is_control && stored.transaction.is_none_or(|it| self.fates[it] == Fate::Committed)
    }

    /// The visible records from an offset on, at most so many, and where the next fetch begins: past
    /// control records and aborted ones, not past the last stable offset.
    pub fn fetch(&self, topic: Topic, partition: i32, from: i64, most: usize) -> (Vec<i64>, i64) {
        let end = self.last_stable_offset(topic, partition);
        let records = self.get(topic, partition);
        let mut found = Vec::new();
        for offset in from..end {
            if self.is_visible(&records[offset as usize]) {
                if found.len() == most {
                    return (found, offset);
                }
                found.push(offset);
            }
        }
        (found, end.max(from))
    }

    /// What log compaction does below the last stable offset: of each key the last record stays, unless
    /// it is a tombstone that is outdated. Aborted records go. No partition is compacted in which there is
    /// something that can't be read.
    pub fn compact(&mut self, topic: Topic, partition: i32, outdated: Outdated) {
        let end = self.last_stable_offset(topic, partition) as usize;
        self.order += 1;
        let order = self.order;
        let fates = &self.fates;
        let Some(place) = self.partitions.get_mut(&(topic, partition)) else { return };
        let mut last: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        if place.records[..end].iter().any(|it| it.damaged.is_some()) {
            return;
        }
        let committed = |it: &Stored| it.transaction.is_none_or(|it| fates[it] == Fate::Committed);
        for (offset, stored) in place.records[..end].iter().enumerate() {
            if !stored.is_control && stored.removed.is_none() && committed(stored) {
                last.insert(stored.record.key.clone().unwrap_or_default(), offset);
            }
        }
        for (offset, stored) in place.records[..end].iter_mut().enumerate() {
            let key = stored.record.key.as_deref().unwrap_or_default();
            let is_last = last.get(key) == Some(&offset);
            let is_old_tombstone = stored.record.value.is_none()
                && stored.appended_at < outdated.before
                && (offset as i64) < outdated.below;
            if !stored.is_control && stored.removed.is_none() && (!is_last || is_old_tombstone) {
                stored.removed = Some(order);
            }
        }
    }

    /// The disk damages what lies there, as one batch.
    pub fn damage(&mut self, topic: Topic, partition: i32, (first, last): (i64, i64)) {
        self.trace.count(first);
        for stored in &mut self.partition(topic, partition).records[first as usize..=last as usize]
        {
            stored.damaged = Some((first, last));
        }
    }

    /// DeleteRecords: what lies below an offset is gone.
    pub fn delete_below(&mut self, topic: Topic, partition: i32, offset: i64) {
        self.order += 1;
        let order = self.order;
        let records = &mut self.partition(topic, partition).records;
        let end = (offset as usize).min(records.len());
        for stored in &mut records[..end] {
            stored.removed.get_or_insert(order);
        }
    }
}
