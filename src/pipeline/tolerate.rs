//! What `check` finds and `run` tolerates: a WARN line for each and a metric, on a thread of its own, so that
//! no click waits for it. Looked at again now and then: a topic's settings may change under a service.

use std::collections::BTreeSet;
use std::time::Duration;

use super::preflight::{Finding, Preflight};
use super::shared::Shared;
use crate::failure::Result;
use crate::kafka::admin::Admin;
use crate::telemetry::metrics::CLUSTER_CHECKS;

const LOOK_EVERY: Duration = Duration::from_mins(5);

/// How often it is looked whether the service stops.
const NAP: Duration = Duration::from_millis(200);

/// `found`: at the start, of the topics and the state.
pub fn tell(shared: &Shared, found: Vec<Finding>) {
    let mut told = BTreeSet::new();
    let mut findings = found;
    publish(shared, &findings, &mut told);
    loop {
        findings.extend(surroundings(shared));
        findings.retain(|finding| !finding.ok);
        publish(shared, &findings, &mut told);
        if !nap(shared) {
            return;
        }
        findings = topics(shared).unwrap_or_default();
    }
}

/// False: the service stops.
fn nap(shared: &Shared) -> bool {
    let mut left = LOOK_EVERY;
    while !left.is_zero() {
        if shared.is_stopping() {
            return false;
        }
        std::thread::sleep(NAP);
        left = left.saturating_sub(NAP);
    }
    true
}

/// What is new is told, once; what is no more is forgotten.
fn publish(shared: &Shared, findings: &[Finding], told: &mut BTreeSet<String>) {
    for check in CLUSTER_CHECKS {
        let count = findings.iter().filter(|finding| finding.label() == check).count();
        shared.metrics.cluster_findings.with_label_values(&[check]).set(count as i64);
    }
    let messages: BTreeSet<String> = findings.iter().map(Finding::message).collect();
    for finding in findings.iter().filter(|finding| !told.contains(&finding.message())) {
        if finding.refuses {
            tracing::error!(
                check = finding.check,
                "{}; the next start will be refused",
                finding.message()
            );
        } else {
            tracing::warn!(check = finding.check, "{}", finding.message());
        }
    }
    *told = messages;
}

fn preflight<T>(shared: &Shared, look: impl FnOnce(&Preflight<'_>) -> Result<T>) -> Result<T> {
    look(&Preflight {
        config: &shared.config,
        rulebook: &shared.setup().rulebook,
        registry: shared.registry.as_ref(),
        clock: &*shared.clock,
    })
}

/// What can't be looked at now is looked at later.
fn surroundings(shared: &Shared) -> Vec<Finding> {
    let looked = preflight(shared, |preflight| {
        let admin = Admin::new(&shared.config)?;
        Ok(preflight.surroundings(&admin, &admin.cluster()?))
    });
    let mut findings = Vec::new();
    for part in looked.map_or_else(|failure| vec![Err(failure)], Vec::from) {
        match part {
            Ok(found) => findings.extend(found),
            Err(failure) => {
                tracing::debug!("the cluster could not be checked completely: {failure}");
            }
        }
    }
    findings
}

fn topics(shared: &Shared) -> Result<Vec<Finding>> {
    preflight(shared, |preflight| {
        let admin = Admin::new(&shared.config)?;
        preflight.topics(&admin, &admin.cluster()?)
    })
}
