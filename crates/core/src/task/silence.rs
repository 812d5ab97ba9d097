//! Which consent sources with `on_silence: close` are silent in a partition: gate line 1.

use std::collections::BTreeMap;

use super::barrier::Arrival;
use assent_contract::domain::time::{Moment, Span};

/// How long a source has said nothing here. Where it never said anything, the silence counts from the
/// assignment (docs/contract/topics.md#heartbeats).
pub fn silence_of(sign: Option<&Arrival>, assigned: Moment, now: Moment) -> Span {
    let never = now.uptime - assigned.uptime;
    sign.map_or(never, |sign| sign.age(now)).max(Span(0))
}

/// The sources that close the gate: each says nothing here for longer than it may.
pub fn closers<'a>(
    longest: &'a BTreeMap<String, Span>,
    last_signs: &'a BTreeMap<String, Arrival>,
    assigned: Moment,
    now: Moment,
) -> impl Iterator<Item = &'a str> {
    longest
        .iter()
        .filter(move |(id, longest)| silence_of(last_signs.get(*id), assigned, now) > **longest)
        .map(|(id, _)| id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_contract::domain::time::Timestamp;

    fn check(source: &str, last_sign: Option<i64>, now: i64) -> bool {
        check_with(source, last_sign, now, 0)
    }

    /// The wall clock is ahead by so much when it is asked.
    fn check_with(source: &str, last_sign: Option<i64>, now: i64, ahead: i64) -> bool {
        let sign = |at| Arrival { appended: Timestamp(at), received: Span(at) };
        let signs = last_sign.map(|at| ("cmp".to_owned(), sign(at)));
        let moment = |ms, ahead| Moment { wall: Timestamp(ms + ahead), uptime: Span(ms) };
        closers(
            &BTreeMap::from([(source.to_owned(), Span(10_000))]),
            &signs.into_iter().collect(),
            moment(100_000, 0),
            moment(now, ahead),
        )
        .next()
        .is_some()
    }

    #[test]
    fn a_clock_that_goes_back_does_not_break_the_silence() {
        assert!(check_with("cmp", Some(50_000), 60_001, -3_600_000));
        assert!(check_with("cmp", None, 110_001, -3_600_000));
    }

    #[test]
    fn a_source_that_is_silent_for_longer_closes() {
        assert!(!check("cmp", Some(50_000), 60_000));
        assert!(check("cmp", Some(50_000), 60_001));
    }

    #[test]
    fn who_never_spoke_is_silent_since_the_assignment() {
        assert!(!check("cmp", None, 110_000));
        assert!(check("cmp", None, 110_001));
        assert!(check("web", Some(109_000), 110_001));
    }
}
