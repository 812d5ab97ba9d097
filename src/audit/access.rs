//! Records a question in `segmentation-audit-access` before its answer is shown: no record, no answer.
//!
//! Commands serve no metrics: these records are what questions are counted by.

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::write::Writer;
use crate::registry::{self, Framings};
use assent_contract::domain::audit::AuditToken;
use assent_contract::domain::audit::access::{AuditAccess, AuditCommand};

/// What was asked, without a raw identifier (INV-6).
pub struct Asked {
    pub command: AuditCommand,
    /// Under the active key version.
    pub subject: Option<AuditToken>,
    /// The conditions, as given.
    pub filter: String,
    /// `None`: not known yet.
    pub rows: Option<u64>,
    pub reason: Option<String>,
}

/// Returns once all in-sync replicas have it.
pub fn record(config: &Config, asked: Asked) -> Result<()> {
    let topic = &config.topics.audit_access;
    let Asked { command, subject, filter, rows, reason } = asked;
    let access = AuditAccess {
        at: SystemClock.now(),
        operator: operator(config),
        command,
        subject,
        filter,
        rows: rows.map(|rows| rows as i64),
        reason,
    };
    let client = registry::client(config)?;
    let framings =
        Framings::settle(client.as_ref(), &registry::audit_access(config), &SystemClock)?;
    let value = framings.of(topic).frame(&access.body());
    let writer = Writer::open(config, &[topic])?;
    let position = writer.put(topic, access.operator.as_bytes(), Some(&value))?;
    let (partition, offset) = (position.partition, position.offset);
    tracing::info!(
        topic,
        partition,
        offset,
        operator = access.operator,
        "the question is recorded"
    );
    Ok(())
}

/// `audit.operator`, else the user that the process runs as.
fn operator(config: &Config) -> String {
    config.audit.operator.clone().unwrap_or_else(system_user)
}

#[cfg(target_os = "linux")]
fn system_user() -> String {
    let user = rustix::process::getuid().as_raw();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid-{user}"))
}

#[cfg(not(target_os = "linux"))]
fn system_user() -> String {
    "unknown".to_owned()
}
