//! The settings of a topic on which an invariant rests: `run` refuses what is otherwise. The other
//! settings of the contract are told, and tolerated.
//!
//! Pure: knows no cluster.

use std::collections::BTreeMap;

use super::topic_plan::TopicPlan;

type Settings = BTreeMap<String, String>;

/// A setting that would break an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// `name=value`, as the cluster has it.
    pub found: String,
    /// `name=value`, as it must be.
    pub right: &'static str,
    pub why: &'static str,
}

const TIME: &str = "message.timestamp.type";
const POLICY: &str = "cleanup.policy";
const BY_BROKER: &str = "message.timestamp.type=LogAppendTime";
const COMPACT: &str = "cleanup.policy=compact";
const DELETE: &str = "cleanup.policy=delete";

/// Whether anything of this topic can break an invariant, so that its settings must be known.
pub fn must_be_known(plan: &TopicPlan) -> bool {
    !matches!(
        plan.key,
        "topics.contextual"
            | "topics.dead_letters"
            | "topics.audit_access"
            | "topics.privacy_requests"
            | "topics.identity_map"
            | "topics.intake_state"
            | "topics.reader_acks"
    )
}

/// The first setting of this topic that would break an invariant.
pub fn find_break(plan: &TopicPlan, settings: &Settings) -> Option<Break> {
    match plan.key {
        "topics.consent" => producers_time(settings).or_else(|| {
            let lost = "a record that is deleted for its age may be the last decision of a person";
            not_compact(settings, lost)
        }),
        "topics.state" => not_compact(settings, "earlier decisions would be forgotten"),
        "topics.segments" => not_compact(
            settings,
            "a tombstone could be deleted before a reader has it, and the key that it removes \
             would stay",
        ),
        "topics.clickstream" => compacts(
            settings,
            "a click that is compacted away before it is decided may have held an opt-out signal",
        ),
        "topics.audit" => compacts(settings, "the chain would keep only its last batches"),
        _ => None,
    }
}

fn value<'a>(settings: &'a Settings, name: &str) -> &'a str {
    settings.get(name).map_or("unset", String::as_str)
}

fn producers_time(settings: &Settings) -> Option<Break> {
    let found = value(settings, TIME);
    (found != "LogAppendTime").then(|| Break {
        found: format!("{TIME}={found}"),
        right: BY_BROKER,
        why: "records have the time that their producer sets: a late copy of earlier consent would \
            undo an erasure that was dated too early",
    })
}

fn not_compact(settings: &Settings, lost: &'static str) -> Option<Break> {
    let found = value(settings, POLICY);
    let has = |policy| found.split(',').any(|part| part.trim() == policy);
    let limited = |name| value(settings, name) != "-1";
    let loses = has("delete") && (limited("retention.ms") || limited("retention.bytes"));
    let why = if loses {
        lost
    } else if !has("compact") {
        "values that a person had removed would stay"
    } else {
        return None;
    };
    Some(Break { found: format!("{POLICY}={found}"), right: COMPACT, why })
}

fn compacts(settings: &Settings, why: &'static str) -> Option<Break> {
    let found = value(settings, POLICY);
    let compacts = found.split(',').any(|part| part.trim() == "compact");
    compacts.then(|| Break { found: format!("{POLICY}={found}"), right: DELETE, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::topic_plan::Role;

    #[track_caller]
    fn check(key: &'static str, pairs: &[(&str, &str)], expect: Option<&str>) {
        let plan =
            TopicPlan { key, name: "t".to_owned(), role: Role::Input, settings: BTreeMap::new() };
        let settings =
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let found = find_break(&plan, &settings).map(|broken| broken.found);
        assert_eq!(found.as_deref(), expect, "{key}");
    }

    #[test]
    fn what_loses_or_misdates_is_a_break() {
        let by_broker = ("message.timestamp.type", "LogAppendTime");
        let compact = ("cleanup.policy", "compact");
        let both = ("cleanup.policy", "compact,delete");
        let forever = [("retention.ms", "-1"), ("retention.bytes", "-1")];
        check("topics.consent", &[by_broker, compact], None);
        check(
            "topics.consent",
            &[("message.timestamp.type", "CreateTime"), compact],
            Some("message.timestamp.type=CreateTime"),
        );
        check("topics.consent", &[compact], Some("message.timestamp.type=unset"));
        check("topics.consent", &[by_broker, both], Some("cleanup.policy=compact,delete"));
        check("topics.consent", &[&[by_broker, both][..], &forever].concat(), None);
        check(
            "topics.consent",
            &[by_broker, both, ("retention.ms", "-1"), ("retention.bytes", "1000000")],
            Some("cleanup.policy=compact,delete"),
        );
        for key in ["topics.state", "topics.segments"] {
            check(key, &[compact], None);
            check(key, &[("cleanup.policy", "delete")], Some("cleanup.policy=delete"));
            check(
                key,
                &[&[("cleanup.policy", "delete")][..], &forever].concat(),
                Some("cleanup.policy=delete"),
            );
            check(key, &[("cleanup.policy", "")], Some("cleanup.policy="));
            check(key, &[], Some("cleanup.policy=unset"));
        }
        for key in ["topics.clickstream", "topics.audit"] {
            check(key, &[("cleanup.policy", "delete")], None);
            check(key, &[both], Some("cleanup.policy=compact,delete"));
        }
        check("topics.contextual", &[compact], None);
        check("topics.dead_letters", &[compact], None);
    }
}
