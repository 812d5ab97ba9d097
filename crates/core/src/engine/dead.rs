//! Clicks that were not read, and never will be: each ends in its outcome all the same (INV-8).

use super::batch::OpenBatch;
use super::input::DeadClicks;
use super::output::InputTopic;
use assent_contract::domain::outcome::{InputKind, Outcome};

impl OpenBatch {
    /// Clicks that nobody can read: one dead letter, and an outcome for each.
    pub fn dead_clicks(&mut self, dead: &DeadClicks) {
        let log = &mut self.log;
        let DeadClicks { first, last, is_batch, rejection } = dead;
        if *is_batch {
            log.dead_range(*first, *last, rejection);
        } else {
            log.dead_letter(InputTopic::Clickstream, *first, None, rejection);
        }
        for offset in *first..=*last {
            let outcome = Outcome::DeadLettered;
            log.end_entry(InputKind::Click, Some(offset), outcome, None, None);
        }
    }
}
