//! Drives a partition through the stages of its batches, whose order a test has in view.

use std::ops::Deref;
use std::sync::Arc;

use super::*;
use crate::engine::subject::Subject;
use crate::engine::token::StateToken;

/// Reads as the partition in whatever stage it is.
pub struct Driver(Option<Stage>);

#[allow(clippy::large_enum_variant)] // one in a test
enum Stage {
    AtRest(Partition),
    Open(OpenBatch),
    Decided(Decided),
}

impl Driver {
    pub fn new(partition: Partition) -> Self {
        Self(Some(Stage::AtRest(partition)))
    }

    fn at_rest(&mut self) -> Partition {
        let Some(Stage::AtRest(partition)) = self.0.take() else { panic!("not at rest") };
        partition
    }

    fn decided(&mut self) -> Decided {
        let Some(Stage::Decided(decided)) = self.0.take() else { panic!("not decided") };
        decided
    }

    fn open(&mut self) -> &mut OpenBatch {
        let Some(Stage::Open(batch)) = &mut self.0 else { panic!("no open batch") };
        batch
    }

    fn decide(&mut self, (decided, output): (Decided, BatchOutput)) -> BatchOutput {
        self.0 = Some(Stage::Decided(decided));
        output
    }

    pub fn begin(&mut self, wall: Timestamp, gate_open: bool) {
        let batch = self.at_rest().begin(wall, gate_open);
        self.0 = Some(Stage::Open(batch));
    }

    pub fn consent(&mut self, input: &ConsentInput<'_>) {
        self.open().consent(input);
    }

    pub fn dead_clicks(&mut self, dead: &crate::engine::input::DeadClicks) {
        self.open().dead_clicks(dead);
    }

    pub fn timers(&mut self) {
        self.open().timers();
    }

    pub fn change_key(&mut self, subject_id: &[u8]) {
        self.open().change_key(subject_id);
    }

    pub fn end_old_keys(&mut self) {
        self.open().end_old_keys();
    }

    pub fn click(&mut self, input: &ClickInput<'_>) {
        self.open().click(input);
    }

    /// A subject of the open batch.
    pub fn subject(&mut self, token: StateToken) -> &mut Subject {
        let OpenBatch { partition, at_hand, .. } = self.open();
        let place = at_hand.take(&partition.state.subjects, token).expect("it is there");
        &mut at_hand[place].subject
    }

    pub fn finish(&mut self, coverage: Coverage) -> BatchOutput {
        let Some(Stage::Open(batch)) = self.0.take() else { panic!("no open batch") };
        self.decide(batch.finish(coverage))
    }

    pub fn withhold_doubted(&mut self, wall: Timestamp, doubted: &mut Doubted) -> BatchOutput {
        let decided = self.at_rest().withhold_doubted(wall, doubted);
        self.decide(decided)
    }

    pub fn accept_loss(&mut self, wall: Timestamp, accepted: &Accepted<'_>) -> BatchOutput {
        let decided = self.at_rest().accept_loss(wall, accepted);
        self.decide(decided)
    }

    pub fn confirm(&mut self) {
        self.0 = Some(Stage::AtRest(self.decided().confirm()));
    }

    pub fn rollback(&mut self) {
        self.0 = Some(Stage::AtRest(self.decided().rollback()));
    }

    pub fn set_keys(&mut self, setup: Arc<Setup>) -> Result<(), Refusal> {
        match self.0.as_mut().expect("a stage") {
            Stage::AtRest(partition) => partition.set_keys(setup),
            Stage::Decided(decided) => decided.set_keys(setup),
            Stage::Open(_) => panic!("an open batch has its keys"),
        }
    }

    pub fn hear(&mut self, heard: &Arc<crate::engine::audience::Heard>) {
        match self.0.as_mut().expect("a stage") {
            Stage::AtRest(partition) => partition.hear(Some(heard)),
            Stage::Decided(decided) => decided.hear(Some(heard)),
            Stage::Open(_) => panic!("an open batch hears nothing"),
        }
    }

    pub fn has_live(&self, subject_id: &[u8]) -> bool {
        match self.0.as_ref().expect("a stage") {
            Stage::Decided(decided) => decided.has_live(subject_id),
            _ => Partition::has_live(self, subject_id),
        }
    }
}

impl Deref for Driver {
    type Target = Partition;

    fn deref(&self) -> &Partition {
        match self.0.as_ref().expect("a stage") {
            Stage::AtRest(partition) => partition,
            Stage::Open(batch) => &batch.partition,
            Stage::Decided(decided) => decided.partition(),
        }
    }
}
