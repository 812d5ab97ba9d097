//! The clicks of a partition that were received and are not committed yet: they stay in memory until
//! then, so that a batch that aborts runs again from here and nothing is ever sought.
//!
//! Holds raw identifiers: no `Debug`, nothing of it is logged (INV-6).

use std::collections::VecDeque;

use crate::engine::input::DeadClicks;
use assent_contract::domain::time::Timestamp;

/// Bytes of one chunk: about 1,000 clicks.
const CHUNK_BYTES: usize = 256 * 1024;

/// Emptied chunks that a partition keeps for the next batch: 1 MiB, on top of the 64 MB that a worker may hold.
const SPARE_MAX: usize = 4;

/// Clicks in the order of their offsets, in chunks: no allocation a click, and no byte is ever moved.
#[derive(Default)]
pub struct Clicks {
    /// Oldest first; none is empty.
    chunks: VecDeque<Chunk>,
    spare: Vec<Chunk>,
    len: usize,
    /// How many of them are dead: one of them may stand for many clicks.
    dead: usize,
    /// Of the clicks held.
    bytes: usize,
    /// Clicks received since the assignment, held or not.
    received: u64,
}

#[derive(Default)]
struct Chunk {
    /// Each click's key, then its payload, one click after the other.
    bytes: Vec<u8>,
    held: Vec<HeldClick>,
    /// What those of `held` that are dead stand for, in order; mostly none.
    dead: Vec<DeadClicks>,
    /// Of `held`, how many are forgotten, and where the bytes of the others begin.
    forgotten: usize,
    forgotten_bytes: usize,
}

struct HeldClick {
    /// Of dead clicks the last.
    offset: i64,
    timestamp: Timestamp,
    /// [`ABSENT`]: null. [`DEAD`]: there is neither.
    key_len: u32,
    payload_len: u32,
}

/// No Kafka record is that long.
const ABSENT: u32 = u32::MAX;
const DEAD: u32 = u32::MAX - 1;

/// Dead clicks of one batch are cut into pieces of this many: each is written in one transaction, at some 12
/// bytes of audit a click.
const DEAD_MAX: i64 = 20_000;

/// One click, as it was received.
pub struct ReceivedClick<'a> {
    pub offset: i64,
    /// The record's timestamp.
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    /// It stands for clicks that were not read.
    pub dead: Option<&'a DeadClicks>,
}

impl Clicks {
    pub fn push(&mut self, click: &ReceivedClick<'_>) {
        let size = length(click.key) + length(click.payload);
        if self.chunks.back().is_none_or(|last| last.bytes.len() + size > CHUNK_BYTES) {
            self.chunks.push_back(self.spare.pop().unwrap_or_default());
        }
        let last = self.chunks.back_mut().expect("just seen to");
        last.push(click);
        self.len += 1;
        self.bytes += size;
        self.received += 1;
    }

    /// Clicks that were not read: they keep their place among the others.
    pub fn push_dead(&mut self, dead: &DeadClicks) {
        let mut first = dead.first;
        while first <= dead.last {
            let last = dead.last.min(first + DEAD_MAX - 1);
            if self.chunks.is_empty() {
                self.chunks.push_back(self.spare.pop().unwrap_or_default());
            }
            let chunk = self.chunks.back_mut().expect("just seen to");
            chunk.push_dead(DeadClicks { first, last, ..dead.clone() });
            self.len += 1;
            self.dead += 1;
            self.received += 1;
            first = last + 1;
        }
    }

    /// How many of the held there are; dead ones of one batch count as one, or a few.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many clicks the first `count` of the held stand for.
    pub fn inputs_of(&self, count: usize) -> usize {
        if self.dead == 0 { count } else { self.weights().take(count).sum() }
    }

    /// Of the first `count` of the held, those that stand for at most so many clicks, and the first at least.
    pub fn within(&self, count: usize, most: usize) -> usize {
        if self.dead == 0 {
            return count;
        }
        let mut sum = 0;
        let fits = self.weights().take(count).take_while(|weight| {
            sum += weight;
            sum <= most
        });
        fits.count().max(count.min(1))
    }

