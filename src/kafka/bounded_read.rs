//! A read to an end that was asked for before: of a state, a chain, a changelog, a range.
//!
//! Whoever reads asks first where the partitions end, then reads until each of them is there. A position counts
//! as well as a record: it passes control records and what was aborted, where no record comes. What is to be
//! done about bytes that can't be read, or a broker that brings nothing, is the caller's to say.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::consumer::{Follower, Polled, known};
use super::events::{ReadError, Received};
use crate::clock::{Clock, SystemClock};

/// A read that comes no further for so long has lost its broker: three times how long an open
/// transaction of Assent's own may last.
pub const STALL_MAX: Duration = Duration::from_secs(30);

/// How long to sleep where a step brought nothing: a blocking poll takes all its time
/// (docs/librdkafka.md#a-poll-takes-its-whole-time).
pub const PAUSE: Duration = Duration::from_millis(2);

/// How far a read has come, in offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
}

/// Where each partition's read began, is, and ends.
pub struct Bounds<P> {
    spans: BTreeMap<P, Span>,
    /// Partitions that are not at their end.
    open: usize,
    moved: Instant,
    stall_max: Duration,
}

struct Span {
    from: i64,
    /// Everything before was read.
    at: i64,
    end: i64,
}

impl Span {
    fn is_open(&self) -> bool {
        self.at < self.end
    }
}

impl<P: Ord + Clone> Bounds<P> {
    /// Partition, first offset, and one past the last.
    pub fn new(ranges: impl IntoIterator<Item = (P, i64, i64)>) -> Self {
        let span = |(partition, from, end)| (partition, Span { from, at: from, end });
        let spans: BTreeMap<P, Span> = ranges.into_iter().map(span).collect();
        let open = spans.values().filter(|span| span.is_open()).count();
        Self { spans, open, moved: SystemClock.instant(), stall_max: STALL_MAX }
    }

    /// Everything before `next` was read. Never goes back.
    pub fn reach(&mut self, partition: &P, next: i64) {
        let Some(span) = self.spans.get_mut(partition).filter(|span| span.at < next) else {
            return;
        };
        let was_open = span.is_open();
        span.at = next;
        self.open -= usize::from(was_open && !span.is_open());
        if was_open {
            self.moved = SystemClock.instant();
        }
    }

    fn restart(&mut self, partition: &P, at: i64) {
        if let Some(span) = self.spans.get_mut(partition) {
            span.at = at;
        }
        self.open = self.spans.values().filter(|span| span.is_open()).count();
        self.moved = SystemClock.instant();
    }

    pub fn is_over(&self) -> bool {
        self.open == 0
    }

    pub fn has_stalled(&self) -> bool {
        self.moved.elapsed() > self.stall_max
    }

    /// The next offset of each partition.
    pub fn positions(&self) -> BTreeMap<P, i64> {
        self.spans.iter().map(|(partition, span)| (partition.clone(), span.at)).collect()
    }

    pub fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        for span in self.spans.values() {
            progress.done += (span.at.min(span.end) - span.from).max(0) as u64;
            progress.total += (span.end - span.from).max(0) as u64;
        }
        progress
    }
}

impl Bounds<i32> {
    /// What the client of one topic says.
    pub fn look(&mut self, positions: &TopicPartitionList) {
        for (_, partition, next) in known(positions) {
            self.reach(&partition, next);
        }
    }
}

/// Reads partitions of one topic.
pub struct BoundedRead {
    follower: Follower,
    bounds: Bounds<i32>,
}

/// What a step brought.
pub enum Step<T> {
    /// What was made of a record. It may lie past its partition's end, while another is not there yet.
    Record(T),
    /// Nothing now.
    Nothing,
    /// Nothing, for longer than [`STALL_MAX`].
    Stalled,
    /// All partitions are at their end.
    Over,
    /// As of [`Polled::Unreadable`]: go on with another client ([`BoundedRead::go_on_with`]).
    Unreadable {
        partition: i32,
        error: ReadError,
    },
    OutOfRange {
        partition: Option<i32>,
    },
    Fatal(KafkaError),
}

impl BoundedRead {
    /// Of these partitions, each from one offset to before another.
    pub fn begin(
        follower: Follower,
        ranges: impl IntoIterator<Item = (i32, i64, i64)>,
    ) -> KafkaResult<Self> {
        let bounds = Bounds::new(ranges);
        follower.fetch_from(&bounds.positions())?;
        Ok(Self { follower, bounds })
    }

