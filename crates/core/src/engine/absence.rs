//! How long a partition's consent may go unread (docs/contract/bad-input.md#stops): a compacted changelog
//! keeps an erasure for `delete.retention.ms` and then forgets it, so who was away for longer may never
//! read it. Keeps INV-4: going on would use the data of people who were erased.

use assent_contract::domain::time::{Span, Timestamp};

/// For clocks that differ, and for catching up: erasures are read before they go.
const MARGIN: Span = Span::DAY;

/// When a state says at the latest that consent is in sync (docs/contract/batch.md#absence).
const NOTED_EVERY: Span = Span::HOUR;

/// With a short retention it is said this many times within what may pass, so that a crash is no absence.
const NOTES_WITHIN_BOUND: i64 = 8;

/// A partition that is given back says so where the last time is older than this part of that.
const NOTES_WHEN_PARTING: i64 = 60;

/// The longest that consent may go unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsenceBound(Span);

impl AbsenceBound {
    /// `delete.retention.ms` less a day; of less than two days, half of it.
    pub fn of_retention(retention: Span) -> Self {
        let retention = retention.max(Span(0));
        Self((retention - MARGIN).max(Span(retention.0 / 2)))
    }

    pub fn max(self) -> Span {
        self.0
    }

    /// When consent counts as last in sync once its loss was accepted. It still lies unread then, and erasures go
    /// from it as they age: it has to be read within a day, or within a shorter bound, or it is an absence again.
    pub fn synced_once_accepted(self, accepted_at: Timestamp) -> Timestamp {
        accepted_at + MARGIN.min(self.0) - self.0
    }
}

/// How old what the state says of consent may become before it is written for that alone.
pub fn noted_every(bound: Option<AbsenceBound>) -> Span {
    bound.map_or(NOTED_EVERY, |bound| NOTED_EVERY.min(Span(bound.0.0 / NOTES_WITHIN_BOUND)))
}

/// The same, of a partition that is given back.
pub fn noted_when_parting(noted_every: Span) -> Span {
    Span(noted_every.0 / NOTES_WHEN_PARTING)
}

/// In the largest unit of which there are two, rounded down: "31 days", "36 hours".
pub fn in_words(span: Span) -> String {
    let units = [(Span::DAY, "days"), (Span::HOUR, "hours"), (Span::MINUTE, "minutes")];
    let fits = units.into_iter().find(|(unit, _)| span.0 >= 2 * unit.0);
    let (unit, name) = fits.unwrap_or((Span::SECOND, "seconds"));
    format!("{} {name}", span.0 / unit.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(retention: Span, max: Span, noted: Span) {
        let bound = AbsenceBound::of_retention(retention);
        assert_eq!((bound.max(), noted_every(Some(bound))), (max, noted), "{retention:?}");
    }

    #[test]
    fn a_day_is_left_for_catching_up_or_half_of_a_short_retention() {
        let days = |days: i64| Span(days * Span::DAY.0);
        check(days(30), days(29), Span::HOUR);
        check(days(2), days(1), Span::HOUR);
        check(days(1), Span(12 * Span::HOUR.0), Span::HOUR);
        check(Span(16_000), Span(8_000), Span(1_000));
        check(Span(0), Span(0), Span(0));
        check(Span(-5), Span(0), Span(0));
        check(Span(i64::MAX), Span(i64::MAX) - days(1), Span::HOUR);
        assert_eq!(noted_every(None), Span::HOUR);
    }

    #[test]
    fn an_accepted_loss_leaves_a_day_to_read_or_a_short_bound() {
        let left = |retention: Span| {
            let bound = AbsenceBound::of_retention(retention);
            let accepted_at = Timestamp(1_000 * Span::DAY.0);
            bound.max() - (accepted_at - bound.synced_once_accepted(accepted_at))
        };
        assert_eq!(left(Span(30 * Span::DAY.0)), Span::DAY);
        assert_eq!(left(Span(2 * Span::DAY.0)), Span::DAY);
        assert_eq!(left(Span(16_000)), Span(8_000));
    }

    #[test]
    fn a_time_is_told_in_a_unit_that_a_person_reads() {
        let told = [0, 119_999, 120_000, 172_799_999, 172_800_000].map(|ms| in_words(Span(ms)));
        assert_eq!(told, ["0 seconds", "119 seconds", "2 minutes", "47 hours", "2 days"]);
    }
}
