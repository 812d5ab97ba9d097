//! Across workers: the oldest opt-out that waits to be committed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use assent_contract::domain::time::Timestamp;

/// The oldest opt-out that each worker has not committed.
#[derive(Default)]
pub struct OldestOptOuts(Mutex<BTreeMap<usize, Timestamp>>);

impl OldestOptOuts {
    /// Takes one worker's, and returns the oldest of all.
    pub fn of_all(&self, worker: usize, oldest: Option<Timestamp>) -> Option<Timestamp> {
        let mut workers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match oldest {
            Some(at) => workers.insert(worker, at),
            None => workers.remove(&worker),
        };
        workers.values().min().copied()
    }
}
