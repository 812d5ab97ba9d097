//! The index's file: a redb database of this version and topic.
//!
//! ```text
//! meta      "topic"                  → what it is an index of
//! progress  partition                → the offset that is read next
//! runs      partition, run           → last offset | bytes
//! entries   run, 4 bytes | token, 17 → the token's entries in this run, sealed
//! batches   partition, offset        → the batch without its entries, sealed
//! losses    partition, offset        → the batch records an accepted loss
//! damage    partition, offset        → why there is no batch
//! ```
//!
//! A run is written in one transaction with the batches and the progress that belong to it, so a crash
//! leaves an index of fewer runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use redb::{
    AccessGuard, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, WriteTransaction,
};

use super::run::{self, Run};
use super::{Damage, FAULTS_MAX, Placed};
use crate::failure::Failure;
use assent_contract::domain::audit::{AuditBatch, AuditToken, loss};
use assent_inquiry::row::Found;

/// What the file has; another number is another file.
const FORMAT: u32 = 1;

/// Of redb's own pages, besides the run that is being built.
const CACHE_BYTES: usize = 64 << 20;

/// A run that is larger is left as it is; smaller ones become one.
pub const RUN_BYTES: usize = 32 << 20;

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const PROGRESS: TableDefinition<u32, i64> = TableDefinition::new("progress");
const RUNS: TableDefinition<(u32, u32), (i64, u64)> = TableDefinition::new("runs");
const ENTRIES: TableDefinition<&[u8; 21], &[u8]> = TableDefinition::new("entries");
const BATCHES: TableDefinition<(u32, i64), &[u8]> = TableDefinition::new("batches");
const LOSSES: TableDefinition<(u32, i64), ()> = TableDefinition::new("losses");
const DAMAGE: TableDefinition<(u32, i64), &str> = TableDefinition::new("damage");

/// Why the index can't be used.
#[derive(Debug)]
pub enum StoreError {
    /// It is to be made anew.
    Damaged(String),
    /// Somebody else has it open.
    Busy,
    File(String),
    /// Not of the index at all.
    Other(Failure),
}

impl StoreError {
    pub fn into_failure(self, path: &Path) -> Failure {
        let path = path.display();
        Failure::failed(match self {
            Self::Damaged(why) => {
                format!("--index {path}: the index was damaged ({why}) and removed; run again")
            }
            Self::Busy => format!(
                "--index {path}: another command uses the index; wait for it, or name another \
                 directory"
            ),
            Self::File(why) => {
                format!("--index {path}: {why}; check the disk, or name another directory")
            }
            Self::Other(failure) => return failure,
        })
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

fn store_error(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => StoreError::Busy,
        redb::Error::Io(error) if error.kind() != std::io::ErrorKind::InvalidData => {
            StoreError::File(error.to_string())
        }
        other => StoreError::Damaged(other.to_string()),
    }
}

type Answer<T> = Result<T, StoreError>;

pub struct Store {
    database: Database,
}

/// What was read of a partition and is not written yet.
#[derive(Default)]
pub struct Draft {
    pub run: Run,
    /// By offset: the batch without entries.
    pub batches: Vec<(i64, AuditBatch)>,
    pub damage: Vec<(i64, String)>,
    /// Everything before was read.
    pub next: i64,
}

impl Store {
    /// `topic`: what it is an index of.
    pub fn open(path: &Path, topic: &str) -> Answer<Self> {
        let mut builder = Database::builder();
        let opened = builder.set_cache_size(CACHE_BYTES).create(path);
        let database = opened.map_err(|error: DatabaseError| store_error(error))?;
        let store = Self { database };
        store.claim(&format!("{FORMAT} {topic}"))?;
        Ok(store)
    }

    fn claim(&self, identity: &str) -> Answer<()> {
        let write = self.write()?;
        {
            let mut meta = write.open_table(META).map_err(store_error)?;
            let known = meta.get("topic").map_err(store_error)?.map(|it| it.value().to_vec());
            match known {
                Some(known) if known == identity.as_bytes() => {}
                Some(_) => {
                    return Err(StoreError::Damaged(
                        "it is one of another topic or version".to_owned(),
                    ));
                }
                None => {
                    meta.insert("topic", identity.as_bytes()).map_err(store_error)?;
                }
            }
        }
        write.open_table(BATCHES).map_err(store_error)?;
        write.open_table(PROGRESS).map_err(store_error)?;
        write.open_table(RUNS).map_err(store_error)?;
        write.open_table(ENTRIES).map_err(store_error)?;
        write.open_table(LOSSES).map_err(store_error)?;
        write.open_table(DAMAGE).map_err(store_error)?;
        write.commit().map_err(store_error)
    }

