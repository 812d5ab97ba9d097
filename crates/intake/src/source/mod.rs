//! What consent platforms send, read as what a person decided.
//!
//! ```text
//! bytes ─► shape (depth, names in any case) ─► one file a platform ─► Said: identifier and Heard
//! ```
//!
//! Knows no subject: an identifier is resolved by whoever has the identity map. Of a body only what a mapping
//! asks for is kept; a contact's name, password or link is skipped and never held. In any doubt the answer is
//! no: a word that no mapping has, a grant without a time, a field that stands there twice.

mod fold;
mod heard;
mod ketch;
mod mapping;
mod moment;
mod onetrust;
mod platform;
mod reading;
mod scalar;
mod shape;
mod trustarc;
mod zigpoll;

#[cfg(test)]
mod tests;

pub use heard::{Choice, Dated, Heard, Says};
pub use mapping::{GuardianTerms, Mapping, PurposesAlike};
pub use onetrust::page::Page;
pub use platform::Source;
pub use reading::{Delivery, Identifier, Notes, Refused, Said};

impl Source {
    /// What a platform posts. TrustArc's body is not published, so nothing is read of it but which data subject
    /// it is about ([`trustarc_hint`]); here are the consents that are read back.
    pub fn read(self, bytes: &[u8], mapping: &Mapping) -> Result<Delivery, Refused> {
        match self {
            Self::OneTrust => onetrust::read(bytes, mapping),
            Self::TrustArc => trustarc::read(bytes, mapping),
            Self::Zigpoll => zigpoll::read(bytes, mapping),
            Self::Ketch => ketch::read(bytes, mapping),
        }
    }
}

/// The data subject that a callback of TrustArc names, if it names one.
pub fn trustarc_hint(bytes: &[u8]) -> Result<Option<String>, Refused> {
    trustarc::hint(bytes)
}

/// One page of OneTrust's list of purpose details.
pub fn onetrust_page(bytes: &[u8], mapping: &Mapping) -> Result<Page, Refused> {
    onetrust::page::read(bytes, mapping)
}
