//! How much of memory a record takes, and what is known of one that is too large for it: its hash.

use crate::kafka::events::Received;
use assent_contract::domain::intake::Rejection;
use assent_core::task::consent::HeldConsent;

/// Bytes of its key and value; a record without either still takes its place.
pub fn size(record: &Received<'_>) -> usize {
    bytes(record) + size_of::<HeldConsent>()
}

/// Why a record that is too large is no input.
pub fn outsized(record: &Received<'_>) -> Rejection {
    Rejection::outsized(bytes(record), record.payload())
}

fn bytes(record: &Received<'_>) -> usize {
    record.key().map_or(0, <[u8]>::len) + record.payload().map_or(0, <[u8]>::len)
}
