//! The gate's table as a person reads it (docs/contract/gate.md): its twelve lines, in order.
//!
//! `super::decide` is what runs; a test holds each line's verdicts against the [`Verdict`]s there are.

use crate::domain::outcome::Verdict;

/// One line of the table; the first that applies decides.
pub struct Line {
    /// 1 to 12.
    pub number: u8,
    pub when: &'static str,
    /// One; the last line has the three that allow.
    pub verdicts: &'static [Verdict],
    /// A statute or a regulation as it is cited, or that it is the house's own rule. Empty: it allows.
    pub why: &'static str,
}

pub const LINES: [Line; 12] = [
    Line {
        number: 1,
        when: "clicks only, once a batch: consent sync is behind its bound, or a source of consent \
               with on_silence: close is silent",
        verdicts: &[Verdict::ConsentStale],
        why: "house rule",
    },
    Line {
        number: 2,
        when: "the subject's consent is unreadable, or two records of one version contradict each \
               other",
        verdicts: &[Verdict::ConsentUnreadable],
        why: "house rule",
    },
    Line {
        number: 3,
        when: "there is no consent record (never, or erased)",
        verdicts: &[Verdict::NoConsentRecord],
        why: "house rule; COPPA where age is unknown",
    },
    Line {
        number: 4,
        when: "the purpose is suspended",
        verdicts: &[Verdict::PurposeSuspended],
        why: "counsel's switch (house rule)",
    },
    Line {
        number: 5,
        when: "the decision is DENIED or WITHDRAWN",
        verdicts: &[Verdict::OptedOut],
        why: "Civ. Code 1798.120, .135(c)(4)",
    },
    Line {
        number: 6,
        when: "the purpose is a sale or sharing, and an opt-out preference signal binds the subject: \
               until a grant whose since and double_opt_in_at are both later than the signal, and \
               have both come",
        verdicts: &[Verdict::OptOutSignal],
        why: "11 CCR 7025",
    },
    Line {
        number: 7,
        when: "the age band is UNDER_13 or UNKNOWN, and: no guardian gave coppa_consent; or the \
               purpose is a sale or sharing and the guardian did not give both coppa_disclosure and \
               ccpa_authorization; or the decision is not GRANTED",
        verdicts: &[Verdict::GuardianConsentMissing],
        why: "16 CFR 312.5; 11 CCR 7070; Civ. Code 1798.120(c)",
    },
    Line {
        number: 8,
        when: "the age band is FROM_13_TO_15, and: the decision is not GRANTED; or the purpose is a \
               sale or sharing and the second step of the opt-in (double_opt_in_at) is missing",
        verdicts: &[Verdict::OwnOptInMissing],
        why: "11 CCR 7071; without sale or sharing a house rule",
    },
    Line {
        number: 9,
        when: "the age band is FROM_16_TO_17 or FROM_18, the purpose requires an opt-in, and the \
               decision is not GRANTED",
        verdicts: &[Verdict::OptInMissing],
        why: "the shop's rulebook (house rule)",
    },
    Line {
        number: 10,
        when: "the decision is GRANTED, and now is at or past its expires_at",
        verdicts: &[Verdict::ConsentExpired],
        why: "the person's own term",
    },
    Line {
        number: 11,
        when: "the event's time is before the latest of: since (if GRANTED), guardian.verified_at \
               (UNDER_13, UNKNOWN), double_opt_in_at (FROM_13_TO_15, sale or sharing), the \
               subject's last erasure",
        verdicts: &[Verdict::CollectedBeforeConsent],
        why: "16 CFR 312.5: consent comes before collection",
    },
    Line {
        number: 12,
        when: "else: allowed. GUARDIAN_OPT_IN for UNDER_13 and UNKNOWN, OPT_IN for the others where \
               the decision is GRANTED, NOT_OPTED_OUT where it is not",
        verdicts: &[Verdict::GuardianOptIn, Verdict::OptIn, Verdict::NotOptedOut],
        why: "",
    },
];

/// The line that has this verdict.
pub fn line_of(verdict: Verdict) -> &'static Line {
    let named = LINES.iter().find(|line| line.verdicts.contains(&verdict));
    named.unwrap_or(&LINES[LINES.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_its_line_and_only_the_last_line_allows() {
        let mut named: Vec<Verdict> =
            LINES.iter().flat_map(|line| line.verdicts).copied().collect();
        assert_eq!(named.len(), Verdict::ALL.len());
        named.sort_unstable();
        assert_eq!(named, Verdict::ALL);
        for (number, line) in (1..).zip(&LINES) {
            assert_eq!(line.number, number);
            let allows = number as usize == LINES.len();
            assert!(line.verdicts.iter().all(|verdict| verdict.allows() == allows), "{number}");
            assert_eq!(line.why.is_empty(), allows, "{number}");
        }
    }

    #[test]
    fn a_line_that_withholds_names_each_of_its_grounds() {
        let withholding = LINES.iter().filter(|line| !line.why.is_empty());
        for Line { number, why, .. } in withholding {
            let grounds = ["house rule", "Civ. Code", "CCR", "CFR", "the person's own term"];
            assert!(grounds.iter().any(|ground| why.contains(ground)), "{number}: {why}");
        }
    }
}
