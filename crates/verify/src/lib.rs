//! Re-reads what lies in the topics and names what breaks an invariant. Pure, and told everything.
//!
//! A second opinion: it reads docs/contract/gate.md for itself (`consent_view`) and knows nothing of the
//! engine, its state or its timers. Two passes, so that memory holds the subjects of one partition at a
//! time:
//!
//! 1. [`Partition`]: one input partition's consent, clicks and audit, in the order that the audit
//!    records. It leaves [`Row`]s: what the audit says was written under each pseudonym, and what the
//!    gate says of it at the end.
//! 2. [`SegmentPartition`]: one partition of a segment topic against the rows of its pseudonyms.
//!
//! Nothing is guessed: what compaction or retention took is counted as unchecked.

mod audiences;
mod clicks;
mod consent_view;
mod effects;
mod finding;
mod grants;
mod inputs;
mod letters;
mod losses;
mod outputs;
mod partition;
mod rows;
mod segments;
mod stated;
mod subjects;
mod unproven;
mod unreadable;

pub use audiences::Statements;
pub use finding::{Findings, Unchecked, Violation};
pub use inputs::{Readers, Record};
pub use letters::Letters;
pub use outputs::{check_contextual, check_letter};
pub use partition::{Partition, Setup};
pub use rows::{FinalVerdict, Row, UNPLACED, Written};
pub use segments::{Horizon, SegmentPartition, SegmentScope};

use std::collections::{BTreeMap, BTreeSet};

use assent_contract::domain::audit::Sha256Hash;
use assent_contract::rulebook::Rulebook;

/// Rulebooks by the hash of their file: the configured one, and those kept as evidence.
#[derive(Clone, Debug, Default)]
pub struct Rulebooks {
    known: BTreeMap<Sha256Hash, Rulebook>,
    /// Kept as evidence, and refused by the compiler of today.
    uncompiled: BTreeSet<Sha256Hash>,
}

impl Rulebooks {
    pub fn add(&mut self, rulebook: Rulebook) {
        self.known.insert(rulebook.sha256, rulebook);
    }

    /// One that is kept as evidence, of which nothing but its hash can be used.
    pub fn add_uncompiled(&mut self, sha256: Sha256Hash) {
        self.uncompiled.insert(sha256);
    }

    /// Is it the configured one, or kept as evidence?
    pub fn has(&self, sha256: &Sha256Hash) -> bool {
        self.known.contains_key(sha256) || self.uncompiled.contains(sha256)
    }

    pub fn get(&self, sha256: &Sha256Hash) -> Option<&Rulebook> {
        self.known.get(sha256)
    }

    pub fn all(&self) -> impl Iterator<Item = &Rulebook> {
        self.known.values()
    }

    /// May a value name this segment of this purpose?
    pub fn has_segment(&self, purpose: &str, segment: &str) -> bool {
        let purposes = self.all().flat_map(|rulebook| &rulebook.purposes);
        purposes
            .filter(|of| of.id == purpose)
            .any(|of| of.segments.iter().any(|rule| rule.id == segment))
    }

    pub fn has_contextual(&self, segment: &str) -> bool {
        self.all().any(|rulebook| rulebook.contextual.iter().any(|rule| rule.id == segment))
    }

    pub fn has_version(&self, version: &str) -> bool {
        self.all().any(|rulebook| rulebook.version == version)
    }
}
