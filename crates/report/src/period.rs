//! Months, years and days of a report, in UTC, proleptic Gregorian.

use serde::{Serialize, Serializer};

use assent_contract::domain::calendar::{civil, days};
use assent_contract::domain::time::{Span, Timestamp};

/// From its first moment to before its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Of the Gregorian calendar as far as an epoch of milliseconds is of use: 1970 to 9999.
const YEARS: std::ops::RangeInclusive<i64> = 1970..=9999;

impl Period {
    /// `YYYY-MM`. `None`: it is something else.
    pub fn month(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let (year, month) = (number(year, 4)?, number(month, 2)?);
        let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let is_one = YEARS.contains(&year) && (1..=12).contains(&month);
        is_one.then(|| Self { from: first_of(year, month), to: first_of(next.0, next.1) })
    }

    /// `YYYY`. `None`: it is something else.
    pub fn year(text: &str) -> Option<Self> {
        let year = number(text, 4).filter(|year| YEARS.contains(year))?;
        Some(Self { from: first_of(year, 1), to: first_of(year + 1, 1) })
    }

    pub fn contains(&self, time: Timestamp) -> bool {
        (self.from..self.to).contains(&time)
    }

    /// What of it lies between two times; never less than nothing.
    #[must_use]
    pub fn within(&self, from: Timestamp, to: Timestamp) -> Self {
        let begin = self.from.max(from).min(self.to);
        Self { from: begin, to: self.to.min(to).max(begin) }
    }
}

/// A day, `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    pub fn of(time: Timestamp) -> Self {
        Self(time.0.div_euclid(Span::DAY.0))
    }

    /// `None`: there is no such day.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let mut part = |digits| number(parts.next()?, digits);
        let (year, month, day) = (part(4)?, part(2)?, part(2)?);
        let found = Self(days(year, month, day));
        (YEARS.contains(&year) && found.civil() == (year, month, day)).then_some(found)
    }

    pub fn begins_at(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(Span::DAY.0))
    }

    /// Monday to Friday. Holidays are business days here: a time limit ends earlier so, never later.
    fn is_business_day(self) -> bool {
        // 1970-01-01 was a Thursday.
        (self.0 + 3).rem_euclid(7) < 5
    }

    fn civil(self) -> (i64, i64, i64) {
        civil(self.0)
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The end of the last of so many business days after the day of this time.
pub fn business_days_after(time: Timestamp, count: u32) -> Timestamp {
    let mut day = Day::of(time);
    let mut left = count;
    while left > 0 {
        day = Day(day.0 + 1);
        left -= u32::from(day.is_business_day());
    }
    Day(day.0 + 1).begins_at()
}

/// How many business days lie behind an end that is past, the day of `now` among them; 0 before it.
pub fn business_days_past(end: Timestamp, now: Timestamp) -> u64 {
    if now < end {
        return 0;
    }
    let (first, last) = (Day::of(end).0, Day::of(now).0);
    let (weeks, rest) = ((last - first + 1) / 7, (last - first + 1) % 7);
    let of_rest = (0..rest).filter(|day| Day(first + day).is_business_day()).count();
    (weeks * 5) as u64 + of_rest as u64
}

/// `2026-11-22 09:00:00`, of which the reader is told that it is UTC.
pub fn moment(time: Timestamp) -> String {
    let of_day = time.0.rem_euclid(Span::DAY.0) / 1_000;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{} {hour:02}:{minute:02}:{second:02}", Day::of(time))
}

/// `YYYY-MM`.
pub fn month_of(time: Timestamp) -> String {
    let (year, month, _) = Day::of(time).civil();
    format!("{year:04}-{month:02}")
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn first_of(year: i64, month: i64) -> Timestamp {
    Day(days(year, month, 1)).begins_at()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: &str) -> Timestamp {
        Day::parse(day).unwrap().begins_at()
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        for (text, from, to) in [
            ("2026-11", "2026-11-01", "2026-12-01"),
            ("2026-12", "2026-12-01", "2027-01-01"),
            ("2028-02", "2028-02-01", "2028-03-01"),
        ] {
            assert_eq!(Period::month(text), Some(Period { from: at(from), to: at(to) }));
        }
        for wrong in ["2026-13", "2026-00", "2026-1", "26-11", "2026", "2026-11-01", "-026-11", ""]
        {
            assert_eq!(Period::month(wrong), None, "{wrong}");
        }
        assert_eq!(Period::year("2026").unwrap().to, at("2027-01-01"));
        assert_eq!(Period::year("0000"), None);
    }

    #[test]
    fn a_day_is_one_of_the_calendar() {
        for text in ["1970-01-01", "2000-02-29", "2026-11-30", "9999-12-31"] {
            assert_eq!(Day::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["2026-02-29", "2026-11-31", "2026-1-1", "2026-11", "tomorrow"] {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
        assert_eq!(moment(at("2026-11-30") + Span(3_723_999)), "2026-11-30 01:02:03");
    }

    #[test]
    fn fifteen_business_days_are_three_weeks() {
        // 2026-11-27 is a Friday.
        for (day, end) in [
            ("2026-11-27", "2026-12-19"),
            ("2026-11-28", "2026-12-19"),
            ("2026-11-30", "2026-12-22"),
        ] {
            assert_eq!(business_days_after(at(day) + Span::HOUR, 15), at(end), "{day}");
        }
        assert_eq!(business_days_after(at("2026-11-27"), 1), at("2026-12-01"));
    }

    #[test]
    fn what_is_past_its_end_is_so_by_business_days() {
        let end = at("2026-12-19"); // a Saturday
        for (now, days) in
            [("2026-12-18", 0), ("2026-12-20", 0), ("2026-12-21", 1), ("2027-01-04", 11)]
        {
            assert_eq!(business_days_past(end, at(now)), days, "{now}");
        }
        assert_eq!(business_days_past(at("2026-12-21"), at("2026-12-21")), 1);
    }

    #[test]
    fn what_is_outside_leaves_nothing() {
        let month = Period::month("2026-11").unwrap();
        let within = |from, to| month.within(at(from), at(to));
        assert_eq!(within("2026-10-01", "2027-01-01"), month);
        let late = within("2026-12-05", "2026-12-06");
        assert_eq!((late.from, late.to), (month.to, month.to));
        let early = within("2026-10-05", "2026-10-06");
        assert_eq!((early.from, early.to), (month.from, month.from));
    }
}
