//! A click as the gate and the rules see it: borrowed from the bytes it was decoded from.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// `ClickEvent.kind`. An unknown symbol reads as `Other`, the schema's default.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventKind {
    PageView,
    ProductView,
    Search,
    AddToCart,
    Purchase,
    #[default]
    #[serde(other)]
    Other,
}

/// The fields of a `ClickEvent` that the gate or a live rule reads (INV-11). A field that no live
/// rule reads is not decoded and is `None` here. Holds raw identifiers: never log it (no `Debug`).
#[derive(Clone, Copy, Default)]
pub struct Click<'a> {
    pub subject_id: Option<&'a str>,
    pub session_id: &'a str,
    pub occurred_at: Timestamp,
    pub kind: EventKind,
    pub category: Option<&'a str>,
    pub product_id: Option<&'a str>,
    pub product_age_range: Option<&'a str>,
    pub value_cents: Option<i64>,
    pub region: Option<&'a str>,
    /// As the collector saw it; `None`: it did not look.
    pub gpc: Option<bool>,
    /// `gpc` is true, or `gpp` says sale or sharing is opted out or can't be decoded (section 5).
    pub opt_out_signal: bool,
}

/// Which optional fields the live rules read. `subject_id`, `session_id`, `occurred_at`, `gpc` and
/// `gpp` are the gate's and always read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // one flag a field of the schema
pub struct ClickFields {
    pub kind: bool,
    pub category: bool,
    pub product_id: bool,
    pub product_age_range: bool,
    pub value_cents: bool,
    pub region: bool,
}
