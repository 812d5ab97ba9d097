//! Who may read what, as findings: a principal that reads two of these topics can join what Assent keeps
//! apart, by hash or by time (INV-7). Sees the ACLs of Kafka's own authorizer, and says where it can't.

use std::collections::BTreeSet;

use super::Finding;
use crate::config::Config;
use crate::kafka::acls::{Acl, Operation};
use crate::kafka::admin::Admin;
use crate::kafka::topic_plan::TopicPlan;

const CHECK: &str = "roles";

/// Everybody, in an ACL.
const EVERYBODY: &str = "User:*";

/// Topics that must not meet in one hand.
const APART: &[&str] = &["topics.segments", "topics.contextual", "topics.audit", "topics.state"];

/// librdkafka 2.12.1 passes a refusal on as an empty answer.
const UNSEEN: &str = "not checked: the brokers list no ACLs for topics. Either there is no \
    authorizer, and anybody who can connect can read every topic; or this user may not list ACLs \
    (Describe on the cluster): run the check as a user who may";

pub fn findings(config: &Config, admin: &Admin, plans: &[TopicPlan]) -> Vec<Finding> {
    match admin.topic_acls() {
        Ok(acls) if acls.is_empty() => vec![Finding::ok(CHECK, UNSEEN)],
        Ok(acls) => judge(config, plans, &acls),
        Err(error) => {
            let detail = format!("not checked: the brokers don't list the ACLs ({error})");
            vec![Finding::ok(CHECK, detail)]
        }
    }
}

fn judge(config: &Config, plans: &[TopicPlan], acls: &[Acl]) -> Vec<Finding> {
    let principals: BTreeSet<&str> = acls.iter().map(|acl| acl.principal.as_str()).collect();
    let state = &config.topics.state;
    let mut findings: Vec<Finding> = principals
        .into_iter()
        .filter(|principal| {
            let is_assent = may(acls, principal, Operation::Write, state)
                || may(acls, principal, Operation::Write, &config.topics.intake_state);
            *principal == EVERYBODY || !is_assent
        })
        .filter_map(|principal| linked(config, plans, acls, principal))
        .collect();
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            "no principal with ACLs can read topics that must stay apart",
        ));
    }
    findings
}

/// What this principal can join.
fn linked(config: &Config, plans: &[TopicPlan], acls: &[Acl], principal: &str) -> Option<Finding> {
    let reads = |plan: &&TopicPlan| may(acls, principal, Operation::Read, &plan.name);
    let all: Vec<&TopicPlan> = plans.iter().filter(reads).collect();
    let apart: Vec<&str> = all
        .iter()
        .filter(|plan| APART.contains(&plan.key))
        .map(|plan| plan.name.as_str())
        .collect();
    if all.len() == plans.len() && principal != EVERYBODY {
        let detail = format!("{principal} can read every topic: use it for `assent verify` only");
        return Some(Finding::ok(CHECK, detail));
    }
    let joins = apart.len() >= 2 || apart.contains(&config.topics.state.as_str());
    joins.then(|| {
        Finding::problem(
            CHECK,
            format!(
                "{principal} can read {}: it could join data that is kept apart",
                apart.join(" and ")
            ),
            "use a separate principal for each purpose, for contextual segments and for the audit \
             (docs/readers.md)",
        )
    })
}