    /// The offset that is read next.
    pub fn next(&self, partition: i32) -> Answer<i64> {
        let read = self.database.begin_read().map_err(store_error)?;
        let progress = read.open_table(PROGRESS).map_err(store_error)?;
        let next = progress.get(partition as u32).map_err(store_error)?;
        Ok(next.map_or(0, |it| it.value()))
    }

    /// Writes what was read, at once.
    pub fn append(&self, partition: i32, draft: &mut Draft) -> Answer<()> {
        let write = self.write()?;
        let of = partition as u32;
        {
            let mut batches = write.open_table(BATCHES).map_err(store_error)?;
            let mut losses = write.open_table(LOSSES).map_err(store_error)?;
            for (offset, head) in draft.batches.drain(..) {
                if loss::statement(&head.rulebook).is_some() {
                    losses.insert((of, offset), ()).map_err(store_error)?;
                }
                let mut body = Vec::new();
                head.encode(&mut body);
                let sealed = run::sealed([body.as_slice()].into_iter());
                batches.insert((of, offset), sealed.as_slice()).map_err(store_error)?;
            }
            let mut damage = write.open_table(DAMAGE).map_err(store_error)?;
            for (offset, why) in draft.damage.drain(..) {
                damage.insert((of, offset), why.as_str()).map_err(store_error)?;
            }
            let mut progress = write.open_table(PROGRESS).map_err(store_error)?;
            progress.insert(of, draft.next).map_err(store_error)?;
        }
        if !draft.run.is_empty() {
            write_run(&write, of, draft)?;
        }
        draft.run = Run::default();
        write.commit().map_err(store_error)
    }

    /// Removes what the topic no longer holds. Of a run that reaches beyond, entries stay and are passed over.
    pub fn forget(&self, partition: i32, low: i64) -> Answer<()> {
        let (write, of) = (self.write()?, partition as u32);
        {
            let mut batches = write.open_table(BATCHES).map_err(store_error)?;
            batches.retain_in((of, i64::MIN)..(of, low), |_, _| false).map_err(store_error)?;
            let mut damage = write.open_table(DAMAGE).map_err(store_error)?;
            damage.retain_in((of, i64::MIN)..(of, low), |_, _| false).map_err(store_error)?;
            let mut losses = write.open_table(LOSSES).map_err(store_error)?;
            losses.retain_in((of, i64::MIN)..(of, low), |_, ()| false).map_err(store_error)?;
        }
        for (number, last, _) in runs(&write, of)? {
            if last < low {
                remove_run(&write, of, number)?;
            }
        }
        write.commit().map_err(store_error)
    }

    /// The entries of these tokens from this offset of the topic on, in its order.
    pub fn entries(&self, partition: i32, low: i64, tokens: &[AuditToken]) -> Answer<Vec<Found>> {
        let read = self.database.begin_read().map_err(store_error)?;
        let runs = read.open_table(RUNS).map_err(store_error)?;
        let entries = read.open_table(ENTRIES).map_err(store_error)?;
        let of = partition as u32;
        let mut kept = Vec::new();
        for each in runs.range((of, 0)..=(of, u32::MAX)).map_err(store_error)? {
            let number = each.map_err(store_error)?.0.value().1;
            for token in tokens {
                let Some(value) = entries.get(&key(number, token)).map_err(store_error)? else {
                    continue;
                };
                let bytes = run::opened(value.value()).ok_or_else(unsealed)?;
                kept.extend(
                    run::entries(bytes).map_err(|error| StoreError::Damaged(error.to_string()))?,
                );
            }
        }
        kept.retain(|(at, ..)| *at >= low);
        kept.sort_by_key(|(at, place, _)| (*at, *place));
        let batches = read.open_table(BATCHES).map_err(store_error)?;
        let mut heads: BTreeMap<i64, Arc<AuditBatch>> = BTreeMap::new();
        let mut found = Vec::with_capacity(kept.len());
        for (at, place, entry) in kept {
            let head = if let Some(head) = heads.get(&at) {
                Arc::clone(head)
            } else {
                let sealed = batches.get((of, at)).map_err(store_error)?;
                let head = Arc::new(head(sealed.as_ref().map(AccessGuard::value))?);
                heads.insert(at, Arc::clone(&head));
                head
            };
            found.push(Found { partition, at, place, head, entry });
        }
        Ok(found)
    }

