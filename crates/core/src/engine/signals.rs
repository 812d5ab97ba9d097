//! The signals of subjects that have no other record. Anybody can send one under any id, so each takes
//! little memory (a token and a minute), and their number is bounded: the oldest are replaced by a
//! floor, a time since which every new subject counts as bound
//! (docs/contract/gate.md#opt-out-signals).
//!
//! What is no later than the floor, or has been kept for 24 months, is not there, wherever its bytes
//! still lie: it goes with the next of its bucket that is written, and from memory now and then. So the
//! floor takes any number of them at the cost of one number in the ledger.

use std::collections::BTreeMap;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::token::{BUCKETS, StateToken, bucket_of, hash};
use assent_contract::domain::time::{Span, Timestamp};

/// Minutes since the epoch: how a binding time is kept.
pub type Minute = i32;

/// Of those that may be kept, so many parts give way at once: the floor moves once in so many of them,
/// and who appears in between counts as bound by no later signals than needed.
const PARTS: usize = 8;

/// What is not there any more leaves memory when it is so many parts of what is there.
const GARBAGE_PARTS: usize = 8;

/// 20 bytes: as large as what it says.
#[derive(Clone, Copy, Debug)]
struct Kept {
    token: [u8; 16],
    minute: Minute,
}

#[derive(Clone, Debug)]
pub struct Signals {
    /// By the token's first byte, as the subjects.
    shards: Vec<HashTable<Kept>>,
    /// How many there are of each minute. A finished batch is counted before it is committed.
    ages: BTreeMap<Minute, u32>,
    counted: usize,
    /// In the tables, whether they are there or not.
    held: usize,
    /// What is no later is not there.
    gone_to: Minute,
}

/// How many signals of each minute a batch made more or fewer, to take back if it is undone.
#[derive(Debug, Default)]
pub struct Recount(Vec<(Option<Minute>, Option<Minute>)>);

impl Default for Signals {
    fn default() -> Self {
        Self {
            shards: vec![HashTable::new(); BUCKETS],
            ages: BTreeMap::new(),
            counted: 0,
            held: 0,
            gone_to: Minute::MIN,
        }
    }
}

/// A binding time as a number; `None`: it is none, or thousands of years away.
pub fn minute_of(signal_at: Timestamp) -> Option<Minute> {
    let minute = Minute::try_from(signal_at.0.div_euclid(Span::MINUTE.0)).ok()?;
    (time_of(minute) == signal_at).then_some(minute)
}

pub fn time_of(minute: Minute) -> Timestamp {
    Timestamp(i64::from(minute) * Span::MINUTE.0)
}

/// The last minute that is no later than this.
fn floor_minute(at: Timestamp) -> Minute {
    let minute = at.0.div_euclid(Span::MINUTE.0);
    minute.clamp(Minute::MIN.into(), Minute::MAX.into()) as Minute
}

impl Signals {
    /// Memory that one takes in its table, in bytes.
    pub const FOOTPRINT: usize = size_of::<Kept>() + 1;

    /// What is no later than `floor`, or was kept for 24 months before `now`, is not there from now on.
    pub fn let_go(&mut self, floor: Option<Timestamp>, now: Timestamp) {
        let kept_from = floor_minute(now - Span::MONTHS_24);
        self.gone_to = kept_from.max(floor.map_or(Minute::MIN, floor_minute));
    }

    /// Would one of this minute be there?
    pub fn keeps(&self, minute: Minute) -> bool {
        minute > self.gone_to
    }

    pub fn get(&self, token: StateToken) -> Option<Minute> {
        let key = token.to_be_bytes();
        let found = self.shards[bucket_of(token)].find(hash(&key), |kept| kept.token == key)?;
        Some(found.minute).filter(|&minute| self.keeps(minute))
    }

    /// How many there are. A finished batch is counted before it is committed.
    pub fn len(&self) -> usize {
        let gone: u32 = self.ages.range(..=self.gone_to).map(|(_, count)| count).sum();
        self.counted - gone as usize
    }

