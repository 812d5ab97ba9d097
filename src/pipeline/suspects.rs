//! The inputs' partitions whose next records can't be read, and those that stand still: what is known of each
//! while it is examined.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::kafka::examine::Examination;
use assent_core::engine::output::InputTopic;

/// An input's partition that is under examination.
pub struct Suspect {
    pub offset: i64,
    /// Nobody said that it can't be read; it stands still.
    pub is_quiet: bool,
    pub examination: Option<Examination>,
    pub not_before: Instant,
    /// The last offset that can't be read, and since when every examination said so.
    pub found: Option<(i64, Instant)>,
    pub is_counted: bool,
    /// How often it was found readable.
    pub tries: u32,
}

impl Suspect {
    pub fn new(offset: i64, is_quiet: bool, now: Instant) -> Self {
        let (examination, found, is_counted, tries) = (None, None, false, 0);
        Self { offset, is_quiet, examination, not_before: now, found, is_counted, tries }
    }
}

#[derive(Default)]
pub struct Suspects {
    pub of: BTreeMap<(InputTopic, i32), Suspect>,
    /// Where each input stood when it last moved, or had nothing more to bring.
    pub stands: BTreeMap<(InputTopic, i32), (i64, Instant)>,
    pub looked_at: Option<Instant>,
}

impl Suspects {
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
