//! Across threads: what was heard last of the audiences of other partitions.

use std::sync::{Arc, Mutex, PoisonError};

use assent_core::engine::audience::Heard;

/// What was heard last.
#[derive(Default)]
pub struct HeardAudiences(Mutex<Option<Arc<Heard>>>);

impl HeardAudiences {
    pub fn heard(&self) -> Option<Arc<Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn tell(&self, heard: Heard) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(heard));
    }
}
