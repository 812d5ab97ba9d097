//! Times as platforms write them.
//!
//! ```text
//! 2026-08-03T17:21:09Z   2026-08-03T17:21:11.277+0000   2026-08-03T17:21:09   1785777669   1785777671277
//! ```
//!
//! A time without a zone is read as UTC. A number is seconds since 1970, or milliseconds where seconds would
//! lie beyond the year 5000. What is none of these, or lies before 1970, is unknown.

use assent_contract::domain::calendar::days;
use assent_contract::domain::time::{Span, Timestamp};

/// `None`: a time that can't be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Option<Timestamp>);

/// The first second that is read as a millisecond: in the year 5138; as a millisecond, in 1973.
const SECONDS_MAX: i64 = 100_000_000_000;

/// The end of the year 9999.
const MS_MAX: i64 = 253_402_300_799_999;

impl Moment {
    pub fn of_number(number: i64) -> Self {
        let ms = if number < SECONDS_MAX { number.checked_mul(1_000) } else { Some(number) };
        Self(ms.filter(|ms| (0..=MS_MAX).contains(ms)).map(Timestamp))
    }

    /// Seconds with a fraction.
    pub fn of_fraction(seconds: f64) -> Self {
        if !(0.0..SECONDS_MAX as f64).contains(&seconds) {
            return Self(None);
        }
        Self(Some(Timestamp((seconds * 1_000.0) as i64)))
    }

    pub fn of_text(text: &str) -> Self {
        let text = text.trim();
        match text.parse() {
            Ok(number) => Self::of_number(number),
            Err(_) => Self(date_time(text)),
        }
    }
}

fn date_time(text: &str) -> Option<Timestamp> {
    if !text.is_ascii() {
        return None;
    }
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    let is_date = date.as_bytes()[4] == b'-'
        && date.as_bytes()[7] == b'-'
        && (1..=12).contains(&month)
        && (1..=days(year + month / 12, month % 12 + 1, 1) - days(year, month, 1)).contains(&day);
    let (clock, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len()));
    let of_day = time_of_day(clock)?;
    let ms = days(year, month, day) * Span::DAY.0 + of_day - offset(zone)?;
    (is_date && (0..=MS_MAX).contains(&ms)).then_some(Timestamp(ms))
}

/// `17:21:09` or `17:21:11.277`, in milliseconds; what is finer is cut off.
fn time_of_day(clock: &str) -> Option<i64> {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = three(whole, ':')?;
    let is_clock = hour < 24 && minute < 60 && second <= 60;
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|digit| digit.is_ascii_digit());
    let digits: String = fraction.chars().chain("00".chars()).take(3).collect();
    let ms = number(&digits)?;
    let second = second.min(59); // a leap second
    (is_clock && is_fraction).then_some(((hour * 60 + minute) * 60 + second) * 1_000 + ms)
}

/// Nothing, `Z`, `+00:00`, `+0000` or `+00`, in milliseconds.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z" | "z") {
        return Some(0);
    }
    let (sign, digits) = zone.split_at(1);
    let digits = digits.replacen(':', "", 1);
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits)?, 0),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        _ => return None,
    };
    let ms = (hours * 60 + minutes) * 60_000;
    let is_offset = hours <= 23 && minutes < 60;
    is_offset.then_some(if sign == "-" { -ms } else { ms })
}

fn three(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between);
    let mut next = || parts.next().filter(|part| part.len() == 2).and_then(number);
    let all = [next()?, next()?, next()?];
    parts.next().is_none().then_some(all)
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, ms: Option<i64>) {
        assert_eq!(Moment::of_text(text), Moment(ms.map(Timestamp)), "{text}");
    }

    #[test]
    fn a_time_is_read_in_every_documented_form() {
        for text in [
            "2026-08-03T17:21:09Z",
            "2026-08-03T17:21:09.000Z",
            "2026-08-03T17:21:09+0000",
            "2026-08-03T17:21:09+00:00",
            "2026-08-03T17:21:09+00",
            "2026-08-03T10:21:09-07:00",
            "2026-08-03 17:21:09",
            "2026-08-03T17:21:09",
            "1785777669",
            " 1785777669 ",
            "1785777669000",
        ] {
            check(text, Some(1_785_777_669_000));
        }
        check("2026-08-03T17:21:11.277+0000", Some(1_785_777_671_277));
        check("2026-08-03T17:21:11.2771999Z", Some(1_785_777_671_277));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000));
        check("2024-12-31T00:00:00Z", Some(1_735_603_200_000));
        assert_eq!(
            Moment::of_fraction(1_748_576_950.641),
            Moment(Some(Timestamp(1_748_576_950_641)))
        );
    }

    #[test]
    fn what_is_no_time_is_unknown() {
        for text in [
            "",
            "yesterday",
            "2026-08-03",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-08-03T25:00:00Z",
            "2026-08-03T17:21Z",
            "2026-08-03T17:21:09+1",
            "-1",
            "1969-12-31T00:00:00Z",
            "2026-08-03T17:21:09.Z",
            "+026-08-03T17:21:09Z",
            "é026-08-03T1",
            "99999999999999999999",
            "2026-08-03T17:21:09+99:00",
            "2026-12-32T00:00:00Z",
        ] {
            check(text, None);
        }
        for number in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert_eq!(Moment::of_fraction(number), Moment(None));
        }
        assert_eq!(Moment::of_number(i64::MAX), Moment(None));
        assert_eq!(Moment::of_number(i64::MIN), Moment(None));
    }
}
