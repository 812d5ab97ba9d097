//! The invariants: ids, sentences (docs/contract/invariants.md), and predicates over plain values. The
//! same predicates serve the engine's own checks, tests and whoever re-reads the topics.

use super::outcome::Verdict;
use super::time::{Span, Timestamp};

/// An invariant's id, as in code, tests, documents and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    Consent = 1,
    Barrier,
    Closed,
    OptOut,
    Atomic,
    Pseudonymous,
    Unlinkable,
    Accounted,
    Provable,
    Deterministic,
    Minimal,
    Alive,
    Leased,
}

impl Invariant {
    pub const ALL: [Self; 13] = [
        Self::Consent,
        Self::Barrier,
        Self::Closed,
        Self::OptOut,
        Self::Atomic,
        Self::Pseudonymous,
        Self::Unlinkable,
        Self::Accounted,
        Self::Provable,
        Self::Deterministic,
        Self::Minimal,
        Self::Alive,
        Self::Leased,
    ];

    /// `inv-1` to `inv-13`: the label of assent_invariant_violations_total.
    pub fn label(self) -> String {
        format!("inv-{}", self as u8)
    }

    /// `INV-1` to `INV-13`.
    pub fn id(self) -> String {
        format!("INV-{}", self as u8)
    }

    /// What holds, in one sentence: the one of docs/contract/invariants.md, which has the exceptions too.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Consent => {
                "An assignment rests only on clicks that the gate allowed for its purpose, and is live \
                 only while the gate allows that purpose."
            }
            Self::Barrier => {
                "No click is allowed before every consent record of its partition below the high \
                 watermark, as the broker answered it after the click was received, has been applied \
                 or is known to be aborted."
            }
            Self::Closed => {
                "Where consent is missing, unreadable or too far behind, where a child's guardian has \
                 not consented, or where a key is missing, no personal data is used; contextual \
                 segments go on."
            }
            Self::OptOut => {
                "When the gate's verdict for a subject and purpose turns from allowed to withheld, the \
                 transaction that records the change removes every live key of every key version and \
                 all counters; a new grant starts from nothing."
            }
            Self::Atomic => {
                "Everything that a batch writes, its offsets included, is visible together or not at \
                 all, and each input takes effect once, whatever crashed."
            }
            Self::Pseudonymous => {
                "A raw identifier appears in the two input topics and in nothing else that Assent \
                 writes, publishes or logs."
            }
            Self::Unlinkable => {
                "Neither two purposes nor two key versions share a pseudonym of one subject, two days \
                 share no session token, and nothing else in the outputs identifies one subject to \
                 readers of both."
            }
            Self::Accounted => {
                "Every input record ends in exactly one outcome, which is counted and, but for \
                 heartbeats, audited; outcomes add up to inputs."
            }
            Self::Provable => {
                "Each partition has one audit chain without gap or fork, and any batch that is altered, \
                 removed or reordered is found and located."
            }
            Self::Deterministic => {
                "The same inputs, in the order and at the times that the audit records, give the same \
                 outputs byte for byte, and a recovered state equals one that never crashed."
            }
            Self::Minimal => {
                "Only click fields that a live rule or the gate reads are decoded, and only what a live \
                 rule needs is kept, for subjects and purposes that the gate allows, no longer than \
                 needed."
            }
            Self::Alive => {
                "After the last fault, lag returns to zero without a person, and no input stops a \
                 partition, except where a person has to accept a loss."
            }
            Self::Leased => {
                "No assignment can be used for longer than its lease unless Assent decided it again, so \
                 readers' copies end by themselves if Assent dies."
            }
        }
    }
}

/// What was found broken. `detail` holds no raw identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: Invariant,
    pub detail: &'static str,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant.id(), self.detail)
    }
}

/// INV-1, INV-4: a live key, or a counter, exists only while the gate allows the purpose.
pub fn kept_only_while_allowed(
    standing: Verdict,
    is_live: bool,
    has_counters: bool,
) -> Option<Violation> {
    if standing.allows() {
        return None;
    }
    if is_live {
        return Some(Violation {
            invariant: Invariant::OptOut,
            detail: "a live key whose purpose the gate withholds",
        });
    }
    has_counters.then_some(Violation {
        invariant: Invariant::OptOut,
        detail: "counters for a purpose that the gate withholds",
    })
}

/// INV-2: a batch that counted clicks with the gate open had applied consent up to the barrier.
pub fn barrier_reached(gate_open: bool, barrier: i64, consent_to: i64) -> Option<Violation> {
    (gate_open && barrier > consent_to).then_some(Violation {
        invariant: Invariant::Barrier,
        detail: "clicks were decided before consent was applied up to the barrier",
    })
}

/// INV-13: a live value ends, and no later than its lease after it was decided.
pub fn leased(decided_at: Timestamp, expires_at: Timestamp, lease: Span) -> Option<Violation> {
    (expires_at <= decided_at || expires_at - decided_at > lease).then_some(Violation {
        invariant: Invariant::Leased,
        detail: "an assignment that ends before it begins, or outlives its lease",
    })
}

/// INV-13: a live value does not outlast the grant that it rests on.
pub fn within_grant(expires_at: Timestamp, grant_ends_at: Option<Timestamp>) -> Option<Violation> {
    grant_ends_at.is_some_and(|end| expires_at > end).then_some(Violation {
        invariant: Invariant::Leased,
        detail: "a live value whose expires_at is later than that of the grant it rests on",
    })
}

/// INV-7: what is emitted is under the active key; two keys' pseudonyms of one subject, side by side,
/// would link them.
pub fn emitted_under_active(version: u8, active: u8) -> Option<Violation> {
    (version != active).then_some(Violation {
        invariant: Invariant::Unlinkable,
        detail: "an assignment under a key that is no longer emitted",
    })
}

/// INV-8: an outcome is of an input of this batch, and of one that has none yet.
pub fn accounted_in_order(from: i64, offset: i64, to: i64) -> Option<Violation> {
    (offset < from || offset >= to).then_some(Violation {
        invariant: Invariant::Accounted,
        detail: "an outcome out of the order of its inputs, or beyond them",
    })
}

/// INV-8: as many outcomes as inputs.
pub fn accounted(inputs: u64, outcomes: u64) -> Option<Violation> {
    (inputs != outcomes).then_some(Violation {
        invariant: Invariant::Accounted,
        detail: "a batch with more or fewer outcomes than inputs",
    })
}

/// INV-13: a value that is still live this long after it ended was not decided again in time: its
/// tombstone or its renewal is due before.
pub const ENDED_SINCE_MAX: Span = Span::MINUTE;

/// INV-13: a live value is not over. `now`: the reader's clock.
pub fn ended(decided_at: Timestamp, expires_at: Timestamp, now: Timestamp) -> Option<Violation> {
    let violation = |detail| Some(Violation { invariant: Invariant::Leased, detail });
    if expires_at <= decided_at {
        return violation("a live value that ended before it was decided");
    }
    if now - expires_at > ENDED_SINCE_MAX {
        return violation("a live value over a minute past its expires_at");
    }
    None
}

/// INV-9: what a batch covers begins where the last one ended.
pub fn covers_without_gap(next: i64, from: i64, to: i64) -> Option<Violation> {
    (from != next || to < from).then_some(Violation {
        invariant: Invariant::Provable,
        detail: "a batch that leaves a gap or overlaps",
    })
}
