//! What a cluster must be like for `run`, as findings. `check` prints them all; `run` refuses, before it
//! joins the group, what would break an invariant, and tells the rest, which it tolerates.

mod cluster;
mod finding;
mod past;
mod rights;
mod roles;
mod schemas;

use std::time::Duration;

pub use finding::Finding;

use crate::clock::Clock;
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use crate::kafka::admin::{Admin, Cluster};
use crate::kafka::probe::Probe;
use crate::kafka::topic_plan::{Role, TopicPlan, served_topic_plans, topic_plans};
use crate::kafka::topics::Counts;
use crate::registry::client::Client;
use assent_contract::rulebook::Rulebook;
use assent_core::engine::Setup;

/// What a preflight looks at.
pub struct Preflight<'a> {
    pub config: &'a Config,
    pub rulebook: &'a Rulebook,
    pub registry: Option<&'a Client>,
    pub clock: &'a dyn Clock,
}

/// How long brokers that answered before may be silent before `run` gives up.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(500);

impl Preflight<'_> {
    /// The topics that `run` needs.
    pub fn plans(&self) -> Vec<TopicPlan> {
        let all = topic_plans(self.config, self.rulebook).into_iter();
        all.filter(|plan| plan.role != Role::Aside).collect()
    }

    /// And those of commands, where they are there, or the configuration says that the commands are used.
    fn plans_in(&self, cluster: &Cluster) -> Vec<TopicPlan> {
        let is_looked_at = |plan: &TopicPlan| {
            let is_used = match plan.key {
                "topics.reader_acks" => false, // by readers, if they like
                _ => plan.role != Role::Aside || self.config.audit.is_used(),
            };
            is_used || cluster.topics.contains_key(&plan.name)
        };
        let all = topic_plans(self.config, self.rulebook).into_iter();
        all.filter(is_looked_at).collect()
    }

    /// Topics and their settings. Fails (69) where the cluster can't be reached.
    pub fn topics(&self, admin: &Admin, cluster: &Cluster) -> Result<Vec<Finding>> {
        cluster::findings(self.config, admin, &self.plans_in(cluster), cluster)
    }

    /// What this user may do.
    pub fn rights(&self, probe: &Probe) -> Vec<Finding> {
        rights::findings(self.config, probe, &self.plans())
    }

    /// The topics of `assent serve` and their settings: of no concern to `run`.
    pub fn served_topics(&self, admin: &Admin, cluster: &Cluster) -> Result<Vec<Finding>> {
        cluster::tolerated(self.config, admin, &served_topic_plans(self.config), cluster)
    }

    /// What the state was made with, against the configuration.
    pub fn past(&self, cluster: &Cluster, setup: &Setup) -> Result<Vec<Finding>> {
        past::findings(self, cluster, setup)
    }

    /// What `run` tolerates: where keys lie, the schema registry, who may read what.
    pub fn surroundings(&self, admin: &Admin, cluster: &Cluster) -> [Result<Vec<Finding>>; 3] {
        let purposes: Vec<String> = self.rulebook.purposes.iter().map(|p| p.id.clone()).collect();
        [
            cluster::placement(self.config, &self.plans(), cluster, self.clock),
            schemas::findings(self.config, self.registry, &purposes),
            Ok(roles::findings(self.config, admin, &self.plans())),
        ]
    }

    /// Before the group is joined: 78 for what would break an invariant, 69 where the brokers fall
    /// silent. Returns what is tolerated.
    pub fn admit(&self, setup: &Setup) -> Result<Vec<Finding>> {
        let deadline = self.clock.instant() + ANSWERED_WITHIN;
        let findings = loop {
            match self.look(setup) {
                Err(failure)
                    if failure.exit == Exit::Unavailable && self.clock.instant() < deadline =>
                {
                    std::thread::sleep(RETRY);
                }
                answer => break answer?,
            }
        };
        let (refused, tolerated): (Vec<Finding>, Vec<Finding>) =
            findings.into_iter().filter(|finding| !finding.ok).partition(|finding| finding.refuses);
        match refused.as_slice() {
            [] => Ok(tolerated),
            [only] => Err(Failure::config(only.message())),
            [first, others @ ..] => Err(Failure::config(format!(
                "{} (and {} more of this kind, see `assent check`)",
                first.message(),
                others.len()
            ))),
        }
    }

    fn look(&self, setup: &Setup) -> Result<Vec<Finding>> {
        let admin = Admin::new(self.config)?;
        let cluster = admin.cluster()?;
        let mut findings = self.topics(&admin, &cluster)?;
        findings.extend(self.past(&cluster, setup)?);
        Ok(findings)
    }
}

/// The partition counts that the rest of a check rests on; `None`: a topic is missing, or the counts
/// differ, which is a finding of its own.
pub fn counts(config: &Config, rulebook: &Rulebook, cluster: &Cluster) -> Option<Counts> {
    let of = |topic: &str| cluster.topics.get(topic).copied();
    let topics = &config.topics;
    let inputs = of(&topics.clickstream)?;
    let alike = [&topics.consent, &topics.state, &topics.audit];
    if alike.iter().any(|topic| of(topic) != Some(inputs)) {
        return None;
    }
    let segments = rulebook
        .purposes
        .iter()
        .map(|purpose| Some((purpose.id.clone(), of(&topics.segments_of(&purpose.id))?)));
    Some(Counts {
        inputs,
        segments: segments.collect::<Option<_>>()?,
        contextual: of(&topics.contextual)?,
        dead_letters: of(&topics.dead_letters)?,
    })
}