    /// Hands over the batches between two offsets of the topic, until `each` says that it has enough.
    pub fn each_batch(
        &self,
        partition: i32,
        (from, to): (i64, i64),
        mut each: impl FnMut(Placed) -> bool,
    ) -> Answer<()> {
        let read = self.database.begin_read().map_err(store_error)?;
        let batches = read.open_table(BATCHES).map_err(store_error)?;
        let of = partition as u32;
        for batch in batches.range((of, from)..(of, to.max(from))).map_err(store_error)? {
            let (key, value) = batch.map_err(store_error)?;
            let (at, head) = (key.value().1, Arc::new(head(Some(value.value()))?));
            if !each(Placed { partition, at, head }) {
                break;
            }
        }
        Ok(())
    }

    /// The last batch between two offsets of the topic.
    pub fn last_batch(&self, partition: i32, (from, to): (i64, i64)) -> Answer<Option<Placed>> {
        let read = self.database.begin_read().map_err(store_error)?;
        let batches = read.open_table(BATCHES).map_err(store_error)?;
        let of = partition as u32;
        let last = batches.range((of, from)..(of, to.max(from))).map_err(store_error)?.next_back();
        let Some((key, value)) = last.transpose().map_err(store_error)? else { return Ok(None) };
        let (at, head) = (key.value().1, Arc::new(head(Some(value.value()))?));
        Ok(Some(Placed { partition, at, head }))
    }

    /// Between these offsets: where the first batch lies that is none of the earlier ones. `is_earlier` holds of
    /// the first batches, and of none after one of which it does not.
    pub fn bound(
        &self,
        partition: i32,
        (mut from, mut to): (i64, i64),
        is_earlier: impl Fn(&AuditBatch) -> bool,
    ) -> Answer<i64> {
        let read = self.database.begin_read().map_err(store_error)?;
        let batches = read.open_table(BATCHES).map_err(store_error)?;
        let of = partition as u32;
        while from < to {
            let middle = from + (to - from) / 2;
            let next = batches.range((of, middle)..(of, to)).map_err(store_error)?.next();
            match next.transpose().map_err(store_error)? {
                Some((key, value)) if is_earlier(&head(Some(value.value()))?) => {
                    from = key.value().1 + 1;
                }
                _ => to = middle,
            }
        }
        Ok(from)
    }

    /// Where accepted losses lie: behind each, offsets of the inputs are counted anew.
    pub fn losses(&self, partition: i32) -> Answer<Vec<i64>> {
        let read = self.database.begin_read().map_err(store_error)?;
        let losses = read.open_table(LOSSES).map_err(store_error)?;
        let of = partition as u32;
        let all = losses.range((of, i64::MIN)..=(of, i64::MAX)).map_err(store_error)?;
        all.map(|it| Ok(it.map_err(store_error)?.0.value().1)).collect()
    }

    pub fn damage(&self, lows: &BTreeMap<i32, i64>) -> Answer<Vec<Damage>> {
        let read = self.database.begin_read().map_err(store_error)?;
        let damage = read.open_table(DAMAGE).map_err(store_error)?;
        let mut all = Vec::new();
        for (&partition, &low) in lows {
            let of = partition as u32;
            for each in
                damage.range((of, low)..=(of, i64::MAX)).map_err(store_error)?.take(FAULTS_MAX)
            {
                let (key, why) = each.map_err(store_error)?;
                all.push(Damage { partition, offset: key.value().1, why: why.value().to_owned() });
            }
        }
        Ok(all)
    }

    #[cfg(test)]
    pub fn runs(&self, partition: i32) -> Answer<usize> {
        Ok(runs(&self.write()?, partition as u32)?.len())
    }

