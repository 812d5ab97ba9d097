//! The schema registry before `run`, as findings: does it answer this user, are the schemas there or
//! could they be, and can what the inputs' producers registered be read? Registers nothing.

use super::Finding;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::failure::{Exit, Result};
use crate::registry::client::Client;
use crate::registry::{self, SchemaStatus, Subject};

const CHECK: &str = "registry";

/// Fails (69) where the registry is out of reach. None is configured: nothing is found.
pub fn findings(
    config: &Config,
    client: Option<&Client>,
    purposes: &[String],
) -> Result<Vec<Finding>> {
    let Some(client) = client else { return Ok(Vec::new()) };
    if let Err(failure) = registry::reach(client, &SystemClock) {
        return if failure.exit == Exit::Unavailable {
            Err(failure)
        } else {
            Ok(vec![Finding::problem(CHECK, failure.message, "correct it, and check again")])
        };
    }
    let mut findings = vec![Finding::ok(CHECK, format!("{} answers", client.url()))];
    for subject in registry::outputs(config, purposes) {
        findings.push(output(&subject, &SchemaStatus::of_output(client, &subject)?));
    }
    for subject in registry::inputs(config) {
        findings.push(input(&subject, &SchemaStatus::of_input(client, &subject)?));
    }
    Ok(findings)
}

fn output(subject: &Subject, status: &SchemaStatus) -> Finding {
    let name = subject.name();
    match status {
        SchemaStatus::Registered(id) => Finding::ok(CHECK, format!("{name}: id {id}")),
        SchemaStatus::Free => Finding::ok(
            CHECK,
            format!(
                "{name}: not registered yet; `run` and `topics create` register it if they are \
                 allowed to"
            ),
        ),
        SchemaStatus::Contradicts(why) => Finding::problem(
            CHECK,
            format!("{name}: the registered schema is not assent's {:?}: {why}", subject.schema),
            "remove it, relax the compatibility of the subject, or give the topic another name",
        ),
    }
}

fn input(subject: &Subject, status: &SchemaStatus) -> Finding {
    let name = subject.name();
    match status {
        SchemaStatus::Registered(id) => {
            Finding::ok(CHECK, format!("{name}: the newest schema, id {id}, can be read"))
        }
        SchemaStatus::Free => Finding::ok(CHECK, format!("{name}: no schema is registered yet")),
        SchemaStatus::Contradicts(why) => Finding::problem(
            CHECK,
            format!("{name}: the newest schema can't be read as {:?}: {why}", subject.schema),
            "change the schema that the producer registers (docs/producers.md)",
        ),
    }
}
