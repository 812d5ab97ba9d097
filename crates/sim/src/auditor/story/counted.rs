//! What was counted of those held out and of the others, as the state topic has it, held against the model.

use crate::auditor::parts::Part;
use crate::log::Topic;
use crate::model::Model;
use crate::model::lift::Totals;
use assent_core::engine::lift::Lift;
use assent_core::engine::store::lift_of;

/// The totals so far.
#[derive(Default)]
pub struct Counted(Totals);

impl Counted {
    /// What a transaction wrote of them. Was there any?
    pub fn take(&mut self, part: &Part<'_>) -> bool {
        let mut is_changed = false;
        for written in part.records.iter().filter(|it| it.topic == Topic::State) {
            let record = &written.stored.record;
            let Some((month, purpose)) = record.key.as_deref().and_then(lift_of) else { continue };
            is_changed = true;
            let of = (month.text(), purpose);
            match record.value.as_deref().map(Lift::unpack) {
                Some(Ok(it)) => {
                    let Lift { treated, held_out, converted_treated, converted_held_out } = it;
                    self.0.insert(of, [treated, held_out, converted_treated, converted_held_out]);
                }
                _ => _ = self.0.remove(&of),
            }
        }
        is_changed
    }

    pub fn differs(&self, model: &Model<'_>) -> Option<String> {
        let expected = model.lifts();
        (self.0 != expected).then(|| format!("counted {:?}, the model {expected:?}", self.0))
    }
}