/// As Kafka's authorizer decides: a denial wins; whoever may do everything may do this.
fn may(acls: &[Acl], principal: &str, operation: Operation, topic: &str) -> bool {
    let applies = |acl: &&Acl| {
        (acl.principal == principal || acl.principal == EVERYBODY)
            && (acl.operation == operation || acl.operation == Operation::All)
            && (acl.topic == "*"
                || acl.topic == topic
                || acl.is_prefix && topic.starts_with(&acl.topic))
    };
    let mut applying = acls.iter().filter(applies).peekable();
    applying.peek().is_some() && applying.all(|acl| !acl.is_denial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::topic_plan::Role;

    fn plans() -> Vec<TopicPlan> {
        let plan = |(key, name): (&'static str, &str)| TopicPlan {
            key,
            name: name.to_owned(),
            role: Role::Output,
            settings: std::collections::BTreeMap::new(),
        };
        let topics = [
            ("topics.consent", "consent-changelog"),
            ("topics.state", "assent-state"),
            ("topics.audit", "segmentation-audit"),
            ("topics.segments", "segments.ads"),
            ("topics.segments", "segments.offers"),
            ("topics.contextual", "contextual-segments"),
            ("topics.dead_letters", "segmentation-dead-letters"),
        ];
        topics.map(plan).into()
    }

    /// `principal operation topic`, with `!` before a denial and `*` behind the beginning of names.
    fn acl(line: &str) -> Acl {
        let (line, is_denial) = line.strip_prefix('!').map_or((line, false), |line| (line, true));
        let [principal, operation, topic] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let prefix = topic.strip_suffix('*').filter(|prefix| !prefix.is_empty());
        Acl {
            principal: format!("User:{principal}"),
            topic: prefix.unwrap_or(topic).to_owned(),
            is_prefix: prefix.is_some(),
            operation: match operation {
                "All" => Operation::All,
                "Read" => Operation::Read,
                "Write" => Operation::Write,
                _ => Operation::Other,
            },
            is_denial,
        }
    }

    #[track_caller]
    fn check(lines: &[&str], expect: &[&str]) {
        let acls: Vec<Acl> = lines.iter().map(|line| acl(line)).collect();
        let config = crate::config::load(None, &std::collections::BTreeMap::new()).unwrap();
        let findings = judge(&config, &plans(), &acls);
        let problems = findings.iter().filter(|finding| !finding.ok);
        let named: Vec<&str> =
            problems.map(|finding| finding.detail.split_once(':').unwrap().1).collect();
        let named: Vec<&str> = named.iter().map(|rest| rest.split(':').next().unwrap()).collect();
        assert_eq!(named, expect);
    }

    #[test]
    fn one_principal_has_one_purpose() {
        check(&[], &[]);
        check(&["mail Read segments.offers", "ads Read segments.ads"], &[]);
        check(&["mail Describe segments.offers", "mail Read segments.ads"], &[]);
        check(
            &["mail Read segments.offers", "mail Read segments.ads"],
            &["mail can read segments.ads and segments.offers"],
        );
        check(&["crm Read segments.*"], &["crm can read segments.ads and segments.offers"]);
        check(
            &["auditor Read segmentation-audit", "auditor All segments.ads"],
            &["auditor can read segmentation-audit and segments.ads"],
        );
        check(
            &["web Read contextual-segments", "web Read segments.ads"],
            &["web can read segments.ads and contextual-segments"],
        );
        check(&["ops Read assent-state"], &["ops can read assent-state"]);
        check(&["auditor Read segmentation-audit", "auditor Read consent-changelog"], &[]);
    }

    #[test]
    fn everybody_is_a_principal_and_a_denial_wins() {
        check(
            &["* Read segments.*", "mail Read segmentation-audit"],
            &[
                "* can read segments.ads and segments.offers",
                "mail can read segmentation-audit and segments.ads and segments.offers",
            ],
        );
        check(&["crm Read segments.*", "!crm Read segments.ads"], &[]);
        check(&["crm Read segments.*", "!crm All segments.ads"], &[]);
        check(
            &["* All *"],
            &[
                "* can read assent-state and segmentation-audit and segments.ads and segments.offers \
                and contextual-segments",
            ],
        );
    }

    #[test]
    fn assent_itself_and_who_verifies_read_what_they_must() {
        check(
            &[
                "assent Read assent-state",
                "assent Write assent-state",
                "assent Read segmentation-audit",
            ],
            &[],
        );
        check(&["verifier Read *"], &[]);
    }
}
