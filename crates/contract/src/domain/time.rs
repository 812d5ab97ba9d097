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
