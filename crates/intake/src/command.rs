//! A change as it waits for whoever owns its partition. Holds a raw identifier: it is sealed before it
//! leaves the process, and has no `Debug`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scope::Scope;
use crate::source::Heard;
use assent_contract::domain::consent::{AgeBand, Decision, Guardian};
use assent_contract::domain::time::Timestamp;

/// One change of one subject's consent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    pub request_id: String,
    pub subject_id: String,
    /// `ConsentRecord.source`: who says so.
    pub source: String,
    pub received_at: Timestamp,
    pub change: Change,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    Put(Statement),
    OptOut(Scope),
    Erase,
    /// What a consent platform said.
    Heard(Heard),
}

/// What a shop's own server says of a subject. Decisions are merged with those that stand; everything else
/// takes the place of what stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    #[serde(default)]
    pub age_band: AgeBand,
    #[serde(default)]
    pub decisions: BTreeMap<String, Decision>,
    #[serde(default)]
    pub guardian: Option<Guardian>,
    #[serde(default)]
    pub double_opt_in_at: Option<Timestamp>,
}

impl Command {
    /// What is sealed: JSON, in which fields are only added.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a command is plain data")
    }

    /// `None`: it is no command of a version that this one can read.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_its_encoding() {
        for change in [
            Change::Erase,
            Change::OptOut(Scope::Purpose("offers".to_owned())),
            Change::OptOut(Scope::All),
            Change::Heard(Heard::default()),
            Change::Put(Statement { age_band: AgeBand::From18, ..Statement::default() }),
        ] {
            let command = Command {
                request_id: "r".to_owned(),
                subject_id: "s".to_owned(),
                source: "api".to_owned(),
                received_at: Timestamp(7),
                change,
            };
            assert!(Command::decode(&command.encode()) == Some(command));
        }
        assert!(Command::decode(b"{}").is_none());
    }
}
