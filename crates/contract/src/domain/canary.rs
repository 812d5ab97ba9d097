//! What the canary's inputs look like, and what keeps them apart from people's
//! (docs/contract/topics.md#the-canary).
//!
//! The gate knows nothing of it. A record of the canary is of somebody from 13 to 15 who decided about the
//! purpose `canary` alone, so the gate's line 8 withholds every other purpose; and nobody else's record can
//! grant that one, since the decision is taken from it as it is read.

use std::collections::BTreeMap;

use super::consent::{AgeBand, ConsentRecord, ConsentStatus, Decision};
use super::event::{Click, ClickEvent, EventKind};
use super::ids::{CANARY_PURPOSE, canary_of};
use super::time::{Span, Timestamp};

/// The only segment of the purpose `canary`.
pub const SEGMENT: &str = "canary";

/// Who its records are from.
pub const SOURCE: &str = "assent-canary";

/// How long a click of the canary counts.
pub const RETENTION: Span = Span::HOUR;

/// A grant begins so much before it is written: the clock of whoever decides may be behind the canary's.
const SKEW_MAX: Span = Span::MINUTE;

/// Why a record under the canary's key is refused.
pub const RECORD: &str = "a record of the canary is of age band FROM_13_TO_15 and decides about the \
    purpose canary alone";

/// Why a click under the canary's id is refused.
pub const CLICK: &str = "a click of the canary has no opt-out signal";

/// Does a record under the canary's key say what the canary says, and nothing that anybody could gain by?
pub fn is_record(record: &ConsentRecord) -> bool {
    record.age_band == AgeBand::From13To15
        && record.guardian.is_none()
        && record.opt_out_signal_at.is_none()
        && record.decisions.keys().all(|purpose| purpose == CANARY_PURPOSE)
}

/// A signal would bind a subject that nothing else is known of.
pub fn is_click(click: &Click<'_>) -> bool {
    click.opt_out_signal.is_none()
}

/// No person can agree to be the canary.
pub fn take_purpose_from(record: &mut ConsentRecord) {
    record.decisions.remove(CANARY_PURPOSE);
}

/// The opt-in of a round. `lasts`: should nobody opt out, the grant ends by itself.
pub fn opt_in(partition: i32, now: Timestamp, lasts: Span) -> ConsentRecord {
    record(partition, now, ConsentStatus::Granted, now - SKEW_MAX, Some(now + lasts))
}

/// The opt-out of a round.
pub fn opt_out(partition: i32, now: Timestamp) -> ConsentRecord {
    record(partition, now, ConsentStatus::Withdrawn, now, None)
}

/// Versions follow the clock, so that a canary that is started anew goes on above the last one.
fn record(
    partition: i32,
    now: Timestamp,
    status: ConsentStatus,
    since: Timestamp,
    expires_at: Option<Timestamp>,
) -> ConsentRecord {
    let decision = Decision { status, since, expires_at, notice_version: None };
    ConsentRecord {
        subject_id: canary_of(partition),
        version: now.0,
        recorded_at: now,
        age_band: AgeBand::From13To15,
        decisions: BTreeMap::from([(CANARY_PURPOSE.to_owned(), decision)]),
        guardian: None,
        double_opt_in_at: None,
        opt_out_signal_at: None,
        source: SOURCE.to_owned(),
        receipt_id: None,
    }
}

/// The click of a round. No page is looked at, so no contextual segment follows.
pub fn click(partition: i32, now: Timestamp) -> ClickEvent {
    ClickEvent {
        event_id: format!("canary-{partition}-{}", now.0),
        subject_id: Some(canary_of(partition)),
        session_id: format!("canary-{partition}"),
        occurred_at: now,
        kind: EventKind::default(),
        category: None,
        product_id: None,
        product_age_range: None,
        value_cents: None,
        region: None,
        gpc: Some(false),
        gpp: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn what_the_canary_writes_is_what_is_taken_from_it() {
        assert!(is_record(&opt_in(3, NOW, Span::HOUR)));
        assert!(is_record(&opt_out(3, NOW)));
        for spoil in [
            |it: &mut ConsentRecord| it.age_band = AgeBand::From18,
            |it: &mut ConsentRecord| it.opt_out_signal_at = Some(NOW),
            |it: &mut ConsentRecord| {
                let granted = it.decisions[CANARY_PURPOSE].clone();
                it.decisions.insert("offers".to_owned(), granted);
            },
        ] {
            let mut record = opt_in(3, NOW, Span::HOUR);
            spoil(&mut record);
            assert!(!is_record(&record));
        }
    }
}