    fn write(&self) -> Answer<WriteTransaction> {
        self.database.begin_write().map_err(store_error)
    }
}

/// The run with the small ones before it: so there are few of them, however often somebody asks.
fn write_run(write: &WriteTransaction, of: u32, draft: &mut Draft) -> Answer<()> {
    let known = runs(write, of)?;
    let number = next_number(write)?;
    let mut size = draft.run.size() as u64;
    let mut merged: BTreeMap<AuditToken, Vec<u8>> = BTreeMap::new();
    let mut entries = write.open_table(ENTRIES).map_err(store_error)?;
    let mut replaced = Vec::new();
    for (small, _, bytes) in known.into_iter().rev() {
        if bytes > 2 * size || size + bytes > RUN_BYTES as u64 {
            break;
        }
        let mut earlier: BTreeMap<AuditToken, Vec<u8>> = BTreeMap::new();
        for each in
            entries.range::<&[u8; 21]>(&of_run(small).0..=&of_run(small).1).map_err(store_error)?
        {
            let (key, value) = each.map_err(store_error)?;
            let token: AuditToken = *key.value().last_chunk().unwrap_or(&[0; 17]);
            earlier.insert(token, run::opened(value.value()).ok_or_else(unsealed)?.to_vec());
        }
        for (token, later) in std::mem::take(&mut merged) {
            earlier.entry(token).or_default().extend(later);
        }
        merged = earlier;
        size += bytes;
        replaced.push(small);
    }
    for (token, later) in draft.run.sorted() {
        let before = merged.remove(&token);
        let later = run::opened(&later).ok_or_else(unsealed)?;
        let sealed = run::sealed(before.as_deref().into_iter().chain([later]));
        entries.insert(&key(number, &token), sealed.as_slice()).map_err(store_error)?;
    }
    for (token, before) in merged {
        let sealed = run::sealed([before.as_slice()].into_iter());
        entries.insert(&key(number, &token), sealed.as_slice()).map_err(store_error)?;
    }
    drop(entries);
    for small in replaced {
        remove_run(write, of, small)?;
    }
    let mut runs = write.open_table(RUNS).map_err(store_error)?;
    runs.insert((of, number), (draft.next - 1, size)).map_err(store_error)?;
    Ok(())
}

/// Number, last offset and bytes of each run of a partition.
fn runs(write: &WriteTransaction, of: u32) -> Answer<Vec<(u32, i64, u64)>> {
    let runs = write.open_table(RUNS).map_err(store_error)?;
    let mut all = Vec::new();
    for each in runs.range((of, 0)..=(of, u32::MAX)).map_err(store_error)? {
        let (key, value) = each.map_err(store_error)?;
        let (last, bytes) = value.value();
        all.push((key.value().1, last, bytes));
    }
    Ok(all)
}

/// Of all partitions together: a run's number is never used again.
fn next_number(write: &WriteTransaction) -> Answer<u32> {
    let mut meta = write.open_table(META).map_err(store_error)?;
    let last = meta.get("run").map_err(store_error)?.and_then(|it| it.value().try_into().ok());
    let next = last.map_or(0, u32::from_be_bytes) + 1;
    meta.insert("run", next.to_be_bytes().as_slice()).map_err(store_error)?;
    Ok(next)
}

fn remove_run(write: &WriteTransaction, of: u32, number: u32) -> Answer<()> {
    let mut entries = write.open_table(ENTRIES).map_err(store_error)?;
    let (first, last) = of_run(number);
    entries.retain_in::<&[u8; 21], _>(&first..=&last, |_, _| false).map_err(store_error)?;
    let mut runs = write.open_table(RUNS).map_err(store_error)?;
    runs.remove((of, number)).map_err(store_error)?;
    Ok(())
}

fn key(number: u32, token: &AuditToken) -> [u8; 21] {
    let mut key = [0; 21];
    key[..4].copy_from_slice(&number.to_be_bytes());
    key[4..].copy_from_slice(token);
    key
}

/// The first and the last key that a run may have.
fn of_run(number: u32) -> ([u8; 21], [u8; 21]) {
    (key(number, &[0; 17]), key(number, &[u8::MAX; 17]))
}

fn head(sealed: Option<&[u8]>) -> Answer<AuditBatch> {
    let body = sealed.and_then(run::opened).ok_or_else(unsealed)?;
    AuditBatch::decode(body).map_err(|error| StoreError::Damaged(error.to_string()))
}

fn unsealed() -> StoreError {
    StoreError::Damaged("a checksum is wrong".to_owned())
}

impl From<StorageError> for StoreError {
    fn from(error: StorageError) -> Self {
        store_error(error)
    }
}
