//! One question that somebody asked of the audit, and its Avro body (`assent.v1.AuditAccess`).
//!
//! Holds no raw identifier (INV-6): a subject is there by its audit token.

use super::AuditToken;
use crate::domain::binary::Write;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Which command asked; in the order of the schema's symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AuditCommand {
    Query,
    Explain,
    Affected,
    Export,
    SubjectReport,
    /// One that this version does not know.
    Other,
}

impl AuditCommand {
    pub const ALL: [Self; 6] = [
        Self::Query,
        Self::Explain,
        Self::Affected,
        Self::Export,
        Self::SubjectReport,
        Self::Other,
    ];

    /// The schema's symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Query => "QUERY",
            Self::Explain => "EXPLAIN",
            Self::Affected => "AFFECTED",
            Self::Export => "EXPORT",
            Self::SubjectReport => "SUBJECT_REPORT",
            Self::Other => "OTHER",
        }
    }
}

/// Written before its answer is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditAccess {
    pub at: Timestamp,
    /// `audit.operator`, else the user of the operating system. Also the Kafka key.
    pub operator: String,
    pub command: AuditCommand,
    /// Under the active key version; `None`: of nobody in particular.
    pub subject: Option<AuditToken>,
    /// The other conditions, as given.
    pub filter: String,
    /// How many entries the answer has; `None`: not known before it is shown.
    pub rows: Option<i64>,
    pub reason: Option<String>,
}

impl AuditAccess {
    /// Its Avro body.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_long(self.at.0);
        out.put_string(&self.operator);
        out.put_long(self.command as i64);
        match &self.subject {
            None => out.put_long(0),
            Some(token) => {
                out.put_long(1);
                out.put_fixed(token);
            }
        }
        out.put_string(&self.filter);
        out.put_optional_long(self.rows);
        out.put_optional_string(self.reason.as_deref());
        out
    }
}
