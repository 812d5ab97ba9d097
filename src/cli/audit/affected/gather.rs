//! Who may be affected: the subjects of a file of corrections, or those whose records came late; and what of
//! them is in the changelog and the audit. Holds raw identifiers; what it finds has tokens only.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use super::super::super::progress;
use super::super::super::replay::{Kind, Line, LineParser};
use crate::audit::index::Index;
use crate::audit::inputs::{ConsentAt, consent_of, each_consent, readers};
use crate::audit::rulebooks::Rulebooks;
use crate::config::{Config, read_keyset};
use crate::failure::{Exit, Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::scan::Ends;
use assent_contract::domain::audit::Sha256Hash;
use assent_contract::domain::consent::ConsentRecord;
use assent_contract::domain::hex::hex;
use assent_contract::domain::ids::is_valid_id;
use assent_contract::domain::pseudonym::{KeyHistory, KeyRing};
use assent_contract::wire::ConsentReading;
use assent_inquiry::affected::{Affected, Should, Window, affected, should_have};
use assent_inquiry::row::Found;
use assent_verify::Readers;
use sha2::{Digest, Sha256};

/// By subject id: the records as they should have been.
pub struct Corrections {
    /// `None`: no file was given.
    by_subject: Option<BTreeMap<String, Vec<ConsentRecord>>>,
    pub sha256: Option<String>,
}

impl Corrections {
    /// Fails (65) with the place of the first line that is no ConsentRecord.
    pub fn read(path: Option<&Path>, source: Option<&str>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self { by_subject: None, sha256: None }) };
        let mut by_subject: BTreeMap<String, Vec<ConsentRecord>> = BTreeMap::new();
        LineParser::new(Some(Kind::Consent)).each(path, |line| {
            if let Line::Consent(record) = line
                && source.is_none_or(|source| record.source == source)
            {
                by_subject.entry(record.subject_id.clone()).or_default().push(*record);
            }
            Ok(())
        })?;
        let unreadable = |error: std::io::Error| {
            Failure::new(Exit::Data, format!("{}: {error}", path.display()))
        };
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        let (mut sha256, mut chunk) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            let read = file.read(&mut chunk).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            sha256.update(&chunk[..read]);
        }
        Ok(Self { by_subject: Some(by_subject), sha256: Some(hex(&sha256.finalize())) })
    }
}

/// What was found.
#[derive(Default)]
pub struct Outcome {
    pub affected: Vec<Affected>,
    /// Subjects whose consent was held against the audit.
    pub looked_at: u64,
    /// Batches under a rulebook that is not at hand: of these nothing is said.
    pub unknown_rulebooks: BTreeSet<Sha256Hash>,
}

pub struct Gatherer<'a> {
    pub config: &'a Config,
    pub ends: &'a Ends<'a>,
    pub index: &'a Index,
    pub rulebooks: Rulebooks,
    pub window: Window,
    pub source: Option<&'a str>,
}

