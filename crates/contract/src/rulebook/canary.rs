//! The purpose of the canary, which a rulebook switches on with `canary: true` and can't change: one segment,
//! for whoever clicked within the hour. It is among the purposes that are decided, and in no document, list
//! or count of what is done with people's data.

use super::{Approach, Bound, Condition, Filter, Measure, Purpose, Rulebook, SegmentRule, Slot};
use crate::domain::canary::{RETENTION, SEGMENT};
use crate::domain::ids::CANARY_PURPOSE;

/// `canonical`: how the compiler writes a condition.
pub(super) fn purpose(canonical: fn(Measure, &Filter) -> String) -> Purpose {
    let measure = Measure::Count { within: RETENTION, bound: Bound::AtLeast(1) };
    let filter = Filter::default();
    let canonical = canonical(measure, &filter);
    Purpose {
        id: CANARY_PURPOSE.to_owned(),
        title: "The canary, which is nobody".to_owned(),
        sale_or_share: false,
        requires_opt_in: true,
        suspended: false,
        retention: RETENTION,
        min_members: None,
        readers: Vec::new(),
        slots: vec![Slot { measure, filter, canonical }],
        segments: vec![SegmentRule {
            id: SEGMENT.to_owned(),
            title: "The canary clicked".to_owned(),
            why: "Show that an opt-out ends an assignment in time".to_owned(),
            owner: "assent".to_owned(),
            approach: Approach::Behavioral,
            condition: Condition::Slot(0),
        }],
    }
}

impl Purpose {
    /// Is nobody's data used for it?
    pub fn is_canary(&self) -> bool {
        self.id == CANARY_PURPOSE
    }
}

impl Rulebook {
    /// Does it say `canary: true`?
    pub fn has_canary(&self) -> bool {
        self.purpose_index(CANARY_PURPOSE).is_some()
    }

    /// The purposes that the rulebook's author declared: all that concern people.
    pub fn declared(&self) -> impl Iterator<Item = &Purpose> {
        self.purposes.iter().filter(|purpose| !purpose.is_canary())
    }

    /// The same for whoever serves people only.
    #[must_use]
    pub fn without_canary(mut self) -> Self {
        self.purposes.retain(|purpose| !purpose.is_canary());
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::event::Click;
    use crate::rulebook::compile;

    const RULEBOOK: &str = "rulebook: \"1\"\ndefault_segment: all\ncanary: true\npurposes:\n  - {id: zoo, \
        sale_or_share: false, requires_opt_in: false, retention: 30m}\nsegments:\n  - {id: s, why: w, owner: o, \
        approach: behavioral, purpose: zoo, when: {count: {within: 10m, at_least: 1}}}\n";

    #[test]
    fn a_switch_adds_one_purpose_that_nobody_declared_and_changes_no_bound() {
        let with = compile(RULEBOOK.as_bytes()).unwrap();
        let without = RULEBOOK.replace("canary: true", "canary: false");
        let without = compile(without.as_bytes()).unwrap();
        assert!(with.has_canary() && !without.has_canary());
        let ids: Vec<&str> = with.purposes.iter().map(|purpose| purpose.id.as_str()).collect();
        assert_eq!(ids, ["canary", "zoo"]);
        assert_eq!(with.declared().count(), 1);
        assert_eq!(with.longest_retention, without.longest_retention);
        assert_eq!(with.fields, without.fields);
        assert!(with.purposes[0].counts(&Click::default()));
        assert_eq!(with.without_canary().purposes, without.purposes);
    }

    #[test]
    fn no_rulebook_declares_the_purpose_itself() {
        let own = RULEBOOK.replace("zoo", "canary");
        let faults = compile(own.as_bytes()).unwrap_err();
        assert!(faults.iter().any(|fault| fault.message.contains("`canary`")));
    }
}
