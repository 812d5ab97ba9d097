//! What marketing reads: segment assignments and contextual segments, and their Avro bodies.
//!
//! The body, without its framing, is what the audit hashes, so it is encoded here, byte for byte.

use serde::{Deserialize, Serialize};

use super::binary::Write;
use super::outcome::Basis;
use super::time::Timestamp;

/// All segments that one pseudonym is in, for one purpose. Kafka key: the pseudonym's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentAssignment {
    pub pseudonym: String,
    pub purpose: String,
    /// Segment ids, sorted, at least one.
    pub segments: Vec<String>,
    pub basis: Basis,
    pub decided_at: Timestamp,
    pub expires_at: Timestamp,
    /// Version of the rulebook that was applied.
    pub rulebook: String,
}

impl SegmentAssignment {
    /// Its Avro body: these fields and no other.
    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        AssignmentBody {
            pseudonym: &self.pseudonym,
            purpose: &self.purpose,
            segments: &self.segments.iter().map(String::as_str).collect::<Vec<_>>(),
            basis: self.basis,
            decided_at: self.decided_at,
            expires_at: self.expires_at,
            rulebook: &self.rulebook,
        }
        .encode(&mut body);
        body
    }
}

/// The same, borrowed: what the engine encodes.
pub struct AssignmentBody<'a> {
    pub pseudonym: &'a str,
    pub purpose: &'a str,
    pub segments: &'a [&'a str],
    pub basis: Basis,
    pub decided_at: Timestamp,
    pub expires_at: Timestamp,
    pub rulebook: &'a str,
}

impl AssignmentBody<'_> {
    /// The Avro body of `assent.v1.SegmentAssignment`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(self.pseudonym);
        out.put_string(self.purpose);
        put_strings(out, self.segments);
        out.put_long(self.basis as i64);
        out.put_long(self.decided_at.0);
        out.put_long(self.expires_at.0);
        out.put_string(self.rulebook);
    }
}

/// Segments of what is on the page. Kafka key: the session token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextualSegment {
    pub session_token: String,
    /// Segment ids, sorted, at least one.
    pub segments: Vec<String>,
    pub occurred_at: Timestamp,
    pub rulebook: String,
}

/// The Avro body of `assent.v1.ContextualSegment`.
pub fn encode_contextual(
    session_token: &str,
    segments: &[&str],
    occurred_at: Timestamp,
    rulebook: &str,
    out: &mut Vec<u8>,
) {
    out.put_string(session_token);
    put_strings(out, segments);
    out.put_long(occurred_at.0);
    out.put_string(rulebook);
}

fn put_strings(out: &mut Vec<u8>, texts: &[&str]) {
    if !texts.is_empty() {
        out.put_long(texts.len() as i64);
        for text in texts {
            out.put_string(text);
        }
    }
    out.put_long(0);
}
