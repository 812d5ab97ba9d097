//! Reads the rulebook file; a faulty one is refused with every place in it that is wrong.

use std::fmt::Write as _;
use std::path::Path;

use crate::failure::{Exit, Failure, Result};
use assent_contract::rulebook::{self, Rulebook};
use assent_contract::yaml::Fault;

/// A rulebook that passed every check, with the bytes it was read from, which are kept as evidence.
#[derive(Clone, Debug)]
pub struct RulebookFile {
    pub rulebook: Rulebook,
    pub yaml: Vec<u8>,
}

/// Why there is no rulebook.
#[derive(Debug)]
pub enum RulebookRefusal {
    Unreadable(std::io::Error),
    Faulty(Vec<Fault>),
}

impl RulebookRefusal {
    /// One message; a faulty rulebook's has a line `file:line:column: message` for each error.
    pub fn into_failure(self, path: &Path, exit: Exit) -> Failure {
        let file = path.display();
        Failure::new(
            exit,
            match self {
                Self::Unreadable(error) => {
                    format!("{file}: the rulebook can't be read: {error}; check the path")
                }
                Self::Faulty(errors) => {
                    let mut message = format!("{file}: the rulebook has errors");
                    for error in errors {
                        let _ = write!(message, "\n{file}:{error}");
                    }
                    message
                }
            },
        )
    }
}

pub fn read_rulebook(path: &Path) -> std::result::Result<RulebookFile, RulebookRefusal> {
    let yaml = std::fs::read(path).map_err(RulebookRefusal::Unreadable)?;
    let rulebook = rulebook::compile(&yaml).map_err(RulebookRefusal::Faulty)?;
    Ok(RulebookFile { rulebook, yaml })
}

/// The configured rulebook: a fault of it is a fault of the configuration (78).
pub fn load_rulebook(path: &Path) -> Result<RulebookFile> {
    read_rulebook(path).map_err(|refusal| refusal.into_failure(path, Exit::Config))
}
