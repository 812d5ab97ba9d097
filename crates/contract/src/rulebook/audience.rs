//! The minimum audience of a purpose: `min_members`. No assignment names a segment until so many subjects
//! are in it. It is no anonymity: who is in a segment of a thousand is still one person.
//!
//! Says when a segment opens and closes, and what may be shown of a count; knows no subject.

use std::ops::RangeInclusive;

use super::Purpose;
use crate::domain::time::{Span, Timestamp};

/// What `min_members` may be: with one subject there is no audience.
pub const LEAST_RANGE: RangeInclusive<i64> = 2..=1_000_000;

/// A segment that fell below its minimum keeps whom it has for so long, so that it does not flap.
pub const KEPT_BELOW: Span = Span::HOUR;

/// Whether a segment may be named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// By nobody.
    #[default]
    Closed,
    /// By those who are named now, and nobody new. Since then it is below its minimum, or nobody can tell.
    Held { since: Timestamp },
    /// By everybody who is in it.
    Open,
}

/// How many subjects are known to be in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Of all partitions that are known.
    pub members: u64,
    /// Those are all partitions. Else there may be more.
    pub is_complete: bool,
}

impl Standing {
    /// What follows at `now` for a segment of at least `least` members. In doubt nothing opens.
    #[must_use]
    pub fn next(self, known: Known, least: u32, now: Timestamp) -> Self {
        let least = u64::from(least);
        match self {
            _ if known.members >= least => Self::Open,
            Self::Closed => Self::Closed,
            _ if known.is_complete && known.members * 2 <= least => Self::Closed,
            Self::Open => Self::Held { since: now },
            Self::Held { since } if now - since >= KEPT_BELOW => Self::Closed,
            held @ Self::Held { .. } => held,
        }
    }

    /// When time alone closes it.
    pub fn closes_at(self) -> Option<Timestamp> {
        match self {
            Self::Held { since } => Some(since + KEPT_BELOW),
            Self::Closed | Self::Open => None,
        }
    }
}

impl Purpose {
    /// A count of members, or of live keys, as it may be shown; `None`: it is under the minimum audience.
    pub fn shown(&self, count: u64) -> Option<u64> {
        Some(count).filter(|count| self.min_members.is_none_or(|least| *count >= least.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(100_000_000);
    const HELD: Standing = Standing::Held { since: NOW };

    fn check(standing: Standing, members: u64, is_complete: bool, after: i64, expect: Standing) {
        let found = standing.next(Known { members, is_complete }, 7, NOW + Span(after));
        assert_eq!(found, expect, "{standing:?} with {members} of 7, {is_complete}, after {after}");
    }

    #[test]
    fn it_opens_at_its_minimum_and_closes_at_half_of_it_or_after_an_hour() {
        use Standing::{Closed, Open};
        let hour = Span::HOUR.0;
        for is_complete in [true, false] {
            check(Closed, 6, is_complete, 0, Closed);
            check(Closed, 7, is_complete, 0, Open);
            check(HELD, 7, is_complete, 10 * hour, Open);
            check(Open, 4, is_complete, 0, HELD);
            check(HELD, 4, is_complete, hour - 1, HELD);
            check(HELD, 4, is_complete, hour, Closed);
        }
        check(Open, 3, true, 0, Closed);
        check(HELD, 3, true, 1, Closed);
    }

    #[test]
    fn in_doubt_nothing_opens_and_what_is_there_ends_after_an_hour() {
        use Standing::{Closed, Open};
        check(Closed, 0, false, 0, Closed);
        check(Open, 0, false, 0, HELD);
        check(HELD, 3, false, Span::HOUR.0 - 1, HELD);
        check(HELD, 0, false, Span::HOUR.0, Closed);
    }
}
