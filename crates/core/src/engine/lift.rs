//! What assignments bring about: of those who are assigned, and of those who are held out instead, how many come
//! in a month, and how many of these then do what the rulebook counts (docs/contract/rulebook.md#measure).
//!
//! Kept of a subject is when they came and whether it followed, of both groups alike; who is held out is kept
//! nowhere, since it follows from the keys. Only totals are for others to read.

use std::collections::BTreeMap;

use assent_contract::domain::binary::{Malformed, Reader, Write};
use assent_contract::domain::calendar::civil;
use assent_contract::domain::event::Click;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Holdout;

/// The form of a record of totals.
const FORMAT: u8 = 1;

/// Totals are kept for as many months as the audit.
const MONTHS_KEPT: i64 = 25;

/// No month is longer.
const MONTH_MAX: Span = Span(31 * Span::DAY.0);

/// A month of UTC, by its number since the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(i64);

/// How many came in a month, and how many of these did what is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lift {
    pub treated: i64,
    pub held_out: i64,
    pub converted_treated: i64,
    pub converted_held_out: i64,
}

/// Of each month and purpose.
pub type Lifts = BTreeMap<(Month, String), Lift>;

/// A subject who was assigned, or would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// When it was counted.
    pub since: Timestamp,
    /// Some segment has held ever since, or holds again.
    pub is_in: bool,
    pub has_converted: bool,
}

impl Month {
    pub fn of(at: Timestamp) -> Self {
        let (year, month, _) = civil(at.0.div_euclid(Span::DAY.0));
        Self(year * 12 + month - 1)
    }

    /// `2026-11`.
    pub fn text(self) -> String {
        format!("{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let (year, month): (i64, i64) = (year.parse().ok()?, month.parse().ok()?);
        let found = Self(year.checked_mul(12)?.checked_add(month)? - 1);
        (found.text() == text).then_some(found)
    }
}

impl Lift {
    pub fn add(&mut self, other: Self) {
        self.treated += other.treated;
        self.held_out += other.held_out;
        self.converted_treated += other.converted_treated;
        self.converted_held_out += other.converted_held_out;
    }

    pub fn pack(self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for number in [self.treated, self.held_out, self.converted_treated, self.converted_held_out]
        {
            out.put_long(number);
        }
        out
    }

    pub fn unpack(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != FORMAT {
            return Err(Malformed("format"));
        }
        let lift = Self {
            treated: reader.long()?,
            held_out: reader.long()?,
            converted_treated: reader.long()?,
            converted_held_out: reader.long()?,
        };
        if reader.is_empty() { Ok(lift) } else { Err(Malformed("end")) }
    }
}

/// Puts what a batch counted to the totals; returns which changed, and which are too old to be kept.
pub fn add_up(
    totals: &mut Lifts,
    counted: Lifts,
    now: Timestamp,
) -> Vec<((Month, String), Option<Lift>)> {
    let mut written = Vec::new();
    for (of, lift) in counted {
        let total = totals.entry(of.clone()).or_default();
        total.add(lift);
        written.push((of, Some(*total)));
    }
    if !written.is_empty() {
        let oldest = Month(Month::of(now).0 - MONTHS_KEPT);
        let old: Vec<_> = totals.keys().filter(|it| it.0 < oldest).cloned().collect();
        for of in old {
            totals.remove(&of);
            written.retain(|it| it.0 != of);
            written.push((of, None));
        }
    }
    written
}

impl Trial {
    pub fn is_measured_at(&self, at: Timestamp, holdout: &Holdout) -> bool {
        at < self.since + holdout.within
    }

    /// Until then it is kept where no segment holds any more: whoever comes back is not counted twice.
    pub fn ends_at(&self, holdout: &Holdout) -> Timestamp {
        self.since + holdout.within.max(MONTH_MAX)
    }

    /// Would this click be its conversion?
    pub fn is_converted_by(&self, click: &Click<'_>, t: Timestamp, holdout: &Holdout) -> bool {
        !self.has_converted
            && self.since < t
            && self.is_measured_at(t, holdout)
            && holdout.is_conversion(click)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = Span::DAY.0;

    #[test]
    fn a_month_is_one_of_the_calendar_and_survives_its_text() {
        let november = Month::of(Timestamp(1_795_305_600_000));
        assert_eq!(november.text(), "2026-11");
        assert_eq!(Month::parse("2026-11"), Some(november));
        let last = Timestamp(1_796_083_200_000 - 1);
        assert_eq!(Month::of(last), november);
        assert_eq!(Month::of(last + Span(1)).text(), "2026-12");
        assert_eq!(Month::of(last + Span(31 * DAY + 1)).text(), "2027-01");
        for wrong in ["2026-13", "2026-0", "2026", "26-1", "x", "2026-1", "+2026-11"] {
            assert_eq!(Month::parse(wrong), None, "{wrong}");
        }
        Month::of(Timestamp::MIN);
        Month::of(Timestamp::MAX);
    }

    #[test]
    fn totals_grow_and_go_after_25_months() {
        let now = Timestamp(1_795_305_600_000);
        let of = |months: i64| (Month(Month::of(now).0 - months), "ads".to_owned());
        let one = Lift { treated: 1, converted_held_out: 2, ..Lift::default() };
        let mut totals: Lifts = [25, 26, 30].map(|months| (of(months), one)).into();
        assert_eq!(add_up(&mut totals, Lifts::new(), now), [], "written with what is counted");
        let written = add_up(&mut totals, [(of(0), one)].into(), now);
        assert_eq!(written, [(of(0), Some(one)), (of(30), None), (of(26), None)]);
        add_up(&mut totals, [(of(0), one)].into(), now);
        let two = Lift { treated: 2, converted_held_out: 4, ..Lift::default() };
        assert_eq!(totals, [(of(25), one), (of(0), two)].into());
        assert_eq!(Lift::unpack(&two.pack()), Ok(two));
        assert!(Lift::unpack(&two.pack()[..4]).is_err() && Lift::unpack(&[9]).is_err());
    }
}
