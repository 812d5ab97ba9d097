//! A consent consumer that stands still although the broker has more is replaced: what it waits for may be a
//! leader of before. An open transaction on the changelog looks the same, and costs a client every 30 s.
//!
//! Each partition counts by itself: one that moves hides no other. A partition that is taken up again where it
//! stood goes on counting, so no rebalance puts the replacement off.

use std::collections::BTreeMap;

use assent_contract::domain::time::{Moment, Span};

/// Three times what Assent's own transactions may hold a reader back, and half of the bound on consent sync
/// that is usual.
pub const STANDS_MAX: Span = Span(30_000);

/// By partition that should have moved: the next offset, and since when (uptime) it has been the next.
#[derive(Debug, Default)]
pub struct Standstill(BTreeMap<i32, (i64, Span)>);

/// Where the consumer is in a partition.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub partition: i32,
    pub next: i64,
    /// There is more to read.
    pub waits: bool,
}

impl Standstill {
    /// Has the consumer stood for too long in one of these?
    pub fn look(&mut self, places: impl Iterator<Item = Place>, now: Moment) -> bool {
        let mut stands = false;
        for Place { partition, next, waits } in places {
            if !waits {
                self.0.remove(&partition);
                continue;
            }
            let stood = self.0.entry(partition).or_insert((next, now.uptime));
            if stood.0 != next {
                *stood = (next, now.uptime);
            }
            stands |= now.uptime - stood.1 > STANDS_MAX;
        }
        if stands {
            self.0.clear();
        }
        stands
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::time::Timestamp;

    #[derive(Default)]
    struct Test {
        standstill: Standstill,
        uptime: Span,
    }

    impl Test {
        /// So many seconds later; the next offsets of partitions with more to read, from 0 on.
        fn after(&mut self, seconds: i64, next: &[Option<i64>]) -> bool {
            self.uptime = self.uptime + Span(seconds * 1_000);
            let now = Moment { wall: Timestamp(0), uptime: self.uptime };
            let place = |(partition, next): (i32, &Option<i64>)| {
                let waits = next.is_some();
                Place { partition, next: next.unwrap_or_default(), waits }
            };
            self.standstill.look((0..).zip(next).map(place), now)
        }
    }

    #[test]
    fn only_who_has_more_to_read_and_does_not_move_stands_still() {
        let mut test = Test::default();
        assert!(!test.after(0, &[Some(7)]));
        assert!(!test.after(29, &[Some(8)]), "it moved");
        assert!(!test.after(29, &[Some(8)]));
        assert!(test.after(2, &[Some(8)]));
        assert!(!test.after(29, &[Some(8)]), "from then on");
        assert!(!test.after(29, &[None]), "nothing more to read");
        assert!(!test.after(29, &[Some(8)]));
    }

    #[test]
    fn a_partition_that_moves_hides_no_other() {
        let mut test = Test::default();
        for second in 0..=30 {
            assert!(!test.after(1, &[Some(7), Some(second)]), "{second}");
        }
        assert!(test.after(1, &[Some(7), Some(31)]));
        assert!(!test.after(1, &[Some(7), Some(32)]), "another one follows now");
    }

    #[test]
    fn a_rebalance_puts_nothing_off() {
        let mut test = Test::default();
        assert!(!test.after(0, &[Some(7)]));
        assert!(!test.after(20, &[]), "given back");
        assert!(!test.after(1, &[Some(7)]));
        assert!(test.after(10, &[Some(7)]));
        assert!(!test.after(0, &[Some(7)]));
        assert!(!test.after(20, &[]), "given back");
        assert!(!test.after(11, &[Some(8)]), "somebody else read on meanwhile");
    }
}
