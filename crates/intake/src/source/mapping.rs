//! What a shop says of a platform: which of its purposes is which of ours, and what its words mean.

use std::collections::BTreeMap;

use super::Source;
use super::heard::Says;
use assent_contract::domain::consent::{AgeBand, ConsentStatus};

/// Of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// The kind under which the identity map has the platform's identifiers.
    pub identifier_kind: String,
    /// Their id in lower case, and our purpose.
    purposes: BTreeMap<String, String>,
    /// Exact words; what is not here has the documented default.
    statuses: BTreeMap<String, ConsentStatus>,
    /// By question and answer.
    age_questions: BTreeMap<String, BTreeMap<String, AgeBand>>,
    /// `None`: a platform's flags say nothing of a guardian.
    pub guardian: Option<GuardianTerms>,
}

/// What a guardian's consent at the platform is worth, as the shop knows how it is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // three separate permissions of the law
pub struct GuardianTerms {
    /// How guardians are verified there: 16 CFR 312.5(b).
    pub method: String,
    pub coppa_consent: bool,
    pub coppa_disclosure: bool,
    pub ccpa_authorization: bool,
}

/// Two ids that differ only in case stand for two purposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurposesAlike(pub String);

/// What words mean where a mapping does not say it. No word of TrustArc or Zigpoll has a meaning of its own:
/// tenants choose theirs. Everything that is not here is a no.
const DEFAULTS: &[(Source, &str, ConsentStatus)] = &[
    (Source::OneTrust, "CONFIRMED", ConsentStatus::Granted),
    (Source::OneTrust, "ACTIVE", ConsentStatus::Granted),
    (Source::OneTrust, "OPT_IN", ConsentStatus::Granted),
    (Source::OneTrust, "NOT_OPTED_OUT", ConsentStatus::NotAsked),
    (Source::OneTrust, "NOT_OPT_OUT", ConsentStatus::NotAsked),
    (Source::OneTrust, "NO_CHOICE", ConsentStatus::NotAsked),
    (Source::OneTrust, "WITHDRAWN", ConsentStatus::Withdrawn),
    (Source::OneTrust, "OPT_OUT", ConsentStatus::Withdrawn),
    (Source::OneTrust, "HARD_OPT_OUT", ConsentStatus::Withdrawn),
    (Source::OneTrust, "CANCEL", ConsentStatus::Withdrawn),
    (Source::Ketch, "granted", ConsentStatus::Granted),
    (Source::Ketch, "denied", ConsentStatus::Denied),
];

/// Words of OneTrust that are known to be a no.
const NOES: &[(Source, &str)] = &[
    (Source::OneTrust, "PENDING"),
    (Source::OneTrust, "EXPIRED"),
    (Source::OneTrust, "NOTGIVEN"),
    (Source::OneTrust, "NO_CONSENT"),
    (Source::OneTrust, "CHANGE_PREFERENCES"),
    (Source::OneTrust, "IMPLICIT"),
    (Source::OneTrust, "ALWAYS_ACTIVE"),
    (Source::OneTrust, "NONE"),
];

/// Keeps an earlier grant.
const EXTEND: &str = "EXTEND";

impl Mapping {
    pub fn new(
        identifier_kind: String,
        purposes: BTreeMap<String, String>,
        statuses: BTreeMap<String, ConsentStatus>,
        age_questions: BTreeMap<String, BTreeMap<String, AgeBand>>,
        guardian: Option<GuardianTerms>,
    ) -> Result<Self, PurposesAlike> {
        let mut folded = BTreeMap::new();
        for (theirs, ours) in purposes {
            let alike = PurposesAlike(theirs.clone());
            if folded.insert(theirs.to_lowercase(), ours).is_some() {
                return Err(alike);
            }
        }
        Ok(Self { identifier_kind, purposes: folded, statuses, age_questions, guardian })
    }

    /// Our purpose; `None`: the shop does not use theirs.
    pub fn purpose(&self, theirs: &str) -> Option<&str> {
        self.purposes.get(&theirs.to_lowercase()).map(String::as_str)
    }

    /// Every purpose of ours that something is mapped to.
    pub fn our_purposes(&self) -> impl Iterator<Item = &str> {
        self.purposes.values().map(String::as_str)
    }

    /// What a word means, and whether it is known at all.
    pub(super) fn says(&self, source: Source, word: &str) -> (Says, bool) {
        if let Some(status) = self.statuses.get(word) {
            return ((*status).into(), true);
        }
        if source == Source::OneTrust && word == EXTEND {
            return (Says::Extended, true);
        }
        let default = DEFAULTS.iter().find(|(of, known, _)| *of == source && *known == word);
        match default {
            Some((_, _, status)) => ((*status).into(), true),
            None => (Says::Denied, NOES.contains(&(source, word))),
        }
    }

    /// `None`: an answer that the mapping lacks.
    pub(super) fn age_band(&self, question: &str, answer: &str) -> Option<AgeBand> {
        self.age_questions.get(question)?.get(answer).copied()
    }

    /// Is it a question about age?
    pub(super) fn asks(&self, question: &str) -> bool {
        self.age_questions.contains_key(question)
    }
}
