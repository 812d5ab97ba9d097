//! The search for the click that makes a batch break an invariant. First everything but clicks is
//! committed, so that opt-outs and timers don't wait. Then the clicks are tried in halves, until only the
//! click that causes it, and those behind it, are left.

use assent_contract::domain::time::{Moment, Span};

/// Between two tries of what is already as small as it gets.
const AGAIN_AFTER: Span = Span(10_000);

#[derive(Clone, Copy, Debug)]
pub struct Bisection {
    /// The first so many of the clicks held: one of them may be the cause.
    suspects: usize,
    /// A batch without clicks was committed since.
    relieved: bool,
    /// Uptime: nothing is tried before.
    tries_from: Span,
    /// Uptime: no click is tried before.
    clicks_from: Span,
}

impl Bisection {
    /// A batch with so many clicks broke an invariant.
    pub fn by(clicks: usize, before: Option<Self>, now: Moment) -> Self {
        let again = now.uptime + AGAIN_AFTER;
        let known = before.map_or(0, |before| before.suspects);
        Self {
            suspects: if clicks == 0 { known } else { clicks },
            relieved: false,
            tries_from: if clicks == 0 { again } else { now.uptime },
            clicks_from: if clicks <= 1 { again } else { now.uptime },
        }
    }

    pub fn rests(self, now: Moment) -> bool {
        now.uptime < self.tries_from
    }

    /// Is a batch without clicks to be tried first?
    pub fn wants_relief(self) -> bool {
        !self.relieved
    }

    /// The most clicks of a batch now.
    pub fn clicks_max(self, now: Moment) -> usize {
        let may_try = self.relieved && now.uptime >= self.clicks_from;
        if may_try { self.suspects.div_ceil(2) } else { 0 }
    }

    /// A batch with so many clicks is committed; `None`: nothing is suspect any more.
    pub fn confirmed(self, clicks: usize) -> Option<Self> {
        let suspects = self.suspects.saturating_sub(clicks);
        (suspects > 0).then_some(Self { suspects, relieved: true, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::time::Timestamp;

    fn at(seconds: i64) -> Moment {
        Moment { wall: Timestamp(seconds * 1_000), uptime: Span(seconds * 1_000) }
    }

    /// Of so many clicks one is stuck: which are tried, until it is tried alone?
    fn tries(clicks: usize, stuck: usize) -> Vec<usize> {
        let (mut first, mut tried) = (0, vec![clicks]);
        let mut held = Bisection::by(clicks, None, at(1));
        loop {
            assert_eq!(
                (held.rests(at(1)), held.wants_relief(), held.clicks_max(at(1))),
                (false, true, 0)
            );
            held = held.confirmed(0).expect("clicks are suspect");
            loop {
                let count = held.clicks_max(at(1));
                if count == 0 {
                    assert_eq!((first, held.clicks_max(at(11))), (stuck, 1), "only that one stays");
                    return tried;
                }
                tried.push(count);
                if (first..first + count).contains(&stuck) {
                    held = Bisection::by(count, Some(held), at(1));
                    break;
                }
                first += count;
                held = held.confirmed(count).expect("the stuck one is suspect");
            }
        }
    }

    #[test]
    fn clicks_are_tried_in_halves_until_one_is_alone() {
        assert_eq!(tries(8, 0), [8, 4, 2, 1]);
        assert_eq!(tries(8, 7), [8, 4, 2, 1, 1]);
        assert_eq!(tries(1, 0), [1]);
        (0..1_000).for_each(|stuck| assert!(tries(1_000, stuck).len() <= 20));
    }

    #[test]
    fn without_clicks_it_is_tried_again_every_ten_seconds() {
        let held = Bisection::by(0, Some(Bisection::by(4, None, at(1))), at(2));
        assert!(held.rests(at(11)) && !held.rests(at(12)));
        assert_eq!(held.confirmed(0).map(|held| held.clicks_max(at(12))), Some(2));
        assert!(Bisection::by(0, None, at(2)).confirmed(0).is_none(), "it has passed");
    }
}