impl Gatherer<'_> {
    /// Partition by partition: memory holds the subjects of one that are looked at.
    pub fn find(&mut self, corrections: &Corrections) -> Result<Outcome> {
        let keyset = read_keyset(&self.config.keyset)?;
        let (keys, ring) = (KeyHistory::new(&keyset, &[]), KeyRing::new(&keyset, &[]));
        let readers = readers(self.config, self.index.lows().len());
        let visible = Admin::new(self.config)?.cluster()?.topics;
        let sees_state = visible.contains_key(&self.config.topics.state);
        let bar = progress::bar(0, "records of the changelog");
        let mut outcome = Outcome::default();
        for partition in self.index.lows().keys().copied().collect::<Vec<_>>() {
            let subjects = match &corrections.by_subject {
                Some(by_subject) => self.own(by_subject.keys(), partition),
                None => self.late(&readers, partition, &bar)?,
            };
            if subjects.is_empty() {
                continue;
            }
            let is_wanted = |key: &[u8]| subjects.contains(key);
            let all = consent_of(self.config, self.ends, &readers, partition, &bar, is_wanted)?;
            let mut by_key: BTreeMap<&[u8], Vec<&ConsentAt>> = BTreeMap::new();
            for record in &all {
                by_key.entry(&record.key).or_default().push(record);
            }
            for key in &subjects {
                let entries = self.index.of_subject(keys.audit_tokens(key), None)?;
                self.know(&entries, partition, sees_state, &mut outcome)?;
                let known = by_key.get(key.as_slice()).map_or(&[][..], Vec::as_slice);
                let corrected = corrections.of(key);
                let should = should(known, &corrected);
                let rulebooks = |sha256: &Sha256Hash| self.rulebooks.rulebook(sha256);
                let token = hex(&ring.audit_token(key));
                outcome.looked_at += 1;
                outcome.affected.extend(affected(
                    &token,
                    &entries,
                    &should,
                    self.window,
                    &rulebooks,
                ));
            }
        }
        bar.finish_and_clear();
        outcome.affected.sort_by(|a, b| {
            (&a.purpose, a.first, &a.subject).cmp(&(&b.purpose, b.first, &b.subject))
        });
        Ok(outcome)
    }

    fn own<'s>(
        &self,
        subjects: impl Iterator<Item = &'s String>,
        partition: i32,
    ) -> BTreeSet<Vec<u8>> {
        let count = self.index.lows().len() as i32;
        let of = |id: &&String| {
            self.config.kafka.partitioner.partition(id.as_bytes(), count) == partition
        };
        subjects.filter(of).map(|id| id.clone().into_bytes()).collect()
    }

    /// The subjects of records that came after they should have been in force, within the time.
    fn late(
        &self,
        readers: &Readers,
        partition: i32,
        bar: &indicatif::ProgressBar,
    ) -> Result<BTreeSet<Vec<u8>>> {
        let is_late = |it: &ConsentAt| match &it.reading {
            ConsentReading::Record(record) => {
                let is_of = self.source.is_none_or(|source| record.source == source);
                let came_late = record.recorded_at < it.append_time;
                let touches =
                    record.recorded_at < self.window.to && it.append_time > self.window.from;
                is_of && came_late && touches && is_valid_id(&record.subject_id)
            }
            _ => false,
        };
        let mut late = BTreeSet::new();
        let all = |_: &[u8]| true;
        each_consent(self.config, self.ends, readers, partition, bar, all, |it| {
            if is_late(&it) {
                late.insert(it.key);
            }
        })?;
        Ok(late)
    }

    fn know(
        &mut self,
        entries: &[Found],
        partition: i32,
        sees_state: bool,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let lacks =
            |rulebooks: &Rulebooks, it: &Found| rulebooks.get(&it.head.rulebook_sha256).is_none();
        let is_new = |outcome: &Outcome, it: &Found| {
            !outcome.unknown_rulebooks.contains(&it.head.rulebook_sha256)
        };
        if sees_state && entries.iter().any(|it| lacks(&self.rulebooks, it) && is_new(outcome, it))
        {
            self.rulebooks.read_state(self.config, self.ends, partition)?;
        }
        let unknown = entries.iter().filter(|it| lacks(&self.rulebooks, it));
        outcome.unknown_rulebooks.extend(unknown.map(|it| it.head.rulebook_sha256));
        Ok(())
    }
}

impl Corrections {
    fn of(&self, key: &[u8]) -> Vec<&ConsentRecord> {
        let id = std::str::from_utf8(key).ok();
        let found = id.and_then(|id| self.by_subject.as_ref()?.get(id));
        found.into_iter().flatten().collect()
    }
}

fn should<'a>(known: &[&'a ConsentAt], corrected: &[&'a ConsentRecord]) -> Should<'a> {
    let actual = known.iter().filter_map(|it| match &it.reading {
        ConsentReading::Record(record) => Some(record.as_ref()),
        _ => None,
    });
    let erasures = known.iter().filter(|it| matches!(it.reading, ConsentReading::Erasure));
    Should {
        records: should_have(actual, corrected),
        erasures: erasures.map(|it| it.append_time).collect(),
    }
}
