//! What a batch wants written, in order, and what it counts.

use std::collections::BTreeMap;

use assent_contract::domain::event::SignalSource;
use assent_contract::domain::invariants::{self, Violation};
use assent_contract::domain::outcome::{DeadLetterReason, Outcome, TombstoneReason, Verdict};
use assent_contract::domain::time::Timestamp;

/// One record to produce. Bodies are Avro without framing; the rim frames them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To `segments.{purpose}`; key: the pseudonym.
    Assignment { purpose: u16, pseudonym: String, body: Vec<u8> },
    /// To `segments.{purpose}` with a null value and the headers of docs/contract/topics.md#tombstones.
    Tombstone { purpose: u16, pseudonym: String, reason: TombstoneReason, decided_at: Timestamp },
    /// To `contextual-segments`; key: the session token.
    Contextual { session_token: String, body: Vec<u8> },
    /// To `segmentation-dead-letters`. The rim makes the key and body, since it knows the topic.
    DeadLetter(DeadLetterNote),
    /// To `segmentation-audit`, the input's partition; key: the chain.
    Audit { body: Vec<u8> },
    /// To `assent-state`, the input's partition. `None` removes the key.
    State { key: Vec<u8>, value: Option<Vec<u8>> },
}

/// Which of the two input topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InputTopic {
    Clickstream,
    Consent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterNote {
    pub reason: DeadLetterReason,
    pub topic: InputTopic,
    pub offset: i64,
    /// Where it stands for a batch that nobody can read: its last offset.
    pub last: Option<i64>,
    pub payload_sha256: Option<[u8; 32]>,
    pub failed_at: Timestamp,
    pub detail: String,
}

/// Everything a batch wants: written and committed as one, or not at all (INV-5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchOutput {
    /// The purposes that outputs, tally and audit entries name by index.
    pub purposes: std::sync::Arc<[String]>,
    pub outputs: Vec<Output>,
    pub tally: Tally,
    /// Of each consent record that removed something: for the propagation histograms.
    pub opt_outs: Vec<OptOut>,
    /// The group's offset and its metadata.
    pub next_click: i64,
    pub next_sequence: i64,
    pub violations: Violations,
}

/// The invariants that a batch was found to break: a defect of ours, if any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// Repaired in the batch itself: the purpose's live key was removed.
    pub repaired: Vec<Violation>,
    /// Of the batch as a whole.
    pub broken: Option<Violation>,
}

impl BatchOutput {
    /// INV-8: as many outcomes as inputs were given, or the batch is broken.
    pub fn hold_to_account(&mut self, clicks: usize, consents: usize) {
        let outcomes = |topic| {
            let of_topic = self.tally.outcomes.iter().filter(|((input, _), _)| *input == topic);
            of_topic.map(|(_, count)| count).sum::<u64>()
        };
        let counted = outcomes(InputTopic::Consent) + self.tally.heartbeats;
        let violation = invariants::accounted(clicks as u64, outcomes(InputTopic::Clickstream))
            .or_else(|| invariants::accounted(consents as u64, counted));
        self.violations.broken = self.violations.broken.take().or(violation);
    }

    /// Must not be committed: an input would be lost, the chain broken, or a click used too early.
    pub fn is_broken(&self) -> bool {
        self.violations.broken.is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptOut {
    pub append_time: Timestamp,
    /// Absent for an erasure and for what could not be read.
    pub recorded_at: Option<Timestamp>,
}

/// What the batch counts; published only after its commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub outcomes: BTreeMap<(InputTopic, Outcome), u64>,
    pub heartbeats: u64,
    /// Of clicks.
    pub verdicts: BTreeMap<(u16, Verdict), u64>,
    pub assignments: BTreeMap<u16, u64>,
    pub tombstones: BTreeMap<(u16, TombstoneReason), u64>,
    pub dead_letters: BTreeMap<(InputTopic, DeadLetterReason), u64>,
    /// Clicks whose collector did not look for Sec-GPC.
    pub clicks_without_gpc: u64,
    /// Inputs with an opt-out signal that binds their subject, by what said so.
    pub signals: BTreeMap<SignalSource, u64>,
    /// Erasures of unknown subjects.
    pub erasures_of_unknown: u64,
    /// Signals of unknown subjects gave way: as of when whoever first appears counts as bound. Once in an
    /// hour of that time.
    pub signals_gave_way_at: Option<Timestamp>,
}
