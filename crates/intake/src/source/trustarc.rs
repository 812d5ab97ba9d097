//! TrustArc: the consents that are read back of it, and what its callback may name.
//!
//! ```text
//! [{"dataSubjectIdentifiers": [{"identifierValues": [{"identifier": {"id": .., "name": "email"},
//!     "formValues": [{"value": ".."}]}]}],
//!   "dataFieldValues": [{"dataField": {"id": .., "name": ".."}, "formValues": [{"value": "OPT_OUT"}],
//!     "consent": {"createdDate": "1785777669", "consentForm": {"customConsentValidityDays": 365}}}]}]
//! ```
//!
//! The documented record is a data subject's; one that lies within `dataSubject` is read alike. A data field is
//! a purpose, by its id or its name; its values are words that the tenant chose, so all of them are mapped.

use serde::Deserialize;

use super::Source;
use super::fold::folded;
use super::heard::Says;
use super::mapping::Mapping;
use super::moment::Moment;
use super::reading::{Building, Chosen, Delivery, Refused};
use super::scalar::Text;
use super::shape;
use assent_contract::domain::time::{Span, Timestamp};

folded! {
    struct Hint {
        data_subject_id "datasubjectid": Text,
    }
}

folded! {
    struct Record {
        data_subject "datasubject": Subject,
        identifiers "datasubjectidentifiers": Vec<Group>,
        fields "datafieldvalues": Vec<Field>,
        created "createddate": Moment,
    }
}

folded! {
    struct Subject {
        identifiers "datasubjectidentifiers": Vec<Group>,
    }
}

folded! {
    struct Group {
        values "identifiervalues": Vec<Identifying>,
    }
}

folded! {
    struct Identifying {
        identifier "identifier": Named,
        values "formvalues": Vec<Value>,
    }
}

folded! {
    struct Named {
        id "id": Text,
        name "name": Text,
    }
}

folded! {
    struct Value {
        value "value": Text,
    }
}

folded! {
    struct Field {
        form_field_id "formfieldid": Text,
        field "datafield": Named,
        values "formvalues": Vec<Value>,
        consent "consent": Consent,
    }
}

folded! {
    struct Consent {
        created "createddate": Moment,
        form "consentform": Form,
    }
}

folded! {
    struct Form {
        validity_days "customconsentvaliditydays": Text,
    }
}

/// An array, or a page with one in `content`.
#[derive(Deserialize)]
#[serde(transparent)]
struct List(Vec<Record>);

folded! {
    struct Paged {
        content "content": List,
    }
}

pub(super) fn hint(bytes: &[u8]) -> Result<Option<String>, Refused> {
    let hint: Hint = shape::read(bytes)?;
    // It goes into an address: an id has no other characters.
    let is_id = |id: &String| {
        !id.is_empty()
            && id.len() <= 64
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    Ok(hint.data_subject_id.map(|id| id.0).filter(is_id))
}

pub(super) fn read(bytes: &[u8], mapping: &Mapping) -> Result<Delivery, Refused> {
    let is_page = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let List(records) = if is_page {
        let page: Paged = shape::read(bytes)?;
        page.content.ok_or_else(|| Refused::missing("content"))?
    } else {
        shape::read(bytes)?
    };
    let mut delivery = Delivery::default();
    for record in records {
        delivery.add(one(record, mapping));
    }
    Ok(delivery)
}

fn one(record: Record, mapping: &Mapping) -> Delivery {
    let mut building = Building::new(Source::TrustArc, mapping);
    let groups = record.identifiers.or(record.data_subject.and_then(|it| it.identifiers));
    let identifier = identifier(groups.unwrap_or_default(), &mapping.identifier_kind);
    for field in record.fields.unwrap_or_default() {
        choose(&mut building, field, record.created, mapping);
    }
    building.finish(identifier.as_deref())
}

/// The value of the identifier whose name or id is the configured kind.
fn identifier(groups: Vec<Group>, kind: &str) -> Option<String> {
    let is = |text: &Option<Text>| text.as_ref().is_some_and(|it| it.0.eq_ignore_ascii_case(kind));
    let is_meant = |it: &Identifying| {
        it.identifier.as_ref().is_some_and(|named| is(&named.name) || is(&named.id))
    };
    let identifying = groups.into_iter().filter_map(|group| group.values).flatten();
    let meant = identifying.filter(is_meant).filter_map(|it| it.values).flatten();
    meant.filter_map(|value| value.value).map(|text| text.0).find(|text| !text.is_empty())
}

fn choose(building: &mut Building<'_>, field: Field, created: Option<Moment>, mapping: &Mapping) {
    let named = field.field.unwrap_or_default();
    let ids = [named.id, named.name, field.form_field_id];
    let mut ids = ids.into_iter().flatten().map(|text| text.0);
    let Some(purpose) = ids.find(|id| mapping.purpose(id).is_some()) else {
        building.notes.purposes += 1;
        return;
    };
    let consent = field.consent.unwrap_or_default();
    let since = consent.created.or(created).unwrap_or(Moment(None));
    let days = consent.form.and_then(|form| form.validity_days);
    let values = field.values.unwrap_or_default();
    let words: Vec<String> =
        values.into_iter().map(|it| it.value.map_or(String::new(), |text| text.0)).collect();
    // No value is a no, and of several the strictest counts.
    let says = words.iter().filter_map(|word| building.says(&purpose, word)).max();
    let chosen =
        Chosen { purpose: &purpose, word: "", since, expires_at: end(since, days.as_ref()) };
    building.take(&chosen, says.unwrap_or(Says::Denied));
}

/// Where the form says for how long a consent is valid.
fn end(since: Moment, days: Option<&Text>) -> Moment {
    let days: Option<i64> = days.and_then(|days| days.0.parse().ok()).filter(|days| *days > 0);
    let end = |since: Timestamp| {
        let span = days?.checked_mul(Span::DAY.0)?;
        since.0.checked_add(span).map(Timestamp)
    };
    Moment(since.0.and_then(end))
}
