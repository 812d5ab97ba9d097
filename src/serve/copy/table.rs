//! What the copy keeps of an assignment: its key, its end, and which set of segments it is of. The sets are few
//! and shared, so a key costs its 17 bytes, 12 more, and the spare room of a hash table.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::clock::{Clock, SystemClock};
use assent_contract::domain::outcome::Basis;
use assent_contract::domain::pseudonym::Pseudonym;
use assent_contract::domain::segment::SegmentAssignment;
use assent_contract::domain::time::Timestamp;

/// Between two looks for what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// What many keys share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Assigned {
    pub segments: Vec<String>,
    pub basis: Basis,
}

/// In four-byte words, so that nothing is padded.
#[derive(Clone, Copy)]
struct Entry {
    expires_at: [u32; 2],
    set: u32,
}

impl Entry {
    fn new(expires_at: Timestamp, set: u32) -> Self {
        let at = expires_at.0 as u64;
        Self { expires_at: [(at >> 32) as u32, at as u32], set }
    }

    fn expires_at(self) -> Timestamp {
        Timestamp(((u64::from(self.expires_at[0]) << 32) | u64::from(self.expires_at[1])) as i64)
    }
}

const _: () = assert!(size_of::<(Pseudonym, Entry)>() <= 32);

type Shard = HashMap<Pseudonym, Entry, FixedState>;

pub struct Table {
    /// By purpose, then partition: a look-up waits only for a record of its own partition.
    purposes: Vec<RwLock<Vec<Arc<RwLock<Shard>>>>>,
    sets: RwLock<Sets>,
    sweep: Mutex<Sweep>,
}

#[derive(Default)]
struct Sets {
    all: Vec<Arc<Assigned>>,
    places: HashMap<Arc<Assigned>, u32, FixedState>,
}

struct Sweep {
    at: Instant,
    purpose: usize,
    partition: usize,
}

impl Table {
    pub fn of(purposes: usize) -> Self {
        Self {
            purposes: (0..purposes).map(|_| RwLock::default()).collect(),
            sets: RwLock::default(),
            sweep: Mutex::new(Sweep { at: SystemClock.instant(), purpose: 0, partition: 0 }),
        }
    }

    pub fn find(
        &self,
        purpose: usize,
        partition: i32,
        pseudonym: &Pseudonym,
        now: Timestamp,
    ) -> Option<(Arc<Assigned>, Timestamp)> {
        let shard = Arc::clone(read(&self.purposes[purpose]).get(partition as usize)?);
        let entry = *read(&shard).get(pseudonym)?;
        let expires_at = entry.expires_at();
        if expires_at <= now {
            return None;
        }
        Some((Arc::clone(read(&self.sets).all.get(entry.set as usize)?), expires_at))
    }

    pub fn set(
        &self,
        purpose: usize,
        partition: i32,
        pseudonym: Pseudonym,
        assignment: SegmentAssignment,
    ) {
        let SegmentAssignment { segments, basis, expires_at, .. } = assignment;
        let set = self.set_of(Assigned { segments, basis });
        write(&self.shard(purpose, partition)).insert(pseudonym, Entry::new(expires_at, set));
    }

    pub fn remove(&self, purpose: usize, partition: i32, pseudonym: &Pseudonym) {
        write(&self.shard(purpose, partition)).remove(pseudonym);
    }

    pub fn clear(&self, purpose: usize) {
        write(&self.purposes[purpose]).clear();
    }

    pub fn keys(&self, purpose: usize) -> usize {
        read(&self.purposes[purpose]).iter().map(|shard| read(shard).len()).sum()
    }

    /// What the tables have allocated.
    pub fn bytes(&self) -> usize {
        let of = |shard: &Arc<RwLock<Shard>>| read(shard).allocation_size();
        self.purposes.iter().map(|shards| read(shards).iter().map(of).sum::<usize>()).sum()
    }