    fn weights(&self) -> impl Iterator<Item = usize> {
        self.chunks.iter().flat_map(Chunk::clicks).map(|it| it.dead.map_or(1, DeadClicks::count))
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory that is held, in bytes.
    pub fn size(&self) -> usize {
        self.bytes + self.len * size_of::<HeldClick>()
    }

    /// Clicks received since the assignment.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Clicks forgotten since the assignment: they are committed.
    pub fn forgotten(&self) -> u64 {
        self.received - self.len as u64
    }

    /// How many of the held are among the first `received` of the assignment.
    pub fn held_of(&self, received: u64) -> usize {
        (received.saturating_sub(self.forgotten()) as usize).min(self.len)
    }

    /// One past the offset of the first `count`; `None`: of none.
    pub fn end_of(&self, count: usize) -> Option<i64> {
        let mut last = count.checked_sub(1)?;
        for chunk in &self.chunks {
            match chunk.held().get(last) {
                Some(click) => return Some(click.offset + 1),
                None => last -= chunk.held().len(),
            }
        }
        None
    }

    /// The record timestamps of the first `count`, as far as they were read.
    pub fn timestamps(&self, count: usize) -> impl Iterator<Item = Timestamp> {
        let first = self.chunks.iter().flat_map(Chunk::held).take(count);
        first.filter(|held| held.payload_len != DEAD).map(|held| held.timestamp)
    }

    /// The first `count`, in order.
    pub fn first(&self, count: usize) -> impl Iterator<Item = ReceivedClick<'_>> {
        self.chunks.iter().flat_map(Chunk::clicks).take(count)
    }

    /// The first `count` are committed.
    pub fn forget(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let Some(first) = self.chunks.front_mut() else { return };
            let (clicks, dead, bytes) = first.forget(left);
            left -= clicks;
            self.len -= clicks;
            self.dead -= dead;
            self.bytes -= bytes;
            if first.held().is_empty() {
                self.drop_first();
            }
        }
    }

    fn drop_first(&mut self) {
        let Some(mut chunk) = self.chunks.pop_front() else { return };
        if self.spare.len() < SPARE_MAX && chunk.bytes.capacity() <= CHUNK_BYTES {
            chunk.clear();
            self.spare.push(chunk);
        }
    }
}

impl Chunk {
    fn push(&mut self, click: &ReceivedClick<'_>) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(CHUNK_BYTES);
        }
        self.held.push(HeldClick {
            offset: click.offset,
            timestamp: click.timestamp,
            key_len: append(&mut self.bytes, click.key),
            payload_len: append(&mut self.bytes, click.payload),
        });
    }

    fn push_dead(&mut self, dead: DeadClicks) {
        let (offset, timestamp) = (dead.last, Timestamp::MIN);
        self.held.push(HeldClick { offset, timestamp, key_len: DEAD, payload_len: DEAD });
        self.dead.push(dead);
    }

    fn held(&self) -> &[HeldClick] {
        &self.held[self.forgotten..]
    }

    fn clicks(&self) -> impl Iterator<Item = ReceivedClick<'_>> {
        let mut rest = &self.bytes[self.forgotten_bytes..];
        self.held().iter().map(move |held| ReceivedClick {
            offset: held.offset,
            timestamp: held.timestamp,
            key: take(&mut rest, held.key_len),
            payload: take(&mut rest, held.payload_len),
            dead: if held.payload_len == DEAD { self.dead_at(held.offset) } else { None },
        })
    }

    fn dead_at(&self, last: i64) -> Option<&DeadClicks> {
        let place = self.dead.binary_search_by_key(&last, |dead| dead.last);
        place.ok().map(|place| &self.dead[place])
    }

    /// Up to so many; returns how many, how many of them are dead, and their bytes.
    fn forget(&mut self, count: usize) -> (usize, usize, usize) {
        let clicks = count.min(self.held().len());
        let gone = &self.held()[..clicks];
        let bytes = gone.iter().map(HeldClick::size).sum();
        let is_dead = |held: &&HeldClick| held.payload_len == DEAD;
        let dead = if self.dead.is_empty() { 0 } else { gone.iter().filter(is_dead).count() };
        self.forgotten += clicks;
        self.forgotten_bytes += bytes;
        (clicks, dead, bytes)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.held.clear();
        self.dead.clear();
        (self.forgotten, self.forgotten_bytes) = (0, 0);
    }
}

