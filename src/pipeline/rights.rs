//! What the brokers refuse this user while a run goes on: looked at every few seconds, and at once where a
//! client was refused something. It shows in /readyz, in the log and in a metric until it is granted again.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::error::KafkaError;

use super::shared::Shared;
use crate::kafka::probe::Probe;
use crate::kafka::rights::{Need, Resource, of_assent, of_transactions};
use crate::kafka::token::Keeper;
use crate::kafka::topic_plan::topic_plans;
use crate::kafka::{missing, refusals};
use crate::pace;
use crate::telemetry::metrics::{LOGIN, TRANSACTIONAL_ID};

/// What was refused at the last look: a label of the metric, and what to say of it.
#[derive(Default)]
pub struct Refused(BTreeMap<String, &'static str>);

impl Refused {
    /// `was_refused`: a client was, since the last look. Only then, and while something is refused, is the group's
    /// coordinator asked: each time that it does not answer costs a client
    /// (docs/librdkafka.md#a-question-to-a-coordinator). Members hear of a right that is gone.
    pub fn look(&mut self, shared: &Shared, probe: &Probe, was_refused: bool) {
        let asks_coordinator = was_refused || !self.0.is_empty();
        let setup = shared.setup();
        let plans = topic_plans(&shared.config, &setup.rulebook);
        let needs: Vec<Need> = of_assent(&shared.config, &plans)
            .into_iter()
            .filter_map(Need::without_settings)
            .filter(|need| asks_coordinator || !matches!(need.resource, Resource::Group(_)))
            .collect();
        match missing::find(probe, &needs) {
            Ok(missing) => {
                refusals::is_let_in();
                self.set(shared, found(shared, &missing));
            }
            Err(error) => self.unanswered(shared, probe, &error),
        }
    }

    /// Nothing is known but that the brokers answer, or let in, nobody.
    fn unanswered(&mut self, shared: &Shared, probe: &Probe, error: &KafkaError) {
        tracing::debug!(%error, "the brokers don't say what this user may do");
        probe.renew();
        let mut now = self.0.clone();
        now.retain(|_, label| *label != LOGIN);
        if let Some(why) = refused_login(shared) {
            now.insert(why, LOGIN);
        }
        self.set(shared, now);
    }

    fn set(&mut self, shared: &Shared, now: BTreeMap<String, &'static str>) {
        for gone in self.0.keys().filter(|told| !now.contains_key(*told)) {
            tracing::info!("no longer: {gone}");
        }
        for refused in now.keys() {
            let is_new = !self.0.contains_key(refused);
            if let Some(repeated) = pace::may_say(refused).or(is_new.then_some(0)) {
                tracing::warn!(repeated, "{refused}");
            }
        }
        let labels: BTreeSet<&str> = self.0.values().chain(now.values()).copied().collect();
        for label in labels {
            let count = now.values().filter(|of| **of == label).count();
            shared.metrics.access_refused.with_label_values(&[label]).set(count as i64);
        }
        let told: Vec<&str> = now.keys().map(String::as_str).collect();
        shared.status.set_refused((!told.is_empty()).then(|| told.join(". ")));
        self.0 = now;
    }
}

fn found(shared: &Shared, missing: &[Need]) -> BTreeMap<String, &'static str> {
    let config = &shared.config;
    let told = |need: &Need| format!("{}; {}", need.is_missing(), need.remedy(config));
    let mut found: BTreeMap<String, &'static str> =
        missing.iter().map(|need| (told(need), need.key)).collect();
    if refusals::of_transactions() {
        found.insert(told(&of_transactions(config)), TRANSACTIONAL_ID);
    }
    found
}

/// In a sentence; `None`: whatever it is, it is not the login.
fn refused_login(shared: &Shared) -> Option<String> {
    let no_token =
        shared.config.kafka.oauth.as_ref().and_then(|login| Keeper::of(login).last_error());
    if let Some(error) = no_token {
        return Some(error.failure().message);
    }
    let why = refusals::of_login()?;
    Some(format!(
        "kafka.properties: the brokers don't let this user in ({why}); check the user, its \
         password, token or certificate, and the certificates of the brokers"
    ))
}
