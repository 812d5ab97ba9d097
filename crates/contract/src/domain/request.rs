//! A person's request as the register of 11 CCR 7101 has it, and its Avro body (`assent.v1.PrivacyRequest`).
//! Kafka key: `request_id`.
//!
//! Holds no raw identifier (INV-6): who asked is a token, or nobody whom an id names.

use super::audit::AuditToken;
use super::binary::Write;
use super::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a request is kept after its last change (11 CCR 7101(a)).
pub const KEPT_FOR: Span = Span::MONTHS_24;

/// `PrivacyRequest.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RequestKind {
    OptOut,
    OptOutSignal,
    Consent,
    Erasure,
    Access,
    Other,
}

/// `PrivacyRequest.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RequestStatus {
    Received,
    Honored,
    Failed,
}

impl RequestKind {
    pub const ALL: [Self; 6] =
        [Self::OptOut, Self::OptOutSignal, Self::Consent, Self::Erasure, Self::Access, Self::Other];

    /// As metric labels and answers have it.
    pub fn label(self) -> &'static str {
        match self {
            Self::OptOut => "opt_out",
            Self::OptOutSignal => "opt_out_signal",
            Self::Consent => "consent",
            Self::Erasure => "erasure",
            Self::Access => "access",
            Self::Other => "other",
        }
    }
}

impl RequestStatus {
    pub const ALL: [Self; 3] = [Self::Received, Self::Honored, Self::Failed];

    /// As metric labels and answers have it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Honored => "honored",
            Self::Failed => "failed",
        }
    }
}

/// One request as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacyRequest {
    /// 22 characters of base64url: 16 random bytes.
    pub request_id: String,
    pub kind: RequestKind,
    /// `sale_or_share`, `all`, or a purpose id.
    pub scope: String,
    /// How it came: `api`, `browser`, or a source.
    pub manner: String,
    /// `None`: somebody whom no subject_id names.
    pub subject: Option<AuditToken>,
    pub received_at: Timestamp,
    pub status: RequestStatus,
    pub honored_at: Option<Timestamp>,
    /// Of the audit batch that records the effect.
    pub chain: Option<String>,
    pub sequence: Option<i64>,
    pub basis_of_denial: Option<String>,
}

impl PrivacyRequest {
    /// The Avro body of `assent.v1.PrivacyRequest`.
    pub fn body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.put_string(&self.request_id);
        out.put_long(self.kind as i64);
        out.put_string(&self.scope);
        out.put_string(&self.manner);
        match &self.subject {
            None => out.put_long(0),
            Some(token) => {
                out.put_long(1);
                out.put_fixed(token);
            }
        }
        out.put_long(self.received_at.0);
        out.put_long(self.status as i64);
        out.put_optional_long(self.honored_at.map(|at| at.0));
        out.put_optional_string(self.chain.as_deref());
        out.put_optional_long(self.sequence);
        out.put_optional_string(self.basis_of_denial.as_deref());
        out
    }

    /// When it is removed from the register.
    pub fn ends_at(&self) -> Timestamp {
        self.honored_at.map_or(self.received_at, |at| at.max(self.received_at)) + KEPT_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_kept_for_24_months_after_its_last_change() {
        let request = |honored_at| PrivacyRequest {
            request_id: String::new(),
            kind: RequestKind::OptOut,
            scope: "all".to_owned(),
            manner: "api".to_owned(),
            subject: None,
            received_at: Timestamp(5),
            status: RequestStatus::Received,
            honored_at,
            chain: None,
            sequence: None,
            basis_of_denial: None,
        };
        let months_24 = 731 * Span::DAY.0;
        assert_eq!(request(None).ends_at(), Timestamp(5 + months_24));
        assert_eq!(request(Some(Timestamp(9))).ends_at(), Timestamp(9 + months_24));
        assert_eq!(request(Some(Timestamp(3))).ends_at(), Timestamp(5 + months_24));
    }
}
