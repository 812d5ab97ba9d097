//! Moves all times of a replay by one amount, so that what lay between them stays between them.
//!
//! Pure: the target is given.

use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::event::ClickEvent;
use assent_contract::domain::time::{Span, Timestamp};

/// The amount that makes `newest` fall on `target`.
pub fn amount(newest: Timestamp, target: Timestamp) -> Span {
    target - newest
}

pub fn click(click: &mut ClickEvent, by: Span) {
    click.occurred_at = click.occurred_at + by;
}

/// Every time of the record: it stays as old as its clicks, and its grants end as much later.
pub fn consent(record: &mut ConsentRecord, by: Span) {
    record.recorded_at = record.recorded_at + by;
    for decision in record.decisions.values_mut() {
        decision.since = decision.since + by;
        optional(&mut decision.expires_at, by);
    }
    if let Some(guardian) = &mut record.guardian {
        guardian.verified_at = guardian.verified_at + by;
    }
    optional(&mut record.double_opt_in_at, by);
    optional(&mut record.opt_out_signal_at, by);
}

fn optional(time: &mut Option<Timestamp>, by: Span) {
    *time = time.map(|time| time + by);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_time_falls_on_the_target_in_either_direction() {
        for (newest, target) in [(1_000, 5_000), (5_000, 1_000), (7, 7)] {
            let by = amount(Timestamp(newest), Timestamp(target));
            assert_eq!(Timestamp(newest) + by, Timestamp(target));
        }
    }

    #[test]
    fn every_time_of_a_consent_record_moves_alike() {
        let record = |at: i64| -> ConsentRecord {
            serde_json::from_value(json!({
                "subject_id": "s", "version": 3, "recorded_at": at + 1,
                "decisions": {
                    "a": {"status": "GRANTED", "since": at + 2, "expires_at": at + 3},
                    "b": {"status": "DENIED", "since": at + 4},
                },
                "guardian": {"verified_at": at + 5},
                "double_opt_in_at": at + 6,
                "opt_out_signal_at": at + 7,
            }))
            .unwrap()
        };
        let mut moved = record(0);
        consent(&mut moved, Span(1_000_000));
        assert!(moved == record(1_000_000));
    }
}
