//! What a batch found of the partition besides its subjects, to put back if its transaction aborts.

use super::audience::Audiences;
use super::ledger::Ledger;
use super::refusal::note;
use super::setup::Setup;
use super::signals::Recount;
use super::state::State;
use super::store::BucketChunks;
use assent_contract::domain::time::Timestamp;

pub struct Undo {
    ledger: Ledger,
    written_at: Timestamp,
    chunks: BucketChunks,
    fresh: bool,
    audiences: Audiences,
    pub signals: Recount,
}

impl Undo {
    pub fn of(state: &State) -> Self {
        Self {
            ledger: state.ledger.clone(),
            written_at: state.written_at,
            chunks: state.chunks.clone(),
            fresh: state.fresh,
            audiences: state.audiences.clone(),
            signals: Recount::default(),
        }
    }

    /// How the audiences were.
    pub fn audiences(&self) -> &Audiences {
        &self.audiences
    }

    /// Another set-up, which stays if the batch is undone.
    pub fn note(&mut self, setup: &Setup) {
        note(&mut self.ledger, setup);
    }

    pub fn put_back(self, state: &mut State) {
        state.ledger = self.ledger;
        state.subjects.signals.take_back(self.signals);
        state.let_signals_go();
        state.written_at = self.written_at;
        state.chunks = self.chunks;
        state.fresh = self.fresh;
        state.audiences = self.audiences;
    }
}
