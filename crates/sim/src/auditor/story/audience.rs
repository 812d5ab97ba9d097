//! The minimum audience: what a transaction states of it, and what its partition tells the others, is what
//! the reference model says.

use crate::auditor::parts::Part;
use crate::log::Topic;
use crate::model::Model;
use crate::steps::Step;
use assent_core::engine::audience::Said;

/// The first difference. A loss on record is decided by nothing of this, and states nothing.
pub fn differs(part: &Part<'_>, model: &Model<'_>, step: Option<&Step>) -> Option<String> {
    let stated = part.stated.as_ref().map(|(batch, _)| batch.rulebook.as_str());
    if stated != model.stated.as_deref() {
        return Some(format!("the model states {:?}, the audit {stated:?}", model.stated));
    }
    let said = part.records.iter().filter(|it| it.topic == Topic::State).find_map(|it| {
        let record = &it.stored.record;
        Said::read(record.key.as_deref()?, record.value.as_deref())
    });
    let Some(said) = said else { return Some("no word of its audiences".to_owned()) };
    let members = model.members();
    let audiences = model.rulebook.purposes.iter().filter(|it| it.min_members.is_some());
    let counts: Vec<u64> = audiences
        .flat_map(|it| it.segments.iter().map(|segment| (it.id.clone(), segment.id.clone())))
        .map(|name| members.get(&name).copied().unwrap_or(0))
        .collect();
    let is_wrong = said.counts != counts && step != Some(&Step::OnRecord);
    is_wrong.then(|| format!("{:?} are in its segments, not {:?}", counts, said.counts))
}
