//! A task's partition in the two stages that it has between calls: at rest, and decided while its
//! transaction runs.

use std::ops::Deref;
use std::sync::Arc;

use crate::engine::output::BatchOutput;
use crate::engine::{Decided, OpenBatch, Partition, Refusal, Setup};
use assent_contract::domain::time::Timestamp;

/// Reads as the partition, while a batch is decided as that leaves it, its subjects as they were.
pub struct Engine {
    /// Empty only within [`Self::change`], which has it to itself.
    stage: Option<Stage>,
}

#[allow(clippy::large_enum_variant)] // one of a partition, moved a few times a batch
enum Stage {
    AtRest(Partition),
    Decided(Decided),
}

impl Engine {
    pub fn new(partition: Partition) -> Self {
        Self { stage: Some(Stage::AtRest(partition)) }
    }

    /// Decides a batch. One that was neither confirmed nor rolled back is rolled back first.
    pub fn decide(
        &mut self,
        wall: Timestamp,
        gate_open: bool,
        inputs: impl FnOnce(OpenBatch) -> (Decided, BatchOutput),
    ) -> BatchOutput {
        self.change(|stage| {
            let (decided, output) = inputs(stage.rolled_back().begin(wall, gate_open));
            (Stage::Decided(decided), output)
        })
    }

    /// The batch is committed. Was there one?
    pub fn confirm(&mut self) -> bool {
        self.change(|stage| match stage {
            Stage::AtRest(partition) => (Stage::AtRest(partition), false),
            Stage::Decided(decided) => (Stage::AtRest(decided.confirm()), true),
        })
    }

    /// The batch, if there is one, is not committed.
    pub fn rollback(&mut self) {
        self.change(|stage| (Stage::AtRest(stage.rolled_back()), ()));
    }

    /// Is any key of this subject live, or may it be once the batch is committed?
    pub fn has_live(&self, subject_id: &[u8]) -> bool {
        match self.stage() {
            Stage::AtRest(partition) => partition.has_live(subject_id),
            Stage::Decided(decided) => decided.has_live(subject_id),
        }
    }

    /// Other keys from now on.
    pub fn set_keys(&mut self, setup: Arc<Setup>) -> Result<(), Refusal> {
        self.change(|mut stage| {
            let set = match &mut stage {
                Stage::AtRest(partition) => partition.set_keys(setup),
                Stage::Decided(decided) => decided.set_keys(setup),
            };
            (stage, set)
        })
    }

    fn change<R>(&mut self, change: impl FnOnce(Stage) -> (Stage, R)) -> R {
        let Some(before) = self.stage.take() else { unreachable!("never empty between two calls") };
        let (after, result) = change(before);
        self.stage = Some(after);
        result
    }

    fn stage(&self) -> &Stage {
        let Some(stage) = &self.stage else { unreachable!("never empty between two calls") };
        stage
    }
}

impl Stage {
    fn rolled_back(self) -> Partition {
        match self {
            Self::AtRest(partition) => partition,
            Self::Decided(decided) => decided.rollback(),
        }
    }
}

impl Deref for Engine {
    type Target = Partition;

    fn deref(&self) -> &Partition {
        match self.stage() {
            Stage::AtRest(partition) => partition,
            Stage::Decided(decided) => decided.partition(),
        }
    }
}
