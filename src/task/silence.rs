//! Which consent sources with `on_silence: close` are silent in a partition: gate line 1.

use std::collections::BTreeMap;

use crate::domain::time::{Span, Timestamp};

/// Does a source that closes the gate say nothing here for longer than it may? Where it never said
/// anything, the silence counts from the assignment (design, section 3).
pub fn closes_gate(
    longest: &BTreeMap<String, Span>,
    last_signs: &BTreeMap<String, Timestamp>,
    assigned_at: Timestamp,
    now: Timestamp,
) -> bool {
    longest.iter().any(|(id, &longest)| {
        let since = last_signs.get(id).copied().unwrap_or(assigned_at);
        now - since > longest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, last_sign: Option<i64>, now: i64) -> bool {
        let signs = last_sign.map(|at| ("cmp".to_owned(), Timestamp(at)));
        closes_gate(
            &BTreeMap::from([(source.to_owned(), Span(10_000))]),
            &signs.into_iter().collect(),
            Timestamp(100_000),
            Timestamp(now),
        )
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
