//! What repeats is said once, and then once a minute with how often it happened meanwhile: a broker that
//! is away, and whatever else lasts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::{Clock as _, SystemClock};

/// Between two lines of one kind.
const EVERY: Duration = Duration::from_mins(1);

/// Kinds that are told apart; what is beyond shares one. A kind that names a broker is one of a few.
const KINDS_MAX: usize = 256;

const OTHERS: &str = "others";

static PACE: Mutex<Pace> = Mutex::new(Pace::new());

/// May a line of this kind be logged now? Then, how many were left out since the last one.
pub fn may_say(kind: &str) -> Option<u64> {
    PACE.lock().unwrap_or_else(PoisonError::into_inner).may_say(kind, SystemClock.instant())
}

/// Was a line of a kind that begins so said within the last minute?
pub fn was_said(beginning: &str) -> bool {
    let now = SystemClock.instant();
    PACE.lock().unwrap_or_else(PoisonError::into_inner).was_said(beginning, now)
}

/// What was said, by kind: when last, and how often it was not said since.
struct Pace(BTreeMap<String, (Instant, u64)>);

impl Pace {
    const fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn was_said(&self, beginning: &str, now: Instant) -> bool {
        let mut of_kind = self.0.iter().filter(|(kind, _)| kind.starts_with(beginning));
        of_kind.any(|(_, (at, _))| now.saturating_duration_since(*at) < EVERY)
    }

    fn may_say(&mut self, kind: &str, now: Instant) -> Option<u64> {
        let is_known = self.0.contains_key(kind);
        let kind = if is_known || self.0.len() < KINDS_MAX { kind } else { OTHERS };
        match self.0.get_mut(kind) {
            Some((said_at, left_out)) if now.saturating_duration_since(*said_at) < EVERY => {
                *left_out += 1;
                None
            }
            known => {
                let left_out = known.map_or(0, |(_, left_out)| *left_out);
                self.0.insert(kind.to_owned(), (now, 0));
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_then_one_a_minute_that_says_how_many_were_left_out() {
        let mut pace = Pace::new();
        let start = SystemClock.instant();
        let at = |seconds| start + Duration::from_secs(seconds);
        let said = [0, 1, 59, 60, 61, 300].map(|second| pace.may_say("away 1", at(second)));
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
        assert_eq!(pace.may_say("away 2", at(300)), Some(0), "another broker is another kind");
        assert!(pace.was_said("away", at(301)) && !pace.was_said("away", at(360)));
    }

    #[test]
    fn kinds_without_end_share_a_line() {
        let mut pace = Pace::new();
        let now = SystemClock.instant();
        let said = (0..1_000).filter(|kind| pace.may_say(&kind.to_string(), now).is_some()).count();
        assert_eq!(said, KINDS_MAX + 1);
        assert!(pace.0.len() <= KINDS_MAX + 1);
    }
}
