//! A consent consumer that stands still although the broker has more is replaced: what it waits for may be a
//! leader of before. An open transaction on the changelog looks the same, and costs a client every 30 s.

use std::collections::BTreeMap;

use assent_contract::domain::time::{Moment, Span};

/// Three times what Assent's own transactions may hold a reader back, and half of the bound on consent sync
/// that is usual.
pub const STANDS_MAX: Span = Span(30_000);

/// Where a consumer stands, and since when (uptime) it should have moved.
#[derive(Debug, Default)]
pub struct Standstill(Option<(BTreeMap<i32, i64>, Span)>);

impl Standstill {
    /// `at`: the next offsets, where there is more to read; returns whether it has stood there for too long.
    pub fn look(&mut self, at: Option<BTreeMap<i32, i64>>, now: Moment) -> bool {
        let since = match (&self.0, &at) {
            (Some((before, since)), Some(at)) if before == at => *since,
            _ => now.uptime,
        };
        let stands = now.uptime - since > STANDS_MAX;
        self.0 = at.filter(|_| !stands).map(|at| (at, since));
        stands
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::time::Timestamp;

    #[test]
    fn only_who_has_more_to_read_and_does_not_move_stands_still() {
        let mut standstill = Standstill::default();
        let mut uptime = Span(0);
        let mut look = |at: Option<i64>, seconds: i64| {
            uptime = uptime + Span(seconds * 1_000);
            let now = Moment { wall: Timestamp(0), uptime };
            standstill.look(at.map(|at| BTreeMap::from([(0, at)])), now)
        };
        assert!(!look(Some(7), 0));
        assert!(!look(Some(8), 29), "it moved");
        assert!(!look(Some(8), 29));
        assert!(look(Some(8), 2));
        assert!(!look(Some(8), 29), "from then on");
        assert!(!look(None, 29), "nothing more to read");
        assert!(!look(Some(8), 29));
    }
}
