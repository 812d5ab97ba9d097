//! What one transaction holds, and whether what is committed says that it landed.
//!
//! Keeps INV-5: after an unclear answer a batch is confirmed or undone by what the log says alone.

use std::collections::BTreeMap;

use crate::commit::Fault;
use crate::engine::output::BatchOutput;
use crate::task::Cut;

/// The parts of the partitions that a transaction touches.
#[derive(Default)]
pub struct Batch {
    pub parts: BTreeMap<i32, Part>,
}

/// A partition's share.
pub struct Part {
    pub cut: Cut,
    pub output: BatchOutput,
    /// The partition's sequence before this batch; `None`: it had none.
    pub sequence_before: Option<i64>,
}

/// Next click and next sequence of a partition, as they are committed.
pub type Position = (i64, i64);

/// What was read back of each partition; `None`: nothing was ever committed.
pub type Found = BTreeMap<i32, Option<Position>>;

impl Batch {
    /// What each partition's part writes.
    pub fn outputs(&self) -> impl Iterator<Item = (i32, &BatchOutput)> {
        self.parts.iter().map(|(&partition, part)| (partition, &part.output))
    }

    /// Does it move keys after a rotation, or end them?
    pub fn is_of_sweep(&self) -> bool {
        self.parts.values().any(|part| part.cut.is_of_sweep())
    }

    /// All partitions of a transaction say the same: after it, or before it. Anything else is
    /// another's work ([`Fault::Evicted`]), and what this worker remembers is worth nothing.
    ///
    /// The click is compared too: a new owner's first batch has the sequence that ours would have
    /// had.
    pub fn landed(&self, found: &Found) -> Result<bool, Fault> {
        let says = |agrees: &dyn Fn(&Part, Option<Position>) -> bool| {
            self.parts
                .iter()
                .all(|(partition, part)| found.get(partition).is_some_and(|&at| agrees(part, at)))
        };
        if says(&|part, at| at == Some((part.output.next_click, part.output.next_sequence))) {
            Ok(true)
        } else if says(&|part, at| at.map(|(_, sequence)| sequence) == part.sequence_before) {
            Ok(false)
        } else {
            Err(Fault::Evicted)
        }
    }
}
