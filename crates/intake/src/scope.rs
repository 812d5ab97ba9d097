//! How far an opt-out reaches.

use serde::{Deserialize, Serialize};

use assent_contract::domain::ids::is_slug;
use assent_contract::rulebook::Rulebook;

/// `PrivacyRequest.scope`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Scope {
    /// All sale and sharing, also by purposes that come later (11 CCR 7026(h)).
    SaleOrShare,
    All,
    Purpose(String),
}

/// What a scope asks of a purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub id: String,
    pub sale_or_share: bool,
}

const SALE_OR_SHARE: &str = "sale_or_share";
const ALL: &str = "all";

impl Scope {
    pub fn text(&self) -> &str {
        match self {
            Self::SaleOrShare => SALE_OR_SHARE,
            Self::All => ALL,
            Self::Purpose(id) => id,
        }
    }

    /// Is this purpose meant?
    pub fn covers(&self, purpose: &Terms) -> bool {
        match self {
            Self::SaleOrShare => purpose.sale_or_share,
            Self::All => true,
            Self::Purpose(id) => *id == purpose.id,
        }
    }

    /// Does it end all sale and sharing, whatever purposes there are?
    pub fn ends_all_sale(&self) -> bool {
        !matches!(self, Self::Purpose(_))
    }
}

impl Terms {
    /// Of a rulebook's purposes, in its order.
    pub fn of(rulebook: &Rulebook) -> Vec<Self> {
        let terms = |purpose: &assent_contract::rulebook::Purpose| Self {
            id: purpose.id.clone(),
            sale_or_share: purpose.sale_or_share,
        };
        rulebook.purposes.iter().map(terms).collect()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.text().to_owned()
    }
}

/// Neither `sale_or_share`, `all` nor the form of a purpose's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoScope;

impl std::fmt::Display for NoScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("must be sale_or_share, all, or the id of a purpose")
    }
}

/// A purpose may have the id `all`: then `all` still means all.
impl TryFrom<String> for Scope {
    type Error = NoScope;

    fn try_from(text: String) -> Result<Self, NoScope> {
        match text.as_str() {
            SALE_OR_SHARE => Ok(Self::SaleOrShare),
            ALL => Ok(Self::All),
            id if is_slug(id) => Ok(Self::Purpose(text)),
            _ => Err(NoScope),
        }
    }
}
