//! What assignments brought about in a month: those who were assigned against those who were held out.
//!
//! The relative lift is the quotient of the two shares of conversions, less 1. Its 95 % interval is that of the
//! logarithm of the quotient (Katz and others, 1978), which takes both shares to be near-normal: hence the least
//! group.

use serde::Serialize;

/// Of fewer in either group nothing is said: an interval would mean little, and a number might be about somebody.
pub const GROUP_MIN: u64 = 100;

/// Standard deviations that hold 95 in 100.
const DEVIATIONS: f64 = 1.959_963_984_540_054;

/// Totals of a month and purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    pub treated: u64,
    pub held_out: u64,
    pub converted_treated: u64,
    pub converted_held_out: u64,
}

/// What the rulebook measures of a purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    pub groups: Groups,
    /// In either group.
    pub least: u64,
    /// What is counted, in plain words.
    pub counted: String,
    pub within: String,
}

#[derive(Clone, Copy, Debug, Serialize, PartialEq)]
pub struct Lift {
    pub treated: u64,
    pub held_out: u64,
    pub converted_treated: u64,
    pub converted_held_out: u64,
    /// 0.1: a tenth more. `None`: nobody who was held out converted.
    pub relative: Option<f64>,
    /// Of its 95 % interval. `None`: nobody converted in one of the groups.
    pub low: Option<f64>,
    pub high: Option<f64>,
}

impl Groups {
    pub fn add(&mut self, other: Self) {
        self.treated += other.treated;
        self.held_out += other.held_out;
        self.converted_treated += other.converted_treated;
        self.converted_held_out += other.converted_held_out;
    }
}

impl Measured {
    /// `None`: one of the groups is too small.
    pub fn lift(&self) -> Option<Lift> {
        let Groups { treated, held_out, converted_treated, converted_held_out } = self.groups;
        let is_enough = treated.min(held_out) >= self.least.max(1);
        is_enough.then(|| {
            let quotient = quotient(self.groups);
            let interval = quotient.zip(deviation(self.groups));
            let bound = |sign: f64| {
                interval.map(|(quotient, deviation)| quotient * (sign * deviation).exp() - 1.0)
            };
            Lift {
                treated,
                held_out,
                converted_treated,
                converted_held_out,
                relative: quotient.map(|quotient| quotient - 1.0),
                low: bound(-1.0),
                high: bound(1.0),
            }
        })
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn quotient(of: Groups) -> Option<f64> {
    let held_out = share(of.converted_held_out, of.held_out);
    (held_out > 0.0).then(|| share(of.converted_treated, of.treated) / held_out)
}

/// Of the logarithm of the quotient, to either side.
fn deviation(of: Groups) -> Option<f64> {
    let part = |converted: u64, all: u64| 1.0 / converted as f64 - 1.0 / all as f64;
    (of.converted_treated > 0 && of.converted_held_out > 0).then(|| {
        let variance =
            part(of.converted_treated, of.treated) + part(of.converted_held_out, of.held_out);
        DEVIATIONS * variance.sqrt()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lift(numbers: [u64; 4], least: u64) -> Option<Lift> {
        let [treated, held_out, converted_treated, converted_held_out] = numbers;
        let groups = Groups { treated, held_out, converted_treated, converted_held_out };
        let (counted, within) = ("purchases".to_owned(), "14 days".to_owned());
        Measured { groups, least, counted, within }.lift()
    }

    fn near(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 5e-4, "{found}, not {expected}");
    }

    /// Computed apart, with another program: 45 of 900 against 4 of 100.
    #[test]
    fn the_interval_is_that_of_the_logarithm_of_the_quotient() {
        let found = lift([900, 100, 45, 4], 100).unwrap();
        near(found.relative, 0.25);
        near(found.low, -0.5409);
        near(found.high, 2.4030);
        let more = lift([90_000, 10_000, 4_500, 400], 100).unwrap();
        near(more.low, 0.1309);
        near(more.high, 0.3817);
    }

    #[test]
    fn too_small_a_group_gives_nothing_and_nobody_who_converts_no_quotient() {
        assert_eq!(lift([99, 5_000, 9, 9], 100), None);
        assert_eq!(lift([5_000, 99, 9, 9], 100), None);
        assert_eq!(lift([0, 0, 0, 0], 0), None);
        let none = lift([100, 100, 7, 0], 100).unwrap();
        assert_eq!((none.relative, none.low, none.high), (None, None, None));
        let never = lift([100, 100, 0, 7], 100).unwrap();
        assert_eq!((never.relative, never.low, never.high), (Some(-1.0), None, None));
    }
}
