//! Which entries were asked for.

use std::collections::BTreeSet;

use assent_contract::domain::audit::AuditToken;
use assent_contract::domain::outcome::{InputKind, Outcome, Verdict};
use assent_contract::domain::time::Timestamp;

use crate::row::Found;

/// All conditions hold at once; a condition that is not given holds always.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The subject under every key version that can be computed; empty: of everybody.
    pub subject: BTreeSet<AuditToken>,
    /// `decided_at`: from this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// There is a verdict for this purpose, or an effect on it.
    pub purpose: Option<String>,
    /// There is this verdict: for the purpose, where one is given.
    pub verdict: Option<Verdict>,
    pub outcome: Option<Outcome>,
    pub record: Option<Input>,
}

/// A record of one of the two inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// `Click` or `Consent`.
    pub kind: InputKind,
    pub partition: i32,
    pub offset: i64,
}

impl Filter {
    pub fn matches(&self, found: &Found) -> bool {
        let (head, entry) = (&found.head, &found.entry);
        let is_of = |token: &AuditToken| self.subject.contains(token);
        (self.subject.is_empty() || entry.subject.as_ref().is_some_and(is_of))
            && self.covers(head.decided_at)
            && self.outcome.is_none_or(|outcome| entry.outcome == outcome)
            && self.record.is_none_or(|it| {
                (it.partition, it.kind, Some(it.offset))
                    == (found.partition, entry.input, entry.offset)
            })
            && self.purpose.as_ref().is_none_or(|id| {
                found.verdict(id).is_some() || found.effects().any(|(of, ..)| of == *id)
            })
            && self.verdict.is_none_or(|wanted| {
                let of_purpose = |id: &str| self.purpose.as_ref().is_none_or(|it| it == id);
                found.verdicts().any(|(id, verdict)| verdict == wanted && of_purpose(id))
            })
    }

    /// Is this moment within the times that were asked for?
    pub fn covers(&self, decided_at: Timestamp) -> bool {
        self.from.is_none_or(|from| decided_at >= from) && self.to.is_none_or(|to| decided_at < to)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use assent_contract::domain::audit::{AuditBatch, AuditEntry, Effect};
    use assent_contract::domain::outcome::TombstoneReason;

    use super::*;

    fn found() -> Found {
        let head = AuditBatch {
            chain: "shop/3".to_owned(),
            sequence: 7,
            previous: [0; 32],
            decided_at: Timestamp(1_000),
            rulebook: "1".to_owned(),
            rulebook_sha256: [0; 32],
            key_version: 1,
            click_from: 5,
            click_to: 6,
            consent_from: 0,
            consent_to: 0,
            barrier: 0,
            gate_open: true,
            purposes: vec!["ads".to_owned(), "offers".to_owned()],
            entries: Vec::new(),
        };
        let entry = AuditEntry {
            input: InputKind::Click,
            offset: Some(5),
            outcome: Outcome::Decided,
            subject: Some([9; 17]),
            consent_version: Some(2),
            verdicts: vec![Verdict::OptedOut, Verdict::OptIn],
            effects: vec![Effect::removed(0, 1, TombstoneReason::SegmentsLeft)],
        };
        Found { partition: 3, at: 40, place: 0, head: Arc::new(head), entry }
    }

    #[track_caller]
    fn check(filter: &Filter, expect: bool) {
        assert_eq!(filter.matches(&found()), expect, "{filter:?}");
    }

    #[test]
    fn each_condition_alone() {
        let all = Filter::default;
        check(&all(), true);
        for (token, expect) in [([9; 17], true), ([8; 17], false)] {
            check(&Filter { subject: [token].into(), ..all() }, expect);
        }
        for (from, to, expect) in [(1_000, 1_001, true), (1_001, 2_000, false), (0, 1_000, false)] {
            let (from, to) = (Some(Timestamp(from)), Some(Timestamp(to)));
            check(&Filter { from, to, ..all() }, expect);
        }
        for (outcome, expect) in [(Outcome::Decided, true), (Outcome::TooLate, false)] {
            check(&Filter { outcome: Some(outcome), ..all() }, expect);
        }
        for (kind, partition, offset, expect) in [
            (InputKind::Click, 3, 5, true),
            (InputKind::Consent, 3, 5, false),
            (InputKind::Click, 2, 5, false),
            (InputKind::Click, 3, 6, false),
        ] {
            let record = Some(Input { kind, partition, offset });
            check(&Filter { record, ..all() }, expect);
        }
    }

    #[test]
    fn a_verdict_is_that_of_the_purpose() {
        for (purpose, verdict, expect) in [
            (None, Some(Verdict::OptIn), true),
            (Some("offers"), Some(Verdict::OptIn), true),
            (Some("ads"), Some(Verdict::OptIn), false),
            (Some("ads"), None, true),
            (Some("other"), None, false),
        ] {
            let purpose = purpose.map(str::to_owned);
            check(&Filter { purpose, verdict, ..Filter::default() }, expect);
        }
    }

    #[test]
    fn the_json_is_that_of_the_contract() {
        let json = serde_json::to_string(&found().row()).unwrap();
        let expect = concat!(
            r#"{"chain":"shop/3","sequence":7,"partition":3,"input":"CLICK","offset":5,"#,
            r#""decided_at":1000,"outcome":"DECIDED","subject":"0909090909090909090909090909090909","#,
            r#""consent_version":2,"verdicts":{"ads":"OPTED_OUT","offers":"OPT_IN"},"#,
            r#""effects":[{"purpose":"ads","key_version":1,"kind":"removed","#,
            r#""reason":"segments_left"}],"rulebook":"1"}"#,
        );
        assert_eq!(json, expect);
    }
}
