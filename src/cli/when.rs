//! Times as a person writes and reads them.

use std::time::Duration;

use assent_contract::domain::time::{Span, Timestamp};

/// `now`, RFC 3339, or epoch milliseconds.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(now);
    }
    if let Ok(milliseconds) = text.parse() {
        return Ok(Timestamp(milliseconds));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Ok(Timestamp(time.as_millisecond())),
        Err(_) => {
            Err("not a time; write `now`, RFC 3339 (2026-11-22T09:00:00Z) or epoch milliseconds"
                .to_owned())
        }
    }
}

/// A whole number and its unit: `500ms`, `30s`, `5m`, `1h`, `2d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span = Span::parse(text)
        .ok_or("not a duration; write a whole number with ms, s, m, h or d, for example 30s")?;
    Ok(Duration::from_millis(span.0 as u64))
}

/// RFC 3339 in UTC; the bare number where no calendar reaches.
pub fn text(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.0)
        .map_or_else(|_| time.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_understood_in_three_forms() {
        let now = Timestamp(42);
        for (written, expected) in [
            ("now", Ok(42)),
            ("1795305600000", Ok(1_795_305_600_000)),
            ("2026-11-22T00:00:00Z", Ok(1_795_305_600_000)),
            ("2026-11-21T16:00:00-08:00", Ok(1_795_305_600_000)),
        ] {
            assert_eq!(parse(written, now), expected.map(Timestamp));
        }
        assert!(parse("yesterday", now).is_err());
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        for wrong in ["", "30", "s", "-1s", "1.5s", "1w", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_shown_in_utc() {
        assert_eq!(text(Timestamp(1_795_305_600_000)), "2026-11-22T00:00:00Z");
        assert_eq!(text(Timestamp::MAX), i64::MAX.to_string());
    }
}
