//! How a partition's state lies in assent-state: few records a transaction, a bounded topic, and an
//! erased subject's bytes gone like a tombstone's.
//!
//! | key | value | written |
//! |---|---|---|
//! | `a` | the [`AudienceRecord`](super::audience::AudienceRecord) | every transaction, where a purpose has a minimum audience |
//! | `meta` | the [`Ledger`](super::ledger::Ledger) | every transaction |
//! | `d/<n>` | a delta: the subjects that a transaction changed, or removed | every transaction that changed some |
//! | `b/<bucket>/<chunk>` | a bucket: all subjects whose token begins with that byte | in turn |
//! | `r/<sha256>` | a rulebook's file | before the first transaction that it decides |
//! | `n` | numbers of undeclared purposes that records of format 1 still use | once, after that format |
//! | `l/<sequence>` | what was lost, in words | by `state accept-loss`, with the audit batch of that number |
//!
//! For every byte of delta about one byte of buckets is rewritten; when all 256 have had their turn,
//! the deltas from before that pass are removed. So the topic's live records hold at most about
//! three times the state, and restore reads no more. A pass also ends within [`PASS_MAX`]: with
//! `max.compaction.lag.ms` of 24 h, what a delta said of an erased subject is meant to be gone
//! within 48 h. Restore applies records in the order of their offsets: a later one wins.

use super::at_hand::{After, Packed};
use super::ledger::{Cycle, FORMAT, Ledger, pack_former_names};
use super::output::Output;
use super::pack::pack_signal;
use super::token::{BUCKETS, StateToken};
use assent_contract::domain::audit::Sha256Hash;
use assent_contract::domain::binary::Write;
use assent_contract::domain::hex::hex;
use assent_contract::domain::merge::PurposeNames;
use assent_contract::domain::time::{Span, Timestamp};

/// A pass over all buckets takes at most this long while there are deltas to take in.
pub const PASS_MAX: Span = Span(12 * Span::HOUR.0);

/// A record's size: four fit into the broker's default `message.max.bytes` of 1 MiB, with room.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// Deltas removed a transaction at most: a pass leaves as many as it took transactions.
const TRIM_PER_BATCH_MAX: i64 = 64;

/// How many records each bucket has in the topic: those that a smaller bucket no longer needs are
/// removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketChunks(pub Vec<u16>);

impl Default for BucketChunks {
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

pub fn meta_key() -> Vec<u8> {
    b"meta".to_vec()
}

pub fn audience_key() -> Vec<u8> {
    b"a".to_vec()
}

pub fn former_names_key() -> Vec<u8> {
    b"n".to_vec()
}

pub fn rulebook_key(sha256: &Sha256Hash) -> Vec<u8> {
    format!("r/{}", hex(sha256)).into_bytes()
}

/// The record of an accepted loss.
pub fn loss_key(sequence: i64) -> Vec<u8> {
    format!("l/{sequence}").into_bytes()
}

/// The first record of every bucket: without a value, it takes what was restored of the bucket before.
pub fn bucket_heads() -> impl Iterator<Item = Vec<u8>> {
    (0..BUCKETS).map(|bucket| bucket_key(bucket, 0))
}

/// Does a state begin anew with this record, in place of one that was lost? What lies before no longer counts.
pub fn begins_anew(key: &[u8], value: Option<&[u8]>) -> bool {
    let ledger = value.filter(|_| key == meta_key()).map(Ledger::unpack);
    ledger.is_some_and(|read| read.is_ok_and(|(ledger, _)| ledger.recovering))
}

/// Is this key of evidence, which a lost state's successor keeps?
pub fn is_evidence(key: &[u8]) -> bool {
    key.starts_with(b"r/") || key.starts_with(b"l/")
}

fn delta_key(number: i64) -> Vec<u8> {
    format!("d/{number}").into_bytes()
}

fn bucket_key(bucket: usize, chunk: usize) -> Vec<u8> {
    format!("b/{bucket}/{chunk}").into_bytes()
}

/// Writes a transaction's part of the state.
pub struct Store<'a> {
    pub after: After<'a>,
    pub names: &'a PurposeNames,
    pub layout: &'a Sha256Hash,
    pub chunks: &'a mut BucketChunks,
    /// What becomes of the record of the audiences; `None`: nothing.
    pub audience: Option<Option<Vec<u8>>>,
    pub outputs: &'a mut Vec<Output>,
}

