//! The rulebooks that decided: the configured one, those that were given, and those that the state keeps as
//! evidence, by the hash of their file.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::{Config, load_rulebook, read_rulebook};
use crate::failure::{Exit, Result};
use crate::kafka::scan::{Ends, Scan};
use assent_contract::domain::audit::Sha256Hash;
use assent_contract::domain::audit::chain::body_hash;
use assent_contract::rulebook::{self, Rulebook};
use assent_verify::Record;

/// One that decided.
pub struct Kept {
    pub yaml: Vec<u8>,
    /// `None`: the compiler of today refuses it.
    pub rulebook: Option<Rulebook>,
}

#[derive(Default)]
pub struct Rulebooks {
    known: BTreeMap<Sha256Hash, Kept>,
}

impl Rulebooks {
    /// The configured one, and these files; one that has errors is refused (65).
    pub fn load(config: &Config, files: &[impl AsRef<Path>]) -> Result<Self> {
        let mut rulebooks = Self::default();
        rulebooks.add(load_rulebook(&config.rulebook)?.yaml);
        for path in files {
            let path = path.as_ref();
            let read = read_rulebook(path);
            rulebooks.add(read.map_err(|it| it.into_failure(path, Exit::Data))?.yaml);
        }
        Ok(rulebooks)
    }

    pub fn add(&mut self, yaml: Vec<u8>) {
        let rulebook = rulebook::compile(&yaml).ok();
        self.known.insert(body_hash(&yaml), Kept { yaml, rulebook });
    }

    pub fn get(&self, sha256: &Sha256Hash) -> Option<&Kept> {
        self.known.get(sha256)
    }

    pub fn rulebook(&self, sha256: &Sha256Hash) -> Option<&Rulebook> {
        self.get(sha256)?.rulebook.as_ref()
    }

    pub fn all(&self) -> impl Iterator<Item = &Rulebook> {
        self.known.values().filter_map(|it| it.rulebook.as_ref())
    }

    /// Adds those that the state of a partition keeps.
    pub fn read_state(&mut self, config: &Config, ends: &Ends<'_>, partition: i32) -> Result<()> {
        let topic = &config.topics.state;
        let (low, to) = (ends.low(topic, partition)?, ends.committed(topic, partition)?);
        let mut scan = Scan::open(config, topic, partition, low, to)?;
        while let Some(record) = scan.next_record()? {
            if let Some((_, yaml)) = kept_in(&record) {
                self.add(yaml.to_vec());
            }
        }
        Ok(())
    }
}

/// A rulebook's file under the hash of its bytes: `r/<sha256>`. One that is not what its key says is no
/// evidence.
pub fn kept_in(record: &Record) -> Option<(Sha256Hash, &[u8])> {
    let hex = std::str::from_utf8(record.key.as_deref()?).ok()?.strip_prefix("r/")?;
    let yaml = record.value.as_deref()?;
    let parsed: Option<Vec<u8>> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok())
        .collect();
    let sha256 = body_hash(yaml);
    (parsed.as_deref() == Some(&sha256)).then_some((sha256, yaml))
}