    /// Never blocks. Fails where the client does not say how far it is.
    pub fn step<T>(&mut self, take: impl FnOnce(&Received<'_>) -> T) -> KafkaResult<Step<T>> {
        if self.bounds.is_over() {
            return Ok(Step::Over);
        }
        Ok(match self.follower.poll() {
            Polled::Message(record) => {
                self.bounds.reach(&record.partition(), record.offset() + 1);
                Step::Record(take(&record))
            }
            Polled::Nothing => {
                for (partition, next) in self.follower.positions()? {
                    self.bounds.reach(&partition, next);
                }
                match () {
                    () if self.bounds.is_over() => Step::Over,
                    () if self.bounds.has_stalled() => Step::Stalled,
                    () => Step::Nothing,
                }
            }
            Polled::Unreadable { partition, error } => Step::Unreadable { partition, error },
            Polled::OutOfRange { partition } => Step::OutOfRange { partition },
            Polled::Fatal(error) => Step::Fatal(error),
        })
    }

    /// Everything before was read; 0 of a partition that is not.
    pub fn position(&self, partition: i32) -> i64 {
        self.bounds.spans.get(&partition).map_or(0, |span| span.at)
    }

    pub fn has_stalled(&self) -> bool {
        self.bounds.has_stalled()
    }

    /// The same as the client has it now: past control records, too.
    pub fn last_position(&mut self, partition: i32) -> KafkaResult<i64> {
        for (partition, next) in self.follower.positions()? {
            self.bounds.reach(&partition, next);
        }
        Ok(self.position(partition))
    }

    /// After a damaged batch a client may bring anything: another one goes on, at `next` of this partition.
    pub fn go_on_with(&mut self, follower: Follower, partition: i32, next: i64) -> KafkaResult<()> {
        self.bounds.restart(&partition, next);
        self.follower = follower;
        self.fetch()
    }

    /// From now on it waits for what comes, however long that takes.
    pub fn without_end(mut self) -> KafkaResult<Self> {
        for span in self.bounds.spans.values_mut() {
            span.end = i64::MAX;
        }
        self.bounds.open = self.bounds.spans.len();
        self.bounds.stall_max = Duration::MAX;
        self.fetch()?;
        Ok(self)
    }

    /// Reads a partition from here on, once more if it was.
    pub fn restart(&mut self, partition: i32, at: i64) -> KafkaResult<()> {
        self.bounds.restart(&partition, at);
        self.fetch()
    }

    fn fetch(&self) -> KafkaResult<()> {
        self.follower.fetch_from(&self.bounds.positions())
    }

    /// Whoever took no step for a while has not been stalled.
    pub fn resume(&mut self) {
        self.bounds.moved = SystemClock.instant();
    }

    pub fn topic(&self) -> &str {
        self.follower.topic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_once_every_partition_is_at_its_end() {
        let mut bounds = Bounds::new([(0, 5, 8), (1, 2, 2), (2, 0, 3)]);
        assert_eq!(bounds.progress(), Progress { done: 0, total: 6 });
        bounds.reach(&0, 12);
        bounds.reach(&2, 2);
        bounds.reach(&7, 100); // nobody asked for it
        assert!(!bounds.is_over());
        assert_eq!(bounds.progress(), Progress { done: 5, total: 6 });
        bounds.reach(&0, 6); // a position may lag behind the record
        bounds.reach(&2, 3);
        assert!(bounds.is_over());
        assert_eq!(bounds.positions(), BTreeMap::from([(0, 12), (1, 2), (2, 3)]));
    }

    #[test]
    fn a_partition_that_is_begun_again_is_open_again() {
        let mut bounds = Bounds::new([(0, 5, 8)]);
        bounds.reach(&0, 8);
        assert!(bounds.is_over());
        bounds.restart(&0, 1);
        assert!(!bounds.is_over());
        bounds.reach(&0, 8);
        assert!(bounds.is_over());
    }

    #[test]
    fn nothing_to_read_is_over_at_once() {
        assert!(Bounds::<i32>::new([]).is_over());
        assert!(Bounds::new([(3, 9, 4)]).is_over());
        assert_eq!(Bounds::new([(3, 9, 4)]).progress(), Progress::default());
    }
}
