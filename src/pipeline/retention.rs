//! For how long the changelog keeps an erasure, as the brokers say it now: what an absence is held against.
//!
//! Asked at every take-up, since the setting of a topic may change under a service.

use std::time::Duration;

use super::shared::Shared;
use super::take_up_error::TakeUpError;
use crate::kafka::admin::{Admin, Described};
use assent_contract::domain::time::Span;
use assent_core::engine::absence::AbsenceBound;

/// Together with a question of 10 s, within what a worker's turn may take without a sign of life (`watchdog`).
const ASKED_FOR: Duration = Duration::from_secs(3);

const SETTING: &str = "delete.retention.ms";

/// Kafka's own default, of a broker that does not say.
const RETENTION_UNSAID: Span = Span::DAY;

/// `None`: erasures are never removed. A broker that does not answer is asked again; a right that is
/// missing is waited for, as nobody can tell whether going on would miss erasures.
pub fn absence_bound(shared: &Shared) -> Result<Option<AbsenceBound>, TakeUpError> {
    if shared.config.kafka.is_embedded {
        return Ok(None);
    }
    let topic = &shared.config.topics.consent;
    let admin = Admin::unreached(&shared.config).map_err(TakeUpError::Stop)?;
    match admin.setting(topic, SETTING, ASKED_FOR)? {
        Described::As(value) => Ok(bound(&value)),
        Described::Unsaid => Ok(Some(AbsenceBound::of_retention(RETENTION_UNSAID))),
        Described::Forbidden => Err(TakeUpError::Wait(format!(
            "topics.consent: this user may not describe topic {topic}, so nobody can tell whether \
             erasures were removed unread; grant DescribeConfigs, as `assent check --print-acls` shows"
        ))),
    }
}

/// Below 0 is for ever; what is no number is taken for the default.
fn bound(value: &str) -> Option<AbsenceBound> {
    let retention = value.parse().map_or(RETENTION_UNSAID, Span);
    (retention >= Span(0)).then(|| AbsenceBound::of_retention(retention))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_the_default_and_below_zero_is_for_ever() {
        let of = |value| bound(value).map(AbsenceBound::max);
        assert_eq!(of("2592000000"), Some(Span(29 * Span::DAY.0)));
        assert_eq!(of("-1"), None);
        assert_eq!(of("unset"), Some(Span(12 * Span::HOUR.0)));
    }
}
