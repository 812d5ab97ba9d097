//! A consent record as it is read from the changelog: whole, never a delta.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// An account shared by a family has the band of its youngest known user.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AgeBand {
    /// Treated as `Under13`: for a children's shop an unknown visitor may be a child.
    #[default]
    Unknown,
    #[serde(rename = "UNDER_13")]
    Under13,
    #[serde(rename = "FROM_13_TO_15")]
    From13To15,
    #[serde(rename = "FROM_16_TO_17")]
    From16To17,
    #[serde(rename = "FROM_18")]
    From18,
}

impl AgeBand {
    pub const ALL: [Self; 5] =
        [Self::Unknown, Self::Under13, Self::From13To15, Self::From16To17, Self::From18];

    /// The schema's symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Under13 => "UNDER_13",
            Self::From13To15 => "FROM_13_TO_15",
            Self::From16To17 => "FROM_16_TO_17",
            Self::From18 => "FROM_18",
        }
    }
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsentStatus {
    NotAsked,
    Granted,
    #[default]
    Denied,
    Withdrawn,
}

impl ConsentStatus {
    /// The schema's symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::NotAsked => "NOT_ASKED",
            Self::Granted => "GRANTED",
            Self::Denied => "DENIED",
            Self::Withdrawn => "WITHDRAWN",
        }
    }
}

/// What was decided for one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub status: ConsentStatus,
    /// The status holds from here on.
    pub since: Timestamp,
    /// A grant ends here; `None`: no end.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    #[serde(default)]
    pub notice_version: Option<String>,
}

/// What a verified parent or guardian allowed for a child under 13.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // three separate permissions of the law
pub struct Guardian {
    pub verified_at: Timestamp,
    #[serde(default)]
    pub method: Option<String>,
    /// Collection and use: 16 CFR 312.5(a)(1).
    #[serde(default)]
    pub coppa_consent: bool,
    /// Disclosure to third parties: 16 CFR 312.5(a)(2).
    #[serde(default)]
    pub coppa_disclosure: bool,
    /// Sale or sharing: 11 CCR 7070.
    #[serde(default)]
    pub ccpa_authorization: bool,
}

/// Everything known of one subject's consent. Holds a raw identifier: never log it (no `Debug`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentRecord {
    pub subject_id: String,
    pub version: i64,
    pub recorded_at: Timestamp,
    #[serde(default)]
    pub age_band: AgeBand,
    /// By purpose id; a purpose that is missing was never asked.
    pub decisions: BTreeMap<String, Decision>,
    #[serde(default)]
    pub guardian: Option<Guardian>,
    #[serde(default)]
    pub double_opt_in_at: Option<Timestamp>,
    #[serde(default)]
    pub opt_out_signal_at: Option<Timestamp>,
    #[serde(default = "unknown_source")]
    pub source: String,
    #[serde(default)]
    pub receipt_id: Option<String>,
}

fn unknown_source() -> String {
    "unknown".to_owned()
}
