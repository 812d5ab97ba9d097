//! The configured bounds on consent, in the words of a task.

use crate::config::{Consent, OnSilence};
use assent_contract::domain::time::Span;
use assent_core::task::Bounds;

pub fn of(consent: &Consent) -> Bounds {
    let closing =
        consent.sources.iter().filter(|(_, source)| source.on_silence == OnSilence::Close);
    let span = |duration: std::time::Duration| Span(duration.as_millis() as i64);
    Bounds {
        max_sync_lag: span(consent.max_sync_lag),
        closing_sources: closing
            .map(|(id, source)| (id.clone(), span(source.max_silence)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Source;

    #[test]
    fn only_a_source_that_is_to_close_the_gate_can() {
        let source =
            |seconds, on_silence| Source { max_silence: Duration::from_secs(seconds), on_silence };
        let sources =
            [("cmp", source(10, OnSilence::Close)), ("web", source(20, OnSilence::Alert))];
        let consent = Consent {
            max_sync_lag: Duration::from_millis(1_500),
            signals_without_record_max: 1,
            sources: sources.map(|(id, source)| (id.to_owned(), source)).into(),
        };
        let bounds = of(&consent);
        assert_eq!(bounds.max_sync_lag, Span(1_500));
        assert_eq!(bounds.closing_sources, [("cmp".to_owned(), Span(10_000))].into());
    }
}
