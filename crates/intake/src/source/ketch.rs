//! Ketch: `ConsentRequest` of `consent/v1`, as its forwarder sends it.
//!
//! ```text
//! {"apiVersion": "consent/v1", "kind": "ConsentRequest", "request": {
//!   "identities": [{"identitySpace": "email", "identityValue": ".."}],
//!   "purposes": {"advertising": "granted"}, "legalBasis": {"advertising": "consent_optin"},
//!   "collectedAt": 1785777669}}
//! ```
//!
//! `granted` under a legal basis that is no opt-in is what holds until somebody objects: nobody was asked.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::Source;
use super::fold::folded;
use super::heard::Says;
use super::mapping::Mapping;
use super::moment::Moment;
use super::reading::{Building, Chosen, Delivery, Refused};
use super::scalar::Text;
use super::shape;

const API_VERSION: &str = "consent/v1";
const KIND: &str = "ConsentRequest";

/// Legal bases under which a purpose is on until somebody objects.
const NOT_ASKED: [&str; 2] = ["consent_optout", "disclosure"];

folded! {
    struct Body {
        api_version "apiversion": Text,
        kind "kind": Text,
        request "request": Request,
    }
}

folded! {
    struct Request {
        identities "identities": Vec<Identity>,
        purposes "purposes": Words,
        legal_basis "legalbasis": Words,
        collected_at "collectedat": Moment,
    }
}

folded! {
    struct Identity {
        space "identityspace": Text,
        value "identityvalue": Text,
    }
}

/// Purposes, and a word for each; none stands there twice.
#[derive(Default)]
struct Words(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Words;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of words")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Words, A::Error> {
                let mut words = BTreeMap::new();
                while let Some((name, word)) = entries.next_entry::<String, Text>()? {
                    if words.insert(name, word.0).is_some() {
                        return Err(A::Error::custom("stands there twice; send it once"));
                    }
                }
                Ok(Words(words))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

pub(super) fn read(bytes: &[u8], mapping: &Mapping) -> Result<Delivery, Refused> {
    let body: Body = shape::read(bytes)?;
    let is = |text: &Option<Text>, wanted: &str| text.as_ref().is_some_and(|it| it.0 == wanted);
    if !is(&body.api_version, API_VERSION) {
        return Err(Refused::field("apiVersion", format!("must be {API_VERSION}")));
    }
    if !is(&body.kind, KIND) {
        return Err(Refused::field("kind", format!("must be {KIND}")));
    }
    let request = body.request.ok_or_else(|| Refused::missing("request"))?;
    let purposes = request.purposes.ok_or_else(|| Refused::missing("request.purposes"))?;
    let identities = request.identities.ok_or_else(|| Refused::missing("request.identities"))?;
    let legal_bases = request.legal_basis.unwrap_or_default();
    let mut building = Building::new(Source::Ketch, mapping);
    for (purpose, word) in &purposes.0 {
        let Some(says) = building.says(purpose, word) else { continue };
        let basis = legal_bases.0.get(purpose).map_or("", String::as_str);
        let is_asked = !NOT_ASKED.contains(&basis);
        let says = if says == Says::Granted && !is_asked { Says::NotAsked } else { says };
        let since = request.collected_at.unwrap_or(Moment(None));
        building.take(&Chosen { purpose, word, since, expires_at: Moment(None) }, says);
    }
    Ok(building.finish(identifier(identities, &mapping.identifier_kind).as_deref()))
}

/// Of the identity space that is the configured kind.
fn identifier(identities: Vec<Identity>, kind: &str) -> Option<String> {
    let is_meant =
        |it: &Identity| it.space.as_ref().is_some_and(|space| space.0.eq_ignore_ascii_case(kind));
    let meant = identities.into_iter().filter(is_meant).filter_map(|it| it.value);
    meant.map(|text| text.0).find(|text| !text.is_empty())
}
