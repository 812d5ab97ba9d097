//! Where a reader stands in a partition: by what it acknowledged, by what its group committed, or nowhere.

use serde::Serialize;

use assent_contract::domain::ack::ReaderAck;
use assent_contract::domain::time::{Span, Timestamp};

/// Clocks of two hosts may be this far apart.
const SKEW: Span = Span(5 * 60 * 1_000);

#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It says what it has applied.
    Acknowledged,
    /// Its group has committed what was read: applied or not, nobody says.
    Committed,
    /// Neither.
    Unknown,
}

/// Of one partition.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Position {
    pub partition: i32,
    pub source: Source,
    /// All below it is applied, as far as is known.
    pub next_offset: i64,
    /// One past the last record.
    pub end: i64,
    /// When it was acknowledged.
    pub at: Option<Timestamp>,
}

impl Position {
    /// `low` and `end` are the topic's. What lies beyond the end is somebody's mistake, and nothing is known then.
    pub fn of(
        partition: i32,
        acknowledged: Option<ReaderAck>,
        committed: Option<i64>,
        (low, end): (i64, i64),
    ) -> Self {
        let committed = committed.filter(|at| (0..=end).contains(at));
        let (source, next_offset, at) = match (acknowledged, committed) {
            (Some(ack), _) => (Source::Acknowledged, ack.offset, Some(ack.at)),
            (None, Some(offset)) => (Source::Committed, offset, None),
            (None, None) => (Source::Unknown, low, None),
        };
        Self { partition, source, next_offset, end, at }
    }
}

/// A record of `reader-acks` that is not believed.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Faulty {
    /// Of `reader-acks`.
    pub partition: i32,
    pub offset: i64,
    pub why: &'static str,
}

/// Can it be? An offset that the topic does not have yet, or a time to come, is nobody's knowledge.
pub fn trusted(ack: ReaderAck, end: i64, now: Timestamp) -> Result<ReaderAck, &'static str> {
    if ack.offset < 0 {
        Err("a negative offset")
    } else if ack.offset > end {
        Err("an offset beyond the end of the topic")
    } else if ack.at > now + SKEW {
        Err("a time that is still to come")
    } else {
        Ok(ack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn ack(offset: i64, at: i64) -> ReaderAck {
        ReaderAck { offset, at: Timestamp(at) }
    }

    #[test]
    fn nothing_is_believed_that_nobody_can_know() {
        assert_eq!(trusted(ack(10, 5), 10, NOW), Ok(ack(10, 5)));
        assert!(trusted(ack(11, 5), 10, NOW).is_err_and(|why| why.contains("beyond")));
        assert!(trusted(ack(-1, 5), 10, NOW).is_err());
        let later = NOW.0 + SKEW.0;
        assert!(trusted(ack(1, later), 10, NOW).is_ok());
        assert!(trusted(ack(1, later + 1), 10, NOW).is_err());
        assert!(trusted(ack(1, i64::MAX), 10, NOW).is_err());
    }

    #[test]
    fn an_acknowledgement_is_taken_before_a_commit_and_a_commit_no_further_than_the_end() {
        let of = |acknowledged, committed| Position::of(0, acknowledged, committed, (3, 10));
        let found = of(Some(ack(5, 7)), Some(9));
        assert_eq!((found.source, found.next_offset), (Source::Acknowledged, 5));
        let found = of(None, Some(9));
        assert_eq!((found.source, found.next_offset), (Source::Committed, 9));
        for beyond in [Some(11), Some(-1), None] {
            assert_eq!(
                (of(None, beyond).source, of(None, beyond).next_offset),
                (Source::Unknown, 3)
            );
        }
    }
}
