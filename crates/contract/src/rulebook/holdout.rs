//! The holdout of a purpose: how many get no assignment, so that what assignments bring about can be measured.
//!
//! Who is held out follows from the keyset and the subject alone (docs/contract/pseudonyms.md#holdout); nothing else
//! that is decided of a person rests on it.

use super::{Filter, words};
use crate::domain::event::Click;
use crate::domain::time::Span;

/// Most of 100 that may be held out.
pub(super) const PERCENT_MAX: u8 = 50;

/// `measure:` of a purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdout {
    /// Of 100 subjects so many are held out.
    pub percent: u8,
    /// The kinds of clicks that are a conversion.
    pub of: Filter,
    /// How long after a subject would be assigned a click is a conversion.
    pub within: Span,
}

impl Holdout {
    /// Is the subject with this number held out? The number is evenly distributed.
    pub fn takes(&self, number: u64) -> bool {
        u128::from(number) * 100 < u128::from(self.percent) << 64
    }

    pub fn is_conversion(&self, click: &Click<'_>) -> bool {
        self.of.matches(click)
    }

    /// As the rulebook writes it: `10%`.
    pub fn share(&self) -> String {
        format!("{}%", self.percent)
    }

    /// `purchases`.
    pub fn counted(&self) -> String {
        words::conversions(self)
    }

    /// `14 days`.
    pub fn window(&self) -> String {
        words::span(self.within)
    }

    /// The number before the sign, where it is one that a rulebook may have.
    pub(super) fn parse_share(text: &str) -> Option<u8> {
        let digits = text.strip_suffix('%')?.trim_end();
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let percent = digits.parse().ok().filter(|_| is_plain)?;
        (1..=PERCENT_MAX).contains(&percent).then_some(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventKind;
    use crate::rulebook::compile;

    #[test]
    fn so_many_of_a_hundred_numbers_are_taken() {
        let holdout = |percent| Holdout { percent, of: Filter::default(), within: Span::DAY };
        let hundredth = |at: u64| u64::MAX / 100 * at + u64::MAX / 200;
        for percent in [1, 10, 50] {
            let taken = (0..100).filter(|at| holdout(percent).takes(hundredth(*at)));
            assert_eq!(taken.count(), usize::from(percent));
        }
        assert!(holdout(1).takes(0) && !holdout(50).takes(u64::MAX));
        assert!(holdout(50).takes(u64::MAX / 2) && !holdout(50).takes(u64::MAX / 2 + 1));
    }

    #[test]
    fn a_number_is_taken_from_the_percentage_on_that_the_contract_says() {
        let vectors = include_str!("../../../../tests/vectors/vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        for case in vectors["holdout"]["cases"].as_array().unwrap() {
            let number = u64::from_str_radix(case["number"].as_str().unwrap(), 16).unwrap();
            let holdout = |percent| Holdout { percent, of: Filter::default(), within: Span::DAY };
            let least = (1..=100).find(|percent| holdout(*percent).takes(number));
            assert_eq!(least.map(u64::from), case["held_out_from_percent"].as_u64());
        }
    }

    fn rulebook(measure: &str) -> String {
        format!(
            "rulebook: v1\ndefault_segment: all\npurposes:\n  - {{id: offers, sale_or_share: false, \
             requires_opt_in: true, retention: 30d, measure: {measure}}}\nsegments:\n  - {{id: grown, why: w, owner: o, \
             approach: demographic, purpose: offers, when: {{age_band: {{in: [FROM_18]}}}}}}\n"
        )
    }

    #[test]
    fn a_measured_purpose_reads_the_kind_of_click() {
        let compiled = compile(rulebook("{holdout: 10%, of: PURCHASE, within: 14d}").as_bytes());
        let compiled = compiled.unwrap();
        let holdout = compiled.purposes[0].measure.as_ref().unwrap();
        let of = Filter { kinds: Some(vec![EventKind::Purchase]), ..Filter::default() };
        assert_eq!(*holdout, Holdout { percent: 10, of, within: Span(14 * Span::DAY.0) });
        assert!(compiled.fields.kind && !compiled.fields.category);
        let click = |kind| Click { kind, ..Click::default() };
        assert!(holdout.is_conversion(&click(EventKind::Purchase)));
        assert!(!holdout.is_conversion(&click(EventKind::Search)));
        let any = compile(rulebook("{holdout: 50%, of: any, within: 30d}").as_bytes()).unwrap();
        let holdout = any.purposes[0].measure.as_ref().unwrap();
        assert!(holdout.is_conversion(&click(EventKind::Search)) && !any.fields.kind);
    }

    #[test]
    fn a_faulty_measure_is_refused_at_its_place() {
        for (measure, word) in [
            ("{of: PURCHASE, within: 14d}", "`holdout` is missing"),
            ("{holdout: 60%, of: PURCHASE, within: 14d}", "`holdout` is `60%`"),
            ("{holdout: 10, of: PURCHASE, within: 14d}", "`holdout` is `10`"),
            ("{holdout: 10%, within: 14d}", "`of` is missing"),
            ("{holdout: 10%, of: BUY, within: 14d}", "`BUY` is unknown"),
            ("{holdout: 10%, of: PURCHASE}", "`within` is missing"),
            ("{holdout: 10%, of: PURCHASE, within: 31d}", "31d is longer than the `retention`"),
            ("{holdout: 10%, of: PURCHASE, within: 14d, min: 3}", "unknown field `min`"),
            ("10%", "`measure` must be a mapping"),
        ] {
            let faults = compile(rulebook(measure).as_bytes()).unwrap_err();
            let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
            assert!(shown.len() == 1 && shown[0].starts_with("4:"), "{shown:?}");
            assert!(shown[0].contains(word), "{word}: {shown:?}");
        }
    }

    #[test]
    fn a_share_is_a_whole_number_of_per_cent() {
        for (text, expected) in [
            ("10%", Some(10)),
            ("1 %", Some(1)),
            ("50%", Some(50)),
            ("51%", None),
            ("0%", None),
            ("10", None),
            ("+5%", None),
            ("0.1%", None),
            ("%", None),
            ("300%", None),
        ] {
            assert_eq!(Holdout::parse_share(text), expected, "{text}");
        }
    }
}