impl Store<'_> {
    /// Leaves the ledger as it is written.
    pub fn write(&mut self, ledger: &mut Ledger) {
        let now = ledger.now;
        ledger.cycle.debt += self.write_delta(&mut ledger.cycle);
        if self.after.subjects.signals.have_ended() {
            ledger.cycle.ask_for_pass();
        }
        self.run_pass(&mut ledger.cycle, now);
        self.trim(&mut ledger.cycle);
        if std::mem::take(&mut ledger.former_names) {
            self.put(former_names_key(), Some(pack_former_names(self.names)));
        }
        if let Some(value) = self.audience.take() {
            self.put(audience_key(), value);
        }
        self.put(meta_key(), Some(ledger.pack(self.names)));
    }

    /// Returns the bytes written.
    fn write_delta(&mut self, cycle: &mut Cycle) -> i64 {
        let mut written = 0;
        for value in pack_records(self.layout, self.after.changed()) {
            written += value.len() as i64;
            self.put(delta_key(cycle.next_delta), Some(value));
            cycle.next_delta += 1;
        }
        written
    }

    /// Rewrites buckets: as many as the deltas have paid for, and as the time of the pass asks for.
    fn run_pass(&mut self, cycle: &mut Cycle, now: Timestamp) {
        if !cycle.pass_is_on() {
            if cycle.next_delta == cycle.trim_to {
                cycle.debt = 0;
                return;
            }
            cycle.begin_pass(now);
        }
        while cycle.pass_is_on() {
            let bucket = cycle.bucket as usize;
            if !self.is_bare(bucket) {
                if cycle.debt <= 0 && cycle.bucket >= cycle.buckets_due(now) {
                    break;
                }
                cycle.debt -= self.write_bucket(bucket);
            }
            cycle.end_bucket();
        }
        cycle.debt = cycle.debt.max(0);
    }

    /// Nothing to write, nothing to remove.
    fn is_bare(&self, bucket: usize) -> bool {
        self.chunks.0[bucket] == 0 && self.after.bucket_is_empty(bucket)
    }

    /// Returns the bytes written.
    fn write_bucket(&mut self, bucket: usize) -> i64 {
        let subjects = self.after.bucket(bucket);
        let packed = subjects.into_iter().map(|(token, packed)| (token, Some(packed)));
        let values = pack_records(self.layout, packed);
        let (before, after) = (usize::from(self.chunks.0[bucket]), values.len());
        let mut written = 1;
        for (chunk, value) in values.into_iter().enumerate() {
            written += value.len() as i64;
            self.put(bucket_key(bucket, chunk), Some(value));
        }
        for chunk in after..before {
            self.put(bucket_key(bucket, chunk), None);
        }
        self.chunks.0[bucket] = after as u16;
        written
    }

    fn trim(&mut self, cycle: &mut Cycle) {
        let to = cycle.trim_to.min(cycle.floor + TRIM_PER_BATCH_MAX);
        for number in cycle.floor..to {
            self.put(delta_key(number), None);
        }
        cycle.floor = to;
    }

    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.outputs.push(Output::State { key, value });
    }
}

impl Cycle {
    fn pass_is_on(&self) -> bool {
        self.pass_delta > self.trim_to
    }

    /// Is something to be taken in that a pass under way may have gone by?
    pub fn is_asked_for_pass(&self) -> bool {
        self.next_delta > self.pass_delta
    }

    /// What no delta says is to leave the buckets: a delta without a record.
    fn ask_for_pass(&mut self) {
        if !self.is_asked_for_pass() {
            self.next_delta += 1;
        }
    }

    fn begin_pass(&mut self, now: Timestamp) {
        self.pass_delta = self.next_delta;
        self.pass_began = now;
        self.bucket = 0;
    }

    fn end_bucket(&mut self) {
        self.bucket += 1;
        if self.bucket == BUCKETS as i64 {
            self.trim_to = self.pass_delta;
            self.bucket = 0;
        }
    }

    fn buckets_due(&self, now: Timestamp) -> i64 {
        let elapsed = (now - self.pass_began).0.clamp(0, PASS_MAX.0);
        BUCKETS as i64 * elapsed / PASS_MAX.0
    }

    /// When the upkeep of the state next needs a transaction of its own, if nothing else asks for one.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        if self.floor < self.trim_to {
            Some(now + Span::SECOND)
        } else if self.pass_is_on() {
            let next = (self.bucket + 1) * PASS_MAX.0 / BUCKETS as i64;
            Some(self.pass_began + Span(next + 1))
        } else {
            (self.next_delta > self.trim_to).then_some(now + Span::HOUR)
        }
    }
}

/// `format, layout, then (token, length, subject)…`; a length of 0 removes the subject. An empty
/// list gives no record.
fn pack_records<'a>(
    layout: &Sha256Hash,
    subjects: impl Iterator<Item = (StateToken, Option<Packed<'a>>)>,
) -> Vec<Vec<u8>> {
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut signal = Vec::new();
    for (token, packed) in subjects {
        let packed = match packed {
            None => &[],
            Some(Packed::Bytes(bytes)) => bytes,
            Some(Packed::Signal(minute)) => {
                signal.clear();
                pack_signal(minute, &mut signal);
                &signal[..]
            }
        };
        let size = 16 + 5 + packed.len();
        let record = match records.last_mut() {
            Some(last) if last.len() + size <= RECORD_BYTES_MAX => last,
            _ => {
                let mut record = vec![FORMAT];
                record.put_fixed(layout);
                records.push(record);
                records.last_mut().expect("just pushed")
            }
        };
        record.put_fixed(&token.to_be_bytes());
        record.put_bytes(packed);
    }
    records
}
