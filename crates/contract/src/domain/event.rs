//! A click as the gate and the rules see it: borrowed from the bytes it was decoded from.

use serde::{Deserialize, Deserializer, Serialize};

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

impl EventKind {
    /// In the schema's order.
    pub const ALL: [Self; 6] = [
        Self::PageView,
        Self::ProductView,
        Self::Search,
        Self::AddToCart,
        Self::Purchase,
        Self::Other,
    ];

    /// The schema's symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::PageView => "PAGE_VIEW",
            Self::ProductView => "PRODUCT_VIEW",
            Self::Search => "SEARCH",
            Self::AddToCart => "ADD_TO_CART",
            Self::Purchase => "PURCHASE",
            Self::Other => "OTHER",
        }
    }

    pub fn from_symbol(symbol: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.symbol() == symbol)
    }
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
    /// Why it binds its subject, if it does (docs/contract/gate.md#which-clicks-bind).
    pub opt_out_signal: Option<SignalSource>,
}

/// What said that sale or sharing is opted out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignalSource {
    /// `gpc` is true.
    Gpc,
    /// `gpp` says so, or that a known child's consent is refused.
    Gpp,
    /// `gpp` can't be decoded.
    GppUndecodable,
    /// A consent record's `opt_out_signal_at`.
    Record,
}

impl SignalSource {
    pub const ALL: [Self; 4] = [Self::Gpc, Self::Gpp, Self::GppUndecodable, Self::Record];

    /// Label `source` of assent_opt_out_signals_total.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gpc => "gpc",
            Self::Gpp => "gpp",
            Self::GppUndecodable => "gpp_undecodable",
            Self::Record => "record",
        }
    }
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

impl ClickFields {
    pub const ALL: Self = Self {
        kind: true,
        category: true,
        product_id: true,
        product_age_range: true,
        value_cents: true,
        region: true,
    };

    /// The schema's names of those that are read, in the schema's order.
    pub fn names(self) -> Vec<&'static str> {
        let read = [
            (self.kind, "kind"),
            (self.category, "category"),
            (self.product_id, "product_id"),
            (self.product_age_range, "product_age_range"),
            (self.value_cents, "value_cents"),
            (self.region, "region"),
        ];
        read.into_iter().filter(|(is_read, _)| *is_read).map(|(_, name)| name).collect()
    }
}

/// A whole `ClickEvent`, as a generator or a file of JSON lines gives it. Strict: a field or kind
/// that the schema lacks is refused. Holds raw identifiers: never log it (no `Debug`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClickEvent {
    pub event_id: String,
    #[serde(default)]
    pub subject_id: Option<String>,
    pub session_id: String,
    pub occurred_at: Timestamp,
    #[serde(deserialize_with = "known_kind")]
    pub kind: EventKind,
    #[serde(default)]
    pub category: Option<String>,
    #[serde(default)]
    pub product_id: Option<String>,
    #[serde(default)]
    pub product_age_range: Option<String>,
    #[serde(default)]
    pub value_cents: Option<i64>,
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub gpc: Option<bool>,
    #[serde(default)]
    pub gpp: Option<String>,
}

impl ClickEvent {
    /// The Kafka key: the subject if known, else the session.
    pub fn key(&self) -> &str {
        self.subject_id.as_deref().unwrap_or(&self.session_id)
    }
}

/// Avro resolves an unknown symbol to the schema's default; in a file it is a mistake.
fn known_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventKind, D::Error> {
    let symbol = String::deserialize(deserializer)?;
    EventKind::from_symbol(&symbol).ok_or_else(|| {
        serde::de::Error::custom(
            "kind must be PAGE_VIEW, PRODUCT_VIEW, SEARCH, ADD_TO_CART, PURCHASE or OTHER",
        )
    })
}
