//! The facts of retention: the rulebook, and the topics with their settings as the brokers have them now.

use std::collections::BTreeMap;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, load_rulebook};
use crate::failure::Result;
use crate::kafka::admin::Admin;
use crate::kafka::topic_plan::{TopicPlan, all_served_topic_plans, topic_plans};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook::Rulebook;
use assent_report::retention::Facts;
use assent_report::topic::{Found, Holding, TopicFacts};

/// What a report of retention is made from.
pub struct Gathered {
    made_at: Timestamp,
    rulebook: Rulebook,
    topics: Vec<TopicFacts>,
    lease: Span,
}

impl Gathered {
    pub fn now(config: &Config) -> Result<Self> {
        let rulebook = load_rulebook(&config.rulebook)?.rulebook;
        let topics = facts(config, &rulebook)?;
        let made_at = SystemClock.now();
        Ok(Self { made_at, rulebook, topics, lease: config.pipeline.lease })
    }

    pub fn facts(&self) -> Facts<'_> {
        let Self { made_at, rulebook, topics, lease } = self;
        Facts { made_at: *made_at, rulebook, topics, lease: *lease }
    }
}

/// All that `run` and `serve` have; those of `serve` where it is configured, or where they are there, as those of
/// readers. Not the canary's, which holds nobody's data.
fn facts(config: &Config, rulebook: &Rulebook) -> Result<Vec<TopicFacts>> {
    let rulebook = rulebook.clone().without_canary();
    let admin = Admin::new(config)?;
    let cluster = admin.cluster()?;
    let served = all_served_topic_plans(config).into_iter();
    let served =
        served.filter(|plan| config.is_served() || cluster.topics.contains_key(&plan.name));
    // Readers acknowledge if they like.
    let is_used = |plan: &TopicPlan| {
        plan.key != "topics.reader_acks" || cluster.topics.contains_key(&plan.name)
    };
    let plans = topic_plans(config, &rulebook).into_iter().filter(is_used);
    let plans: Vec<TopicPlan> = plans.chain(served).collect();
    let there = |plan: &&TopicPlan| cluster.topics.contains_key(&plan.name);
    let names: Vec<&str> = plans.iter().filter(there).map(|plan| plan.name.as_str()).collect();
    let mut settings = admin.settings(&names)?;
    Ok(plans
        .iter()
        .map(|plan| fact(config, plan, names.contains(&&*plan.name), &mut settings))
        .collect())
}

fn fact(
    config: &Config,
    plan: &TopicPlan,
    is_there: bool,
    settings: &mut BTreeMap<String, BTreeMap<String, String>>,
) -> TopicFacts {
    let settings = settings.remove(&plan.name);
    let differences = settings.as_ref().map(|found| plan.differences(found)).unwrap_or_default();
    let found = match settings {
        Some(settings) => Found::As(settings),
        None if is_there => Found::Forbidden,
        None => Found::Missing,
    };
    let holding = holding(config, plan);
    TopicFacts { name: plan.name.clone(), key: plan.key, holding, found, differences }
}

fn holding(config: &Config, plan: &TopicPlan) -> Holding {
    match plan.key {
        "topics.clickstream" => Holding::Clicks,
        "topics.consent" => Holding::Consent,
        "topics.state" => Holding::State,
        "topics.audit" => Holding::Audit,
        "topics.contextual" => Holding::Contextual,
        "topics.dead_letters" => Holding::DeadLetters,
        "topics.audit_access" => Holding::AuditAccess,
        "topics.reader_acks" => Holding::ReaderAcks,
        "topics.privacy_requests" => Holding::Requests,
        "topics.identity_map" => Holding::Identities,
        "topics.intake_state" => Holding::IntakeState,
        _ => Holding::Segments(config.topics.purpose_of(&plan.name).unwrap_or_default()),
    }
}
