//! OneTrust: consent receipts, and the integration event 3010 (data subject profile updated).
//!
//! ```text
//! {"identifier": .., "interactionDate": .., "purposes": [{"Id": .., "TransactionType": "CONFIRMED"}]}
//! {"eventType": "3010", "payload": {"dataSubjectEmail": .., "profiles": [{"purposeId": .., "profileFields":
//!   {"TransactionStatus": "WITHDRAWN", "LastTransaction": "1785777669"}}]}}
//! ```
//!
//! Case is mixed, so none counts. An event is ordered by when its last transaction was, to the second; of two
//! within one second the stricter stands, whichever comes last. Receipts of tests are dropped.

pub mod page;

use super::Source;
use super::fold::folded;
use super::heard::Says;
use super::mapping::Mapping;
use super::moment::Moment;
use super::reading::{Building, Chosen, Delivery, Refused};
use super::scalar::{Flag, Text};
use super::shape;

const PROFILE_UPDATED: &str = "3010";

folded! {
    /// A receipt or an event: which of both, `eventType` says.
    struct Body {
        event_type "eventtype": Text,
        payload "payload": Payload,
        identifier "identifier": Text,
        test "test": Flag,
        interaction_date "interactiondate": Moment,
        purposes "purposes": Vec<Purpose>,
        parents "parentprimaryidentifiers": Vec<Parent>,
        consent_string "consentstring": ConsentString,
    }
}

folded! {
    struct Purpose {
        id "id": Text,
        transaction_type "transactiontype": Text,
        expiry_date "expirydate": Moment,
        preferences "preferences": Vec<Preference>,
    }
}

folded! {
    struct Preference {
        topic_id "topicid": Text,
        transaction_type "transactiontype": Text,
    }
}

folded! {
    struct Parent {
        identifier "parentidentifier": Text,
        consent_given_by "consentgivenby": Flag,
        test "parenttestdatasubject": Flag,
    }
}

folded! {
    struct ConsentString {
        kind "type": Text,
        content "content": Text,
    }
}

folded! {
    struct Payload {
        email "datasubjectemail": Text,
        profiles "profiles": Vec<Profile>,
    }
}

folded! {
    struct Profile {
        purpose_id "purposeid": Text,
        topics "topics": Vec<Topic>,
        fields "profilefields": ProfileFields,
    }
}

folded! {
    struct Topic {
        guid "topicguid": Text,
        value "value": Flag,
    }
}

folded! {
    struct ProfileFields {
        status "transactionstatus": Text,
        last_transaction "lasttransaction": Moment,
    }
}

pub(super) fn read(bytes: &[u8], mapping: &Mapping) -> Result<Delivery, Refused> {
    let body: Body = shape::read(bytes)?;
    match body.event_type.as_ref().map(|kind| kind.0.as_str()) {
        None => receipt(body, mapping),
        Some(PROFILE_UPDATED) => event(body.payload, mapping),
        Some(_) => {
            Err(Refused::field("eventType", "is no event that is read here; send 3010 alone"))
        }
    }
}

fn receipt(body: Body, mapping: &Mapping) -> Result<Delivery, Refused> {
    let mut building = Building::new(Source::OneTrust, mapping);
    if body.test.is_some_and(|test| test.0) {
        building.notes.tests += 1;
        return Ok(Delivery { said: Vec::new(), notes: building.notes });
    }
    let purposes = body.purposes.ok_or_else(|| Refused::missing("purposes"))?;
    let identifier = body.identifier.ok_or_else(|| Refused::missing("identifier"))?;
    let since = body.interaction_date.unwrap_or(Moment(None));
    for purpose in purposes {
        choose(&mut building, &purpose, since);
    }
    let is_given = |parent: &Parent| {
        let is = |flag: &Option<Flag>| flag.as_ref().is_some_and(|flag| flag.0);
        parent.identifier.as_ref().is_some_and(|id| !id.0.is_empty())
            && is(&parent.consent_given_by)
            && !is(&parent.test)
    };
    if body.parents.iter().flatten().any(is_given) {
        building.guardian(since);
    }
    if let Some(ConsentString { kind: Some(kind), content: Some(content) }) = &body.consent_string
        && kind.0.eq_ignore_ascii_case("GPP")
    {
        building.gpp(&content.0, since);
    }
    Ok(building.finish(Some(&identifier.0)))
}

/// A purpose, and those of its topics that are mapped by themselves. A topic is granted only within a purpose
/// that is.
fn choose(building: &mut Building<'_>, purpose: &Purpose, since: Moment) {
    let text = |text: &Option<Text>| text.as_ref().map_or(String::new(), |text| text.0.clone());
    let (id, word) = (text(&purpose.id), text(&purpose.transaction_type));
    let expires_at = purpose.expiry_date.unwrap_or(Moment(None));
    building.choose(&Chosen { purpose: &id, word: &word, since, expires_at });
    for topic in purpose.preferences.iter().flatten() {
        let (id, chosen) = (text(&topic.topic_id), text(&topic.transaction_type));
        let chosen = Chosen { purpose: &id, word: &chosen, since, expires_at };
        choose_topic(building, &chosen, &word);
    }
}

fn choose_topic(building: &mut Building<'_>, topic: &Chosen<'_>, word_of_purpose: &str) {
    let Some(says) = building.says_of_topic(topic.purpose, topic.word) else { return };
    let (of_purpose, _) = building.meaning(word_of_purpose);
    let says = if says <= Says::Granted { says.max(of_purpose) } else { says };
    building.take(topic, says);
}

fn event(payload: Option<Payload>, mapping: &Mapping) -> Result<Delivery, Refused> {
    let payload = payload.ok_or_else(|| Refused::missing("payload"))?;
    let profiles = payload.profiles.ok_or_else(|| Refused::missing("profiles"))?;
    let email = payload.email.ok_or_else(|| Refused::missing("dataSubjectEmail"))?;
    let mut building = Building::new(Source::OneTrust, mapping);
    for profile in profiles {
        let id = profile.purpose_id.map_or(String::new(), |id| id.0);
        let fields = profile.fields.unwrap_or_default();
        let word = fields.status.map_or(String::new(), |word| word.0);
        let since = fields.last_transaction.unwrap_or(Moment(None));
        let expires_at = Moment(None);
        building.choose(&Chosen { purpose: &id, word: &word, since, expires_at });
        for topic in profile.topics.into_iter().flatten() {
            let id = topic.guid.map_or(String::new(), |id| id.0);
            let chosen =
                if topic.value.is_some_and(|value| value.0) { "OPT_IN" } else { "OPT_OUT" };
            let chosen = Chosen { purpose: &id, word: chosen, since, expires_at };
            choose_topic(&mut building, &chosen, &word);
        }
    }
    Ok(building.finish(Some(&email.0)))
}
