//! Points in time and spans, both in milliseconds. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Epoch milliseconds, UTC. Any `i64` may arrive from outside, so arithmetic saturates.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

/// What two clocks said together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock: what is recorded. It may be wrong, and jump.
    pub wall: Timestamp,
    /// Since a fixed moment before the start, suspended time included: for ages. It never goes back.
    pub uptime: Span,
}

impl Timestamp {
    pub const MIN: Self = Self(i64::MIN);
    pub const MAX: Self = Self(i64::MAX);

    /// The start of the second that holds this moment: how clicks are kept
    /// (docs/contract/rulebook.md#time).
    #[must_use]
    pub fn floor_second(self) -> Self {
        Self(self.0.div_euclid(Span::SECOND.0).saturating_mul(Span::SECOND.0))
    }

    /// The first full minute at or after this moment: how a binding time is kept
    /// (docs/contract/gate.md#how-it-binds).
    #[must_use]
    pub fn ceil_minute(self) -> Self {
        let floor = self.0.div_euclid(Span::MINUTE.0).saturating_mul(Span::MINUTE.0);
        if floor == self.0 { self } else { Self(floor.saturating_add(Span::MINUTE.0)) }
    }
}

impl Span {
    pub const SECOND: Self = Self(1_000);
    pub const MINUTE: Self = Self(60_000);
    pub const HOUR: Self = Self(3_600_000);
    pub const DAY: Self = Self(86_400_000);
    /// 24 months: how long an erasure's residue and the signal of a subject without record are
    /// kept (11 CCR 7101(a)). Two years with a leap day, so never shorter than the law's.
    pub const MONTHS_24: Self = Self(731 * Self::DAY.0);

    /// From a whole number and its unit: `100ms`, `90s`, `30m`, `48h`, `7d`. `None`: it is something else, or
    /// too long to count.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).filter(|&at| at > 0)?;
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == &text[digits..])?;
        text[..digits].parse::<i64>().ok()?.checked_mul(unit.0).map(Self)
    }
}

/// Of a duration as a person writes it, the longest first.
const UNITS: [(&str, Span); 5] = [
    ("d", Span::DAY),
    ("h", Span::HOUR),
    ("m", Span::MINUTE),
    ("s", Span::SECOND),
    ("ms", Span(1)),
];

/// In the longest unit that is exact: `7d`, `36h`, `90s`. [`Span::parse`] reads it.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.into_iter().find(|(_, unit)| self.0 % unit.0 == 0);
        let (name, unit) = exact.expect("a millisecond divides all");
        write!(f, "{}{name}", self.0 / unit.0)
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Span;
    fn sub(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, further: Self) -> Self {
        Self(self.0.saturating_add(further.0))
    }
}

impl Sub for Span {
    type Output = Self;
    fn sub(self, shorter: Self) -> Self {
        Self(self.0.saturating_sub(shorter.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_of_one_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("90s", 90_000),
            ("30m", 1_800_000),
            ("48h", 172_800_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(Span::parse(text), Some(Span(millis)), "{text}");
        }
        for text in [
            "",
            "d",
            "7",
            "-1d",
            "+1d",
            "1.5h",
            "7 d",
            "7w",
            "1h30m",
            "99999999999999999999d",
            "9223372036854775807d",
            "é",
        ] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_is_shown_as_a_person_writes_it() {
        for text in ["7d", "36h", "90m", "90s", "1s", "18262d", "1ms", "1500ms"] {
            assert_eq!(Span::parse(text).map(|span| span.to_string()).as_deref(), Some(text));
        }
    }
}
