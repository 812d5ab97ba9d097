//! What a platform says of one person, in our words: part of a command, so it is sealed and has a form that
//! stays. Nothing in it depends on when it was received: the same delivery twice is the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use assent_contract::domain::consent::{AgeBand, ConsentStatus, Guardian};
use assent_contract::domain::time::Timestamp;

/// Merged by purpose; what it does not speak of stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// By purpose of the rulebook.
    #[serde(default)]
    pub choices: BTreeMap<String, Choice>,
    /// The person is at most so old. Never raises what may be done.
    #[serde(default)]
    pub age_band: Option<AgeBand>,
    /// Only where a mapping says how the platform verifies a guardian.
    #[serde(default)]
    pub guardian: Option<Guardian>,
    /// An opt-out preference signal.
    #[serde(default)]
    pub signal: Option<Dated>,
}

/// What was chosen for one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    pub says: Says,
    /// `None`: as of the receipt. A grant always has one.
    #[serde(default)]
    pub since: Option<Timestamp>,
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// From the weakest to the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// Keeps an earlier grant, and is none by itself.
    Extended,
    Granted,
    NotAsked,
    Denied,
    Withdrawn,
}

/// A moment; `None`: that of the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dated {
    pub at: Option<Timestamp>,
}

impl From<ConsentStatus> for Says {
    fn from(status: ConsentStatus) -> Self {
        match status {
            ConsentStatus::NotAsked => Self::NotAsked,
            ConsentStatus::Granted => Self::Granted,
            ConsentStatus::Denied => Self::Denied,
            ConsentStatus::Withdrawn => Self::Withdrawn,
        }
    }
}

impl Says {
    /// `None`: an extension, which is no status.
    pub fn status(self) -> Option<ConsentStatus> {
        match self {
            Self::Extended => None,
            Self::NotAsked => Some(ConsentStatus::NotAsked),
            Self::Granted => Some(ConsentStatus::Granted),
            Self::Denied => Some(ConsentStatus::Denied),
            Self::Withdrawn => Some(ConsentStatus::Withdrawn),
        }
    }
}

impl Choice {
    /// Two choices of one delivery for one purpose: the strictest, as of the later.
    #[must_use]
    pub fn strictest(self, other: &Self) -> Self {
        let since = match (self.since, other.since) {
            (Some(one), Some(another)) => Some(one.max(another)),
            _ => None,
        };
        let ends = [self.expires_at, other.expires_at].into_iter().flatten().min();
        let says = self.says.max(other.says);
        // Both are dated where the result is a grant: see `reading::Building`.
        let expires_at = ends.filter(|_| says <= Says::Granted);
        Self { says, since, expires_at }
    }
}

impl Heard {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Does it mean the same whenever it is received? What has no time of its own is a new statement each time.
    pub fn is_dated(&self) -> bool {
        self.choices.values().all(|choice| choice.since.is_some())
            && self.signal.is_none_or(|signal| signal.at.is_some())
            && self.age_band.is_none()
    }

    /// For one purpose; of two choices the strictest.
    pub fn choose(&mut self, purpose: String, choice: Choice) {
        let choice = match self.choices.remove(&purpose) {
            Some(before) => before.strictest(&choice),
            None => choice,
        };
        self.choices.insert(purpose, choice);
    }

    /// What is sealed and hashed: JSON, in which fields are only added.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data")
    }
}
