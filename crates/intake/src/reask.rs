//! When somebody who opted out may be asked again: 12 months after their request (11 CCR 7026(k), Civ. Code
//! 1798.135(c)(4) and (5)).

use std::collections::BTreeMap;

use crate::scope::Terms;
use assent_contract::domain::calendar::{civil, days};
use assent_contract::domain::consent::{ConsentRecord, ConsentStatus};
use assent_contract::domain::time::{Span, Timestamp};

/// By purpose; one that may be asked for now is absent.
pub fn may_ask_again_at(record: &ConsentRecord, purposes: &[Terms]) -> BTreeMap<String, Timestamp> {
    let of = |purpose: &Terms| {
        let decision = record.decisions.get(&purpose.id);
        let status = decision.map_or(ConsentStatus::NotAsked, |decision| decision.status);
        let refused = decision
            .filter(|_| matches!(status, ConsentStatus::Denied | ConsentStatus::Withdrawn))
            .map(|decision| decision.since);
        // A grant after the signal was the person's own.
        let signal = record.opt_out_signal_at.filter(|at| {
            let granted = decision.filter(|_| status == ConsentStatus::Granted);
            purpose.sale_or_share && granted.is_none_or(|grant| grant.since <= *at)
        });
        let latest = refused.into_iter().chain(signal).max()?;
        Some((purpose.id.clone(), twelve_months_after(latest)))
    };
    purposes.iter().filter_map(of).collect()
}

/// The same moment of the same day a year later, in UTC; of a 29 February, 1 March: never sooner than the
/// law has it.
fn twelve_months_after(at: Timestamp) -> Timestamp {
    let day = at.0.div_euclid(Span::DAY.0);
    let (year, month, day_of_month) = civil(day);
    let later = days(year + 1, month, day_of_month);
    Timestamp(at.0.saturating_add((later - day).saturating_mul(Span::DAY.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_a_year_also_over_a_leap_day() {
        let day = |year, month, day| Timestamp(days(year, month, day) * Span::DAY.0 + 5);
        for (from, to) in [
            (day(2026, 11, 30), day(2027, 11, 30)),
            (day(2027, 3, 1), day(2028, 3, 1)),
            (day(2028, 2, 29), day(2029, 3, 1)),
            (day(2027, 2, 28), day(2028, 2, 28)),
        ] {
            assert_eq!(twelve_months_after(from), to);
        }
        for extreme in [Timestamp::MIN, Timestamp::MAX, Timestamp(0)] {
            assert!(twelve_months_after(extreme) >= extreme);
        }
        assert_eq!(days(1970, 1, 1), 0);
    }

    #[test]
    fn who_refused_or_sent_a_signal_is_left_alone() {
        let record: ConsentRecord = serde_json::from_str(
            r#"{"subject_id": "s", "version": 1, "recorded_at": 0, "opt_out_signal_at": 10,
                "decisions": {"own": {"status": "DENIED", "since": 5},
                              "sold": {"status": "GRANTED", "since": 9},
                              "resold": {"status": "GRANTED", "since": 11}}}"#,
        )
        .unwrap();
        let purposes = [("own", false), ("sold", true), ("resold", true), ("other", false)];
        let purposes =
            purposes.map(|(id, sale_or_share)| Terms { id: id.to_owned(), sale_or_share });
        let year = 365 * Span::DAY.0;
        let expected =
            [("own".to_owned(), Timestamp(year + 5)), ("sold".to_owned(), Timestamp(year + 10))];
        assert_eq!(may_ask_again_at(&record, &purposes), BTreeMap::from(expected));
    }

    /// 11 CCR 7025(c)(7)(B): her signal is a request to opt out, so 12 months pass before she is asked again,
    /// unless she herself opts in.
    #[test]
    fn noelle_is_left_alone_for_twelve_months() {
        let purposes = [Terms { id: "ads".to_owned(), sale_or_share: true }];
        let noelle = |decisions: &str| {
            let text = format!(
                r#"{{"subject_id": "noelle", "version": 1, "recorded_at": 0, "opt_out_signal_at": 10,
                     "decisions": {{{decisions}}}}}"#
            );
            may_ask_again_at(&serde_json::from_str(&text).unwrap(), &purposes)
        };
        let year_later = Timestamp(365 * Span::DAY.0 + 10);
        for before_the_signal in ["", r#""ads": {"status": "GRANTED", "since": 5}"#] {
            assert_eq!(noelle(before_the_signal), [("ads".to_owned(), year_later)].into());
        }
        assert!(noelle(r#""ads": {"status": "GRANTED", "since": 11}"#).is_empty());
    }
}
