//! The local index of the audit topic: which entries there are of a subject, and where each batch lies.
//!
//! A copy of what the topic holds, by audit token; no raw identifier is in it (INV-6). It may be deleted at
//! any time: the next question reads the topic again. What retention took from the topic goes from here with
//! the next question, too.
//!
//! `store` is the file, `build` fills it from the topic.

mod build;
mod run;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;

use self::store::{Store, StoreError};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::{AuditBatch, AuditToken};
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::time::Timestamp;
use assent_inquiry::filter::{Filter, Input};
use assent_inquiry::row::Found;

/// The topic's records that hold no batch, where they lie and why, at most so many.
pub const FAULTS_MAX: usize = 1_000;

const FILE: &str = "audit.redb";

/// What the topic holds, as far as it was read.
pub struct Index {
    folder: PathBuf,
    store: Store,
    /// The first offset that each partition of the topic still holds.
    lows: BTreeMap<i32, i64>,
}

/// A batch's place in the topic, and all of it but its entries.
pub struct Placed {
    pub partition: i32,
    pub at: i64,
    pub head: Arc<AuditBatch>,
}

/// A record of the topic that holds no audit batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub partition: i32,
    pub offset: i64,
    pub why: String,
}

impl Index {
    /// Opens the index, makes it anew where it is none of this topic or damaged, and reads what came since.
    pub fn open(
        config: &Config,
        folder: &Path,
        ends: &Ends<'_>,
        bar: &ProgressBar,
    ) -> Result<Self> {
        make_folder(folder)?;
        let fill = |store: Store| -> std::result::Result<(Store, BTreeMap<i32, i64>), StoreError> {
            let lows = build::refresh(config, ends, &store, bar)?;
            Ok((store, lows))
        };
        let path = folder.join(FILE);
        let topic = build::identity(config)?;
        let built = guarded(|| Store::open(&path, &topic).and_then(fill));
        let built = match built {
            Err(StoreError::Damaged(why)) => {
                tracing::warn!(index = %path.display(), why, "the index is made anew");
                remove(&path)?;
                Store::open(&path, &topic).and_then(fill)
            }
            built => built,
        };
        let (store, lows) = built.map_err(|error| error.into_failure(&path))?;
        Ok(Self { folder: folder.to_owned(), store, lows })
    }

    /// The topic's partitions, and the first offset that each still holds.
    pub fn lows(&self) -> &BTreeMap<i32, i64> {
        &self.lows
    }

    /// The entries of these tokens, in the order of the topic; `partition`: only there.
    pub fn of_subject(
        &self,
        tokens: impl IntoIterator<Item = AuditToken>,
        partition: Option<i32>,
    ) -> Result<Vec<Found>> {
        let tokens: Vec<AuditToken> = tokens.into_iter().collect();
        let read = || {
            let mut found = Vec::new();
            let partitions = self.lows.iter().filter(|it| partition.is_none_or(|one| one == *it.0));
            for (&partition, &low) in partitions {
                found.extend(self.store.entries(partition, low, &tokens)?);
            }
            Ok(found)
        };
        self.checked(read)
    }

    /// From where to where the batches of a partition lie whose `decided_at` the filter covers: it never goes back
    /// in a chain.
    pub fn window(&self, partition: i32, filter: &Filter) -> Result<(i64, i64)> {
        let range = self.range(partition);
        let earlier = |than: Option<Timestamp>| {
            move |head: &AuditBatch| than.is_some_and(|than| head.decided_at < than)
        };
        let from = self.checked(|| self.store.bound(partition, range, earlier(filter.from)))?;
        let to = match filter.to {
            None => range.1,
            to => self.checked(|| self.store.bound(partition, (from, range.1), earlier(to)))?,
        };
        Ok((from, to))
    }

    /// Where the batches lie that cover a record of an input: one, and another one for each accepted loss after
    /// which its offset came again.
    pub fn covering(&self, input: Input) -> Result<Vec<i64>> {
        let Input { kind, partition, offset } = input;
        let covers = move |head: &AuditBatch| match kind {
            InputKind::Consent => (head.consent_from, head.consent_to),
            _ => (head.click_from, head.click_to),
        };
        let (low, end) = self.range(partition);
        let losses = self.checked(|| self.store.losses(partition))?;
        let ends = losses.iter().map(|at| at + 1).chain([end]);
        let mut found = Vec::new();
        let mut from = low;
        for to in ends {
            let begins = |head: &AuditBatch| covers(head).0 <= offset;
            let bound = self.checked(|| self.store.bound(partition, (from, to), begins))?;
            let last = self.checked(|| self.store.last_batch(partition, (from, bound)))?;
            let is_of = |it: &Placed| (covers(&it.head).0..covers(&it.head).1).contains(&offset);
            found.extend(last.filter(is_of).map(|it| it.at));
            from = to;
        }
        Ok(found)
    }

    /// Hands over the batches between two offsets, until `each` says that it has enough.
    pub fn each_batch(
        &self,
        partition: i32,
        range: (i64, i64),
        each: impl FnMut(Placed) -> bool,
    ) -> Result<()> {
        self.checked(|| self.store.each_batch(partition, range, each))
    }

    /// Does the topic still hold the first batch of this chain?
    pub fn holds_first(&self, partition: i32, chain: &str) -> Result<bool> {
        let mut first = None;
        self.each_batch(partition, self.range(partition), |placed| {
            let is_of = placed.head.chain == chain;
            first = is_of.then_some(placed.head.sequence);
            !is_of
        })?;
        Ok(first == Some(0))
    }

    /// What the partition holds.
    fn range(&self, partition: i32) -> (i64, i64) {
        (self.lows.get(&partition).copied().unwrap_or(0), i64::MAX)
    }

    /// What lies in the topic and holds no batch.
    pub fn damage(&self) -> Result<Vec<Damage>> {
        self.checked(|| self.store.damage(&self.lows))
    }

    /// What was damaged since the index was opened is made anew by the next command.
    fn checked<T>(&self, read: impl FnOnce() -> std::result::Result<T, StoreError>) -> Result<T> {
        let (path, read) = (self.folder.join(FILE), guarded(read));
        if matches!(read, Err(StoreError::Damaged(_))) {
            remove(&path)?;
        }
        read.map_err(|error| error.into_failure(&path))
    }
}

/// redb reads a tree that was damaged on the disk without a check, and may panic: that is damage, too.
fn guarded<T>(
    read: impl FnOnce() -> std::result::Result<T, StoreError>,
) -> std::result::Result<T, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(StoreError::Damaged("its file can't be read".to_owned())))
}

/// Of this user alone: it says of whom there are decisions.
fn make_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::failed(format!("--index {}: {error}", folder.display())))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::failed(format!("--index {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}
