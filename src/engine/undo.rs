//! What a batch found of the partition beside its subjects, to put back if its transaction aborts.

use super::ledger::Ledger;
use super::signals::Recount;
use super::store::BucketChunks;
use crate::domain::time::Timestamp;

pub struct Undo {
    pub ledger: Ledger,
    pub written_at: Timestamp,
    pub chunks: BucketChunks,
    pub fresh: bool,
    pub signals: Recount,
}
