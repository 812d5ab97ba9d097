//! What a batch found, to put back if its transaction aborts.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ledger::Ledger;
use super::store::BucketChunks;
use super::subject::{StateToken, Subject};

pub struct Undo {
    /// Each subject as it was before the batch first touched it; `None`: there was none.
    pub subjects: HashMap<StateToken, Option<Subject>, FixedState>,
    pub ledger: Ledger,
    pub names: usize,
    pub chunks: BucketChunks,
    pub fresh: bool,
}

impl Undo {
    pub fn of(ledger: &Ledger, names: usize, chunks: &BucketChunks, fresh: bool) -> Self {
        Self {
            subjects: HashMap::with_hasher(FixedState::default()),
            ledger: ledger.clone(),
            names,
            chunks: chunks.clone(),
            fresh,
        }
    }
}