impl HeldClick {
    /// Bytes in the chunk.
    fn size(&self) -> usize {
        [self.key_len, self.payload_len]
            .iter()
            .filter(|&&len| len < DEAD)
            .map(|&len| len as usize)
            .sum()
    }
}

fn length(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, <[u8]>::len)
}

/// Returns the length, or [`ABSENT`].
fn append(chunk: &mut Vec<u8>, bytes: Option<&[u8]>) -> u32 {
    let Some(bytes) = bytes else { return ABSENT };
    chunk.extend_from_slice(bytes);
    bytes.len() as u32
}

fn take<'a>(chunk: &mut &'a [u8], len: u32) -> Option<&'a [u8]> {
    if len >= DEAD {
        return None;
    }
    let (taken, rest) = chunk.split_at(len as usize);
    *chunk = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::intake::Rejection;

    fn click<'a>(
        offset: i64,
        key: Option<&'a [u8]>,
        payload: Option<&'a [u8]>,
    ) -> ReceivedClick<'a> {
        ReceivedClick { offset, timestamp: Timestamp(offset), key, payload, dead: None }
    }

    type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

    fn offsets(clicks: &Clicks) -> Vec<Owned> {
        let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        clicks.first(clicks.len()).map(|c| (c.offset, own(c.key), own(c.payload))).collect()
    }

    #[test]
    fn what_is_kept_after_a_commit_is_what_was_received() {
        let mut clicks = Clicks::default();
        clicks.push(&click(3, Some(b"a"), Some(b"one")));
        clicks.push(&click(4, None, None));
        clicks.push(&click(9, None, Some(b"two")));
        clicks.push(&click(10, Some(b"bb"), None));
        assert_eq!((clicks.end_of(0), clicks.end_of(3)), (None, Some(10)));
        clicks.forget(1);
        assert_eq!(
            offsets(&clicks),
            [(4, None, None), (9, None, Some(b"two".to_vec())), (10, Some(b"bb".to_vec()), None)]
        );
        clicks.forget(1);
        clicks.forget(1);
        assert_eq!(offsets(&clicks), [(10, Some(b"bb".to_vec()), None)]);
        assert_eq!((clicks.received(), clicks.held_of(3), clicks.held_of(4)), (4, 0, 1));
        clicks.forget(1);
        assert_eq!((clicks.len(), clicks.size()), (0, 0));
    }

    #[test]
    fn however_clicks_come_and_go_those_held_are_those_not_forgotten() {
        let payload = |offset: i64| vec![offset as u8; offset as usize * 7_919 % 40_000];
        let mut clicks = Clicks::default();
        let (mut next, mut first) = (0, 0);
        for step in 1..200_i64 {
            for _ in 0..step * 37 % 23 {
                clicks.push(&click(next, Some(b"key"), Some(&payload(next))));
                next += 1;
            }
            let gone = (step * 31 % 29).min(next - first);
            assert_eq!(clicks.end_of(gone as usize), (gone > 0).then_some(first + gone));
            clicks.forget(gone as usize);
            first += gone;
            assert_eq!(clicks.len() as i64, next - first);
            let expected: Vec<Owned> = (first..next)
                .map(|offset| (offset, Some(b"key".to_vec()), Some(payload(offset))))
                .collect();
            assert_eq!(offsets(&clicks), expected);
            let bytes: usize = expected.iter().map(|it| 3 + it.2.as_ref().unwrap().len()).sum();
            assert_eq!(clicks.size(), bytes + clicks.len() * size_of::<HeldClick>());
        }
        assert!(next > 1_000, "several chunks");
    }

    #[test]
    fn a_click_without_bytes_at_the_front_keeps_the_others() {
        let mut clicks = Clicks::default();
        clicks.push(&click(0, Some(b"k"), None));
        clicks.push(&click(1, None, None));
        clicks.push(&click(2, Some(b"key"), Some(b"value")));
        clicks.forget(1);
        assert_eq!(offsets(&clicks)[1], (2, Some(b"key".to_vec()), Some(b"value".to_vec())));
    }

    fn dead(first: i64, last: i64) -> DeadClicks {
        let rejection = Rejection::unreadable("damaged");
        DeadClicks { first, last, is_batch: true, rejection }
    }

    #[test]
    fn clicks_that_were_not_read_keep_their_place_and_count_each() {
        let mut clicks = Clicks::default();
        clicks.push(&click(3, Some(b"a"), Some(b"one")));
        clicks.push_dead(&dead(4, 8));
        clicks.push(&click(9, None, Some(b"two")));
        clicks.push_dead(&dead(10, 10 + DEAD_MAX + 4));
        let (all, far) = (clicks.len(), 10 + DEAD_MAX);
        assert_eq!(
            (all, clicks.inputs_of(3), clicks.inputs_of(all)),
            (5, 7, 7 + DEAD_MAX as usize + 5)
        );
        let ends: Vec<_> = (1..=5).map(|count| clicks.end_of(count).unwrap()).collect();
        assert_eq!(ends, [4, 9, 10, far, far + 5]);
        assert_eq!(clicks.within(5, 7), 3);
        assert_eq!((clicks.within(5, 6), clicks.within(5, 0), clicks.within(0, 9)), (2, 1, 0));
        let ranges = |clicks: &Clicks| -> Vec<_> {
            let all = clicks.first(9).map(|it| it.dead.map(|dead| (dead.first, dead.last)));
            all.collect()
        };
        let pieces = [Some((10, far - 1)), Some((far, far + 4))];
        assert_eq!(ranges(&clicks), [&[None, Some((4, 8)), None][..], &pieces].concat());
        assert_eq!(clicks.timestamps(5).collect::<Vec<_>>(), [Timestamp(3), Timestamp(9)]);
        clicks.forget(2);
        assert_eq!(ranges(&clicks), [&[None][..], &pieces].concat());
        assert_eq!(offsets(&clicks)[0], (9, None, Some(b"two".to_vec())));
        clicks.forget(3);
        assert_eq!((clicks.len(), clicks.dead, clicks.inputs_of(0)), (0, 0, 0));
        clicks.push(&click(far + 5, None, None));
        assert_eq!((clicks.within(1, 0), ranges(&clicks)), (1, vec![None]));
    }

    #[test]
    fn a_click_larger_than_a_chunk_is_held_whole_and_its_chunk_is_not_kept() {
        let large = vec![7; CHUNK_BYTES + 1];
        let mut clicks = Clicks::default();
        for offset in 0..3 {
            clicks.push(&click(offset, Some(b"k"), Some(&large)));
        }
        assert_eq!(offsets(&clicks)[2], (2, Some(b"k".to_vec()), Some(large)));
        clicks.forget(3);
        assert!(clicks.spare.is_empty());
        clicks.push(&click(3, None, Some(b"small")));
        clicks.forget(1);
        assert_eq!(clicks.spare.len(), 1);
        clicks.push(&click(4, None, Some(b"again")));
        assert_eq!((clicks.spare.len(), clicks.size() > 5), (0, true));
        assert_eq!(offsets(&clicks), [(4, None, Some(b"again".to_vec()))]);
    }
}
