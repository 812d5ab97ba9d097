//! The schemas in schemas/, parsed once, and their CRC-64-AVRO fingerprints.

use std::sync::{Arc, LazyLock};

use super::avro::{Plan, Schema};

/// A schema of the contract, namespace `assent.v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaName {
    ClickEvent,
    ConsentRecord,
    SegmentAssignment,
    ContextualSegment,
    DeadLetter,
    AuditBatch,
    AuditAccess,
    PrivacyRequest,
    ReaderAck,
}

static SCHEMAS: LazyLock<[Arc<Schema>; SchemaName::ALL.len()]> = LazyLock::new(|| {
    let parse = |name: SchemaName| Schema::parse(name.json());
    SchemaName::ALL.map(|name| Arc::new(parse(name).expect("the schemas in schemas/ are valid")))
});

/// Of each as itself.
static PLANS: LazyLock<[Plan; SchemaName::ALL.len()]> = LazyLock::new(|| {
    let plan = |name: SchemaName| Plan::resolve(name.schema(), name.schema());
    SchemaName::ALL.map(|name| plan(name).expect("a schema reads as itself"))
});

impl SchemaName {
    pub const ALL: [Self; 9] = [
        Self::ClickEvent,
        Self::ConsentRecord,
        Self::SegmentAssignment,
        Self::ContextualSegment,
        Self::DeadLetter,
        Self::AuditBatch,
        Self::AuditAccess,
        Self::PrivacyRequest,
        Self::ReaderAck,
    ];

    /// The file's text, with its documentation.
    pub fn json(self) -> &'static str {
        match self {
            Self::ClickEvent => include_str!("../../../../schemas/click_event.avsc"),
            Self::ConsentRecord => include_str!("../../../../schemas/consent_record.avsc"),
            Self::SegmentAssignment => include_str!("../../../../schemas/segment_assignment.avsc"),
            Self::ContextualSegment => include_str!("../../../../schemas/contextual_segment.avsc"),
            Self::DeadLetter => include_str!("../../../../schemas/dead_letter.avsc"),
            Self::AuditBatch => include_str!("../../../../schemas/audit_batch.avsc"),
            Self::AuditAccess => include_str!("../../../../schemas/audit_access.avsc"),
            Self::PrivacyRequest => include_str!("../../../../schemas/privacy_request.avsc"),
            Self::ReaderAck => include_str!("../../../../schemas/reader_ack.avsc"),
        }
    }

    pub(super) fn schema(self) -> &'static Arc<Schema> {
        &SCHEMAS[self as usize]
    }

    /// Of what was written with this very schema.
    pub(super) fn plan(self) -> &'static Plan {
        &PLANS[self as usize]
    }

    /// Of the Parsing Canonical Form, little-endian, as it stands on the wire.
    pub fn fingerprint(self) -> &'static [u8; 8] {
        self.schema().fingerprint()
    }
}
