//! Zigpoll: what a person answered about a child's age. An answer may lower an age band, and says nothing of
//! consent.
//!
//! ```text
//! {"type": "track", "event": "Survey Completed", "userId": .., "properties": {"email": ..,
//!   "participant_id": .., "question_id": "child-age", "answer": "6 to 9"}}
//! ```

use super::Source;
use super::fold::folded;
use super::mapping::Mapping;
use super::reading::{Building, Delivery, Refused};
use super::scalar::{Text, Texts};
use super::shape;
use assent_contract::domain::consent::AgeBand;

folded! {
    struct Body {
        user_id "userid": Text,
        properties "properties": Properties,
    }
}

folded! {
    struct Properties {
        email "email": Text,
        participant_id "participant_id": Text,
        question_id "question_id": Text,
        answer "answer": Texts,
    }
}

pub(super) fn read(bytes: &[u8], mapping: &Mapping) -> Result<Delivery, Refused> {
    let body: Body = shape::read(bytes)?;
    let said = body.properties.ok_or_else(|| Refused::missing("properties"))?;
    let mut building = Building::new(Source::Zigpoll, mapping);
    let question = said.question_id.ok_or_else(|| Refused::missing("properties.question_id"))?;
    let answers = said.answer.map_or(Vec::new(), |answers| answers.0);
    if mapping.asks(&question.0) {
        let mut youngest: Option<AgeBand> = None;
        for answer in answers {
            // An answer that nobody foresaw says nothing: that anybody is older, least of all.
            match mapping.age_band(&question.0, &answer.0) {
                Some(band) => youngest = Some(youngest.map_or(band, |before| before.min(band))),
                None => building.notes.answers += 1,
            }
        }
        building.heard.age_band = youngest.filter(|band| *band != AgeBand::Unknown);
    }
    let email = said.email.map(|text| text.0).filter(|text| !text.is_empty());
    let participant = said.participant_id.or(body.user_id).map(|text| text.0);
    let identifier = if mapping.identifier_kind == "email" { email } else { participant };
    Ok(building.finish(identifier.as_deref()))
}
