//! The contract's own ClickEvent, read straight from its bytes: what nearly every click is, at a
//! fraction of what a walk through the schema costs.
//!
//! Only ever a shortcut: it takes well-formed values in their usual form and gives `None` for
//! anything else, and then the schema decides. So what can be decoded, and to what, is never decided
//! here; a test holds the two together.

use crate::domain::event::{Click, ClickFields, EventKind};
use crate::domain::time::Timestamp;
use crate::wire::gpp;

/// The fields in the schema's order; those that nobody reads are checked and left out.
pub(super) fn read(body: &[u8], fields: ClickFields) -> Option<Click<'_>> {
    let mut rest = Rest(body);
    rest.text()?; // event_id
    let subject_id = rest.optional(Rest::text)?;
    let session_id = rest.text()?;
    let occurred_at = Timestamp(rest.long()?);
    let kind = *EventKind::ALL.get(usize::try_from(rest.long()?).ok()?)?;
    let category = rest.optional(Rest::text)?;
    let product_id = rest.optional(Rest::text)?;
    let product_age_range = rest.optional(Rest::text)?;
    let value_cents = rest.optional(Rest::long)?;
    let region = rest.optional(Rest::text)?;
    let gpc = rest.optional(Rest::boolean)?;
    let gpp = rest.optional(Rest::text)?;
    rest.0.is_empty().then(|| Click {
        subject_id,
        session_id,
        occurred_at,
        kind: if fields.kind { kind } else { EventKind::default() },
        category: category.filter(|_| fields.category),
        product_id: product_id.filter(|_| fields.product_id),
        product_age_range: product_age_range.filter(|_| fields.product_age_range),
        value_cents: value_cents.filter(|_| fields.value_cents),
        region: region.filter(|_| fields.region),
        gpc,
        opt_out_signal: gpp::signal(gpc, gpp),
    })
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// Up to nine bytes: 63 bits. The few that need ten are left to the schema.
    fn long(&mut self) -> Option<i64> {
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.long()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// A union of null and a value; the outer `None`: it is neither.
    #[allow(clippy::option_option)] // read inside a chain of `?`
    fn optional<T>(&mut self, value: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            2 => value(self).map(Some),
            _ => None,
        }
    }
}
