//! What a batch found, to put back if its transaction aborts.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ledger::Ledger;
use super::store::BucketChunks;
use super::subject::{StateToken, Subject};
use crate::domain::time::Timestamp;

pub struct Undo {
    /// Each subject as it was before the batch first touched it; `None`: there was none.
    pub subjects: HashMap<StateToken, Option<Subject>, FixedState>,
    pub ledger: Ledger,
    pub written_at: Timestamp,
    pub names: usize,
    pub chunks: BucketChunks,
    pub fresh: bool,
}

impl Undo {
    pub fn of(
        ledger: &Ledger,
        written_at: Timestamp,
        names: usize,
        chunks: &BucketChunks,
        fresh: bool,
    ) -> Self {
        Self {
            subjects: HashMap::with_hasher(FixedState::default()),
            ledger: ledger.clone(),
            written_at,
            names,
            chunks: chunks.clone(),
            fresh,
        }
    }
}
