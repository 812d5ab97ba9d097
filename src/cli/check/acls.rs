//! The ACLs that a configuration needs, as kafka-acls commands. Nothing more than it needs.

use crate::config::Config;
use crate::kafka::rights::{self, Need};
use crate::kafka::topic_plan::{served_topic_plans, topic_plans};
use assent_contract::rulebook::Rulebook;

/// Said after the grants of Assent itself.
pub const APART: &str = "These grants are for Assent only. A reader of two purposes, or of segments and the audit, can join data that
is kept apart. Give the readers of each purpose, of contextual segments and of the audit their own principal
(docs/readers.md): assent check --print-acls User:NAME --reader PURPOSE";

/// Who writes what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Input {
    Clickstream,
    Consent,
}

/// What the readers of a purpose need, of `contextual` segments, of the `audit`, of `consent`, or of
/// `dead-letters`; `None`: there is no such purpose.
pub fn of_reader(
    config: &Config,
    rulebook: &Rulebook,
    principal: &str,
    purpose: &str,
) -> Option<Vec<String>> {
    let topics = &config.topics;
    let is_declared = rulebook.purposes.iter().any(|declared| declared.id == purpose);
    let (key, topic) = match purpose {
        _ if is_declared => ("topics.segments", topics.segments_of(purpose)),
        "contextual" => ("topics.contextual", topics.contextual.clone()),
        "audit" => ("topics.audit", topics.audit.clone()),
        "consent" => ("topics.consent", topics.consent.clone()),
        "dead-letters" => ("topics.dead_letters", topics.dead_letters.clone()),
        _ => return None,
    };
    let mut needs = vec![rights::of_reader(key, topic)];
    needs.extend(is_declared.then(|| rights::of_acknowledger(config)));
    Some(granted(&needs, config, principal))
}

/// What the producers of an input need.
pub fn of_writer(config: &Config, principal: &str, input: Input) -> String {
    let need = match input {
        Input::Clickstream => rights::of_clicks_writer(config),
        Input::Consent => rights::of_consent_writer(config),
    };
    need.granted_by(config, principal)
}

/// What `assent topics create` needs.
pub fn of_creator(config: &Config, rulebook: &Rulebook, principal: &str) -> Vec<String> {
    granted(&rights::of_creator(&topic_plans(config, rulebook)), config, principal)
}

/// What `assent audit publish` needs: to read the audit, and nothing else.
pub fn of_publisher(config: &Config, principal: &str) -> Vec<String> {
    granted(&rights::of_publisher(config), config, principal)
}

/// What whoever verifies the audit and asks it needs: to read it, and to leave a record of each question.
pub fn of_auditor(config: &Config, principal: &str) -> Vec<String> {
    granted(&rights::of_auditor(config), config, principal)
}

/// What whoever runs `assent report` needs: to read what is counted, and the settings of every topic.
pub fn of_reporter(config: &Config, rulebook: &Rulebook, principal: &str) -> Vec<String> {
    let mut plans = topic_plans(config, &rulebook.clone().without_canary());
    plans.extend(served_topic_plans(config));
    let has_measure = rulebook.purposes.iter().any(|purpose| purpose.measure.is_some());
    granted(&rights::of_reporter(config, &plans, has_measure), config, principal)
}

/// What `assent verify` and `assent report readers` need: to read.
pub fn of_verifier(config: &Config, rulebook: &Rulebook, principal: &str) -> Vec<String> {
    let mut plans = topic_plans(config, rulebook);
    plans.extend(served_topic_plans(config));
    granted(&rights::of_verifier(config, rulebook, &plans), config, principal)
}

/// What `assent serve` needs: to read what it answers from, and to write what it takes in. It reads every
/// segment topic and the audit, and has the keyset: its principal is as trusted as that of Assent itself.
pub fn of_serve(config: &Config, rulebook: &Rulebook, principal: &str) -> Vec<String> {
    let purposes: Vec<String> = rulebook.declared().map(|it| it.id.clone()).collect();
    granted(&rights::of_serve(config, &purposes), config, principal)
}

/// What `assent canary` needs, and `assent run --canary` besides its own; nothing where the rulebook has no
/// canary.
pub fn of_canary(config: &Config, rulebook: &Rulebook, principal: &str) -> Vec<String> {
    let needs = if rulebook.has_canary() { rights::of_canary(config) } else { Vec::new() };
    granted(&needs, config, principal)
}

/// What `assent run` needs.
pub fn commands(config: &Config, rulebook: &Rulebook, principal: &str) -> Vec<String> {
    let mut needs = rights::of_assent(config, &topic_plans(config, rulebook));
    rights::add_reader_lag_rights(&mut needs, config, rulebook);
    granted(&needs, config, principal)
}

fn granted(needs: &[Need], config: &Config, principal: &str) -> Vec<String> {
    needs.iter().map(|need| need.granted_by(config, principal)).collect()
}