    /// A bucket's, in no order.
    pub fn bucket(&self, bucket: usize) -> impl Iterator<Item = (StateToken, Minute)> {
        let there = self.shards[bucket].iter().filter(|kept| self.keeps(kept.minute));
        there.map(|kept| (StateToken::from_be_bytes(kept.token), kept.minute))
    }

    /// When the next of them has been kept for 24 months.
    pub fn next_end(&self) -> Option<Timestamp> {
        let (&minute, _) = self.ages.range(self.gone_to.saturating_add(1)..).next()?;
        Some(time_of(minute) + Span::MONTHS_24)
    }

    /// Has time taken any that was there when the last batch was committed?
    pub fn have_ended(&self) -> bool {
        self.ages.range(..=self.gone_to).next().is_some()
    }

    /// The latest of those that give way, where there are more than `most`.
    pub fn giving_way(&self, most: usize) -> Option<Timestamp> {
        if self.len() <= most {
            return None;
        }
        let (stay, mut later) = (most - most / PARTS, 0);
        let there = self.ages.range(self.gone_to.saturating_add(1)..).rev();
        for (&minute, &count) in there {
            later += count as usize;
            if later > stay {
                return Some(time_of(minute));
            }
        }
        None
    }

    /// A batch that is finished leaves one of another minute, or none, in the place of `before`.
    pub fn recount(
        &mut self,
        before: Option<Minute>,
        after: Option<Minute>,
        recount: &mut Recount,
    ) {
        if before != after {
            self.shift(before, after);
            recount.0.push((before, after));
        }
    }

    /// The batch is undone.
    pub fn take_back(&mut self, recount: Recount) {
        for (before, after) in recount.0 {
            self.shift(after, before);
        }
    }

    fn shift(&mut self, from: Option<Minute>, to: Option<Minute>) {
        if let Some(count) = from.and_then(|minute| self.ages.get_mut(&minute)) {
            *count -= 1;
            self.counted -= 1;
        }
        if let Some(minute) = to {
            *self.ages.entry(minute).or_default() += 1;
            self.counted += 1;
        }
        if let Some(minute) = from
            && self.ages.get(&minute) == Some(&0)
        {
            self.ages.remove(&minute);
        }
    }

    /// The batch is committed. Its own are recounted already.
    pub fn put(&mut self, token: StateToken, minute: Minute) {
        let (key, shard) = (token.to_be_bytes(), &mut self.shards[bucket_of(token)]);
        let kept = Kept { token: key, minute };
        match shard.entry(hash(&key), |kept| kept.token == key, |kept| hash(&kept.token)) {
            Entry::Occupied(mut entry) => *entry.get_mut() = kept,
            Entry::Vacant(entry) => {
                entry.insert(kept);
                self.held += 1;
            }
        }
    }

    /// The batch is committed. Its own are recounted already.
    pub fn remove(&mut self, token: StateToken) {
        if self.held == 0 {
            return;
        }
        let (key, shard) = (token.to_be_bytes(), &mut self.shards[bucket_of(token)]);
        if let Ok(entry) = shard.find_entry(hash(&key), |kept| kept.token == key) {
            entry.remove();
            self.held -= 1;
        }
    }

    /// Takes one in that was read back, unless it went since it was written.
    pub fn restore(&mut self, token: StateToken, minute: Minute) {
        if self.keeps(minute) {
            self.shift(None, Some(minute));
            self.put(token, minute);
        }
    }

    /// Between batches: what is not there leaves memory, as soon as that is worth the way through all.
    pub fn clear_away(&mut self) {
        let gone = self.ages.range(..=self.gone_to).map(|(_, count)| *count as usize);
        self.counted -= gone.sum::<usize>();
        if self.have_ended() {
            self.ages = self.ages.split_off(&self.gone_to.saturating_add(1));
        }
        let garbage = self.held - self.counted;
        if garbage > 0 && garbage >= self.held / GARBAGE_PARTS {
            for shard in &mut self.shards {
                shard.retain(|kept| kept.minute > self.gone_to);
                if shard.len() < shard.capacity() / 4 {
                    shard.shrink_to(2 * shard.len(), |kept| hash(&kept.token));
                }
            }
            self.held = self.counted;
        }
    }
}
