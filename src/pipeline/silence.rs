//! Which consent sources with `on_silence: close` are silent in a partition: gate line 1.

use std::collections::BTreeMap;

use crate::config::{OnSilence, Source};
use crate::domain::time::Timestamp;

/// Does a source that closes the gate say nothing here for longer than it may? Where it never said
/// anything, the silence counts from the assignment (design, section 3).
pub fn closes_gate(
    sources: &BTreeMap<String, Source>,
    last_signs: &BTreeMap<String, Timestamp>,
    assigned_at: Timestamp,
    now: Timestamp,
) -> bool {
    sources.iter().filter(|(_, source)| source.on_silence == OnSilence::Close).any(
        |(id, source)| {
            let since = last_signs.get(id).copied().unwrap_or(assigned_at);
            (now - since).0 > source.max_silence.as_millis() as i64
        },
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(on_silence: OnSilence, last_sign: Option<i64>, now: i64) -> bool {
        let source = Source { max_silence: Duration::from_secs(10), on_silence };
        let signs = last_sign.map(|at| ("cmp".to_owned(), Timestamp(at)));
        closes_gate(
            &BTreeMap::from([("cmp".to_owned(), source)]),
            &signs.into_iter().collect(),
            Timestamp(100_000),
            Timestamp(now),
        )
    }

    #[test]
    fn only_a_source_that_closes_and_is_silent_for_longer_closes() {
        assert!(!check(OnSilence::Close, Some(50_000), 60_000));
        assert!(check(OnSilence::Close, Some(50_000), 60_001));
        assert!(!check(OnSilence::Alert, Some(50_000), 90_000));
    }

    #[test]
    fn who_never_spoke_is_silent_since_the_assignment() {
        assert!(!check(OnSilence::Close, None, 110_000));
        assert!(check(OnSilence::Close, None, 110_001));
    }
}
