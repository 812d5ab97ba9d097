//! One chain while it is read: its own links, and the published log's.

use super::against::Against;
use super::result::{Outcome, Place};
use crate::failure::Result;
use assent_contract::domain::audit::verify::{ChainVerifier, Fault, FaultKind, Link};

/// Where a batch lies, for a person: `offset 12`.
pub type Named<'a> = &'a dyn Fn(i64) -> String;

pub struct ChainCheck<'a> {
    name: String,
    verifier: ChainVerifier,
    /// The state says where it ends.
    has_head: bool,
    against: Option<Against<'a>>,
    entries: u64,
}

impl<'a> ChainCheck<'a> {
    pub fn new(name: &str, verifier: ChainVerifier, against: Option<Against<'a>>) -> Self {
        let has_head = verifier.next_in_state().is_some();
        Self { name: name.to_owned(), verifier, has_head, against, entries: 0 }
    }

    /// The next batch of the chain, and how many entries it has.
    pub fn push(&mut self, link: Link, entries: u64, outcome: &mut Outcome) -> Result<()> {
        self.entries += entries;
        outcome.batches += 1;
        let continues = self.verifier.push(link);
        match &mut self.against {
            Some(against) if continues => against.hold(&link, &self.name, outcome),
            Some(against) => {
                against.note_late(link.sequence);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What lies where the next batch should, and is none.
    pub fn push_unreadable(&mut self, hash: [u8; 32], at: i64, outcome: &mut Outcome) {
        outcome.batches += 1;
        let stands_for = self.verifier.last_sequence().map_or(0, |last| last + 1);
        if let Some(against) = &mut self.against {
            against.note_late(stands_for);
        }
        self.verifier.push_unreadable(hash, at);
    }

    /// All that was found of it.
    pub fn finish(self, named: Named<'_>, outcome: &mut Outcome) -> Result<()> {
        let Self { name, verifier, has_head, against, entries } = self;
        let ends = verifier.first_sequence().zip(verifier.last_sequence()).zip(verifier.head());
        if let Some((sequences, head)) = ends {
            outcome.chain(&name, sequences, entries, &head);
        }
        let (faults, left_off) = verifier.finish_counting();
        outcome.leave_off(left_off);
        for Fault { sequence, kind, offset } in faults {
            let detail = words(kind, offset.map(named), has_head);
            outcome.fault(&name, sequence, kind, Place { offset, detail: &detail });
        }
        against.map_or(Ok(()), |against| against.finish(&name, outcome))
    }
}

fn words(kind: FaultKind, place: Option<String>, has_head: bool) -> String {
    match (kind, place) {
        (FaultKind::Altered, Some(at)) => {
            let others =
                if has_head { "the next batch or the state names" } else { "the next batch names" };
            format!("{at}: it is no audit batch, or does not have the hash that {others}")
        }
        (FaultKind::Altered, None) => "it does not have the hash that the state names".to_owned(),
        (FaultKind::Missing, Some(at)) => {
            format!("no batch has this sequence; what comes after it is at {at}")
        }
        (FaultKind::Missing, None) => "the chain ends before it, and the state knows it".to_owned(),
        (FaultKind::Reordered, at) => {
            format!("{}: it lies behind a later batch", at.unwrap_or_default())
        }
        (FaultKind::Forked, at) => {
            format!("{}: it is a second batch of this sequence", at.unwrap_or_default())
        }
    }
}