    /// Drops what has expired, of one partition at a time.
    pub fn sweep(&self) {
        let mut sweep = self.sweep.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemClock.instant();
        if now.saturating_duration_since(sweep.at) < SWEEP_EVERY || self.purposes.is_empty() {
            return;
        }
        sweep.at = now;
        let wall = SystemClock.now();
        let shard = read(&self.purposes[sweep.purpose]).get(sweep.partition).cloned();
        if let Some(shard) = shard {
            write(&shard).retain(|_, entry| entry.expires_at() > wall);
            sweep.partition += 1;
        } else {
            sweep.purpose = (sweep.purpose + 1) % self.purposes.len();
            sweep.partition = 0;
        }
    }

    fn shard(&self, purpose: usize, partition: i32) -> Arc<RwLock<Shard>> {
        let partition = partition as usize;
        if let Some(shard) = read(&self.purposes[purpose]).get(partition) {
            return Arc::clone(shard);
        }
        let mut shards = write(&self.purposes[purpose]);
        while shards.len() <= partition {
            shards.push(Arc::default());
        }
        Arc::clone(&shards[partition])
    }

    fn set_of(&self, assigned: Assigned) -> u32 {
        if let Some(place) = read(&self.sets).places.get(&assigned) {
            return *place;
        }
        let mut sets = write(&self.sets);
        let (place, assigned) = (sets.all.len() as u32, Arc::new(assigned));
        sets.all.push(Arc::clone(&assigned));
        sets.places.insert(assigned, place);
        place
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(segments: &[&str], expires_at: i64) -> SegmentAssignment {
        SegmentAssignment {
            pseudonym: String::new(),
            purpose: String::new(),
            segments: segments.iter().map(|&it| it.to_owned()).collect(),
            basis: Basis::OptIn,
            decided_at: Timestamp(0),
            expires_at: Timestamp(expires_at),
            rulebook: String::new(),
        }
    }

    #[test]
    fn a_key_is_there_until_it_is_removed_expires_or_its_topic_is_discarded() {
        let (table, key) = (Table::of(2), Pseudonym([7; 17]));
        let find = |now| {
            table.find(1, 3, &key, Timestamp(now)).map(|(set, at)| (set.segments.clone(), at))
        };
        assert_eq!(find(0), None);
        table.set(1, 3, key, assignment(&["a", "b"], 1 << 40));
        assert_eq!(find(0), Some((vec!["a".to_owned(), "b".to_owned()], Timestamp(1 << 40))));
        assert_eq!(find(1 << 40), None, "expired");
        assert_eq!(table.find(0, 3, &key, Timestamp(0)), None, "another purpose");
        assert_eq!(table.find(1, 2, &key, Timestamp(0)), None, "another partition");
        table.remove(1, 3, &key);
        assert_eq!(find(0), None);
        table.set(1, 3, key, assignment(&["a"], 9));
        table.clear(1);
        assert_eq!((find(0), table.keys(1)), (None, 0));
    }

    /// What docs/serving.md says of memory: a million keys over twelve partitions.
    #[test]
    fn a_key_costs_less_than_sixty_bytes() {
        let table = Table::of(1);
        let mut key = [1; 17];
        for number in 0..1_000_000u32 {
            // As spread as a pseudonym is.
            let spread = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            key[1..9].copy_from_slice(&spread);
            table.set(0, (number % 12) as i32, Pseudonym(key), assignment(&["a"], 9));
        }
        let each = table.bytes() as f64 / table.keys(0) as f64;
        assert_eq!(table.keys(0), 1_000_000);
        assert!((30.0..60.0).contains(&each), "{each} bytes");
        println!("{each:.1} bytes for each key");
    }

    #[test]
    fn sets_are_shared() {
        let table = Table::of(1);
        for key in 0..100u8 {
            table.set(0, 0, Pseudonym([key; 17]), assignment(&["a"], 9));
        }
        assert_eq!((table.keys(0), read(&table.sets).all.len()), (100, 1));
    }
}
