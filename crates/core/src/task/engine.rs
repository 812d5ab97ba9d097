//! A task's partition in the two stages that it has between calls: at rest, and decided while its
//! transaction runs. Whatever takes it from one to the other consumes it.

use std::ops::Deref;
use std::sync::Arc;

use crate::engine::audience::Heard;
use crate::engine::output::BatchOutput;
use crate::engine::{Decided, OpenBatch, Partition, Refusal, Setup};
use assent_contract::domain::time::Timestamp;

/// Reads as the partition, while a batch is decided as that leaves it, its subjects as they were.
#[allow(clippy::large_enum_variant)] // one of a partition, moved a few times a batch
pub enum Engine {
    AtRest(Partition),
    Decided(Decided),
}

impl Engine {
    /// Decides a batch. One that was neither confirmed nor rolled back is rolled back first.
    pub fn decide(
        self,
        wall: Timestamp,
        gate_open: bool,
        inputs: impl FnOnce(OpenBatch) -> (Decided, BatchOutput),
    ) -> (Self, BatchOutput) {
        let (decided, output) = inputs(self.into_rest().begin(wall, gate_open));
        (Self::Decided(decided), output)
    }

    /// The batch is committed. Was there one?
    pub fn confirm(self) -> (Self, bool) {
        match self {
            Self::AtRest(partition) => (Self::AtRest(partition), false),
            Self::Decided(decided) => (Self::AtRest(decided.confirm()), true),
        }
    }

    /// The batch, if there is one, is not committed.
    #[must_use]
    pub fn rollback(self) -> Self {
        Self::AtRest(self.into_rest())
    }

    fn into_rest(self) -> Partition {
        match self {
            Self::AtRest(partition) => partition,
            Self::Decided(decided) => decided.rollback(),
        }
    }

    /// Is any key of this subject live, or may it be once the batch is committed?
    pub fn has_live(&self, subject_id: &[u8]) -> bool {
        match self {
            Self::AtRest(partition) => partition.has_live(subject_id),
            Self::Decided(decided) => decided.has_live(subject_id),
        }
    }

    /// What the partitions say of their audiences, from the next batch on.
    pub fn hear(&mut self, heard: Option<&Arc<Heard>>) {
        match self {
            Self::AtRest(partition) => partition.hear(heard),
            Self::Decided(decided) => decided.hear(heard),
        }
    }

    /// Other keys from now on.
    pub fn set_keys(&mut self, setup: Arc<Setup>) -> Result<(), Refusal> {
        match self {
            Self::AtRest(partition) => partition.set_keys(setup),
            Self::Decided(decided) => decided.set_keys(setup),
        }
    }
}

impl Deref for Engine {
    type Target = Partition;

    fn deref(&self) -> &Partition {
        match self {
            Self::AtRest(partition) => partition,
            Self::Decided(decided) => decided.partition(),
        }
    }
}
