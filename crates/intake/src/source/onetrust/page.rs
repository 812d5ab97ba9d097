//! A page of OneTrust's list of purpose details (`/rest/api/consent/v4/datasubjects/profiles/unordered`).
//!
//! ```text
//! {"content": [{"id": .., "identifier": .., "status": "WITHDRAWN", "lastTransactionDate": ..}],
//!  "last": false, "requestContinuation": ".."}
//! ```

use super::super::Source;
use super::super::fold::folded;
use super::super::mapping::Mapping;
use super::super::moment::Moment;
use super::super::reading::{Building, Chosen, Delivery, Refused};
use super::super::scalar::{Flag, Text};
use super::super::shape;

/// What a page says, and how to ask for the next one.
pub struct Page {
    pub delivery: Delivery,
    /// `None`: it was the last.
    pub continuation: Option<String>,
}

folded! {
    struct Slice {
        content "content": Vec<Detail>,
        last "last": Flag,
        continuation "requestcontinuation": Text,
    }
}

folded! {
    struct Detail {
        purpose "id": Text,
        identifier "identifier": Text,
        status "status": Text,
        last_transaction "lasttransactiondate": Moment,
        expires "expirydate": Moment,
    }
}

pub(in crate::source) fn read(bytes: &[u8], mapping: &Mapping) -> Result<Page, Refused> {
    let slice: Slice = shape::read(bytes)?;
    let mut delivery = Delivery::default();
    for detail in slice.content.ok_or_else(|| Refused::missing("content"))? {
        let mut building = Building::new(Source::OneTrust, mapping);
        let text = |text: Option<Text>| text.map_or(String::new(), |text| text.0);
        let (purpose, word) = (text(detail.purpose), text(detail.status));
        building.choose(&Chosen {
            purpose: &purpose,
            word: &word,
            since: detail.last_transaction.unwrap_or(Moment(None)),
            expires_at: detail.expires.unwrap_or(Moment(None)),
        });
        delivery.add(building.finish(detail.identifier.as_ref().map(|text| text.0.as_str())));
    }
    let is_last = slice.last.is_some_and(|last| last.0);
    let continuation = slice.continuation.map(|token| token.0).filter(|token| !token.is_empty());
    Ok(Page { delivery, continuation: continuation.filter(|_| !is_last) })
}
