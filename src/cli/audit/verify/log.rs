//! A published log, read from its files: checked once as a whole, then chain by chain.
//!
//! A file that is not what the checkpoint signs is named, and nothing of it is believed; the rest goes on.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use assent_evidence::checkpoint::Checkpoint;
use assent_evidence::entry::{Entry, partition_of};
use assent_evidence::note::{NOTE_BYTES_MAX, Verifier};
use assent_evidence::reader::{LogReader, Unread};
use assent_evidence::tile::WIDTH;

use super::super::super::progress;
use super::result::{Outcome, Place};
use crate::failure::{Exit, Failure, Result};
use crate::published::{Folder, open_checkpoint};
use assent_contract::domain::audit::verify::FaultKind;

type Reader<'a> = LogReader<&'a Folder>;

/// Chains of a log that are followed. An installation has as many as partitions.
const CHAINS_MAX: usize = 100_000;

/// Where the entries of a chain are.
#[derive(Clone, Copy)]
struct Extent {
    first_bundle: u64,
    last_bundle: u64,
    last_sequence: i64,
}

pub struct PublishedLog {
    folder: Folder,
    pub checkpoint: Checkpoint,
    chains: BTreeMap<String, Extent>,
}

impl PublishedLog {
    /// Fails (65) where there is no checkpoint, (1) where this key did not sign it. `None`: nothing of the
    /// log can be believed; the fault was noted.
    pub fn open(path: &Path, verifier: &Verifier, outcome: &mut Outcome) -> Result<Option<Self>> {
        let named = |exit: Exit, why: String| {
            Failure::new(exit, format!("--from {}: {why}", path.display()))
        };
        let file = std::fs::metadata(path).map_err(|error| named(Exit::Data, error.to_string()))?;
        if !file.is_file() || file.len() > NOTE_BYTES_MAX as u64 {
            let why = "this is not a checkpoint; name the file `checkpoint` of a published log";
            return Err(named(Exit::Data, why.to_owned()));
        }
        let note = std::fs::read(path).map_err(|error| named(Exit::Data, error.to_string()))?;
        let checkpoint =
            open_checkpoint(&note, verifier).map_err(|why| named(Exit::Failed, why))?;
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = Folder::new(folder.unwrap_or(Path::new(".")));
        let mut log = Self { folder, checkpoint, chains: BTreeMap::new() };
        let is_believed = log.check(outcome)?;
        Ok(is_believed.then_some(log))
    }

    /// The chains of a partition that it has entries of.
    pub fn chains_of(&self, partition: i32) -> impl Iterator<Item = &str> {
        let is_of = move |name: &&String| partition_of(name) == Some(partition);
        self.chains.keys().filter(is_of).map(String::as_str)
    }

    pub fn chains(&self) -> impl Iterator<Item = &str> {
        self.chains.keys().map(String::as_str)
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The entries of a chain.
    pub fn published(&self, chain: &str) -> Result<Published<'_>> {
        let extent = self.chains.get(chain);
        let bundles = extent.map_or(0..0, |it| it.first_bundle..it.last_bundle + 1);
        let reader = self.reader().map_err(|why| self.failed(&why))?;
        Ok(Published {
            log: self,
            reader,
            chain: chain.to_owned(),
            bundles,
            entries: VecDeque::new(),
        })
    }

    fn reader(&self) -> std::result::Result<Reader<'_>, Unread<std::io::Error>> {
        LogReader::open(&self.folder, self.checkpoint.size, &self.checkpoint.root)
    }

    /// Every bundle once.
    fn check(&mut self, outcome: &mut Outcome) -> Result<bool> {
        let folder = self.folder.clone();
        let Checkpoint { size, root, .. } = &self.checkpoint;
        let mut reader = match LogReader::open(&folder, *size, root) {
            Ok(reader) => reader,
            Err(why) => {
                self.note(&why, None, outcome)?;
                return Ok(false);
            }
        };
        let bar = progress::bar(reader.bundles(), "bundles of the log");
        let mut is_doubtful = false;
        for index in 0..reader.bundles() {
            bar.inc(1);
            let first = (index * WIDTH) as i64;
            match reader.entries(index) {
                Ok(entries) => {
                    for (at, entry) in (first..).zip(entries) {
                        self.take(entry, index, at, is_doubtful, outcome);
                    }
                }
                Err(why) => {
                    self.note(&why, Some(first), outcome)?;
                    is_doubtful = true;
                }
            }
        }
        bar.finish_and_clear();
        Ok(true)
    }

    /// Entries of a chain are in its order, without a gap. `is_doubtful`: a bundle before could not be read.
    fn take(
        &mut self,
        entry: Option<Entry>,
        bundle: u64,
        at: i64,
        is_doubtful: bool,
        outcome: &mut Outcome,
    ) {
        let Some(Entry { chain, sequence, .. }) = entry else {
            let detail = format!("entry {at} is signed, and is no audit batch");
            return outcome.file_fault(FaultKind::Altered, Some(at), detail);
        };
        let extent = Extent { first_bundle: bundle, last_bundle: bundle, last_sequence: sequence };
        let Some(known) = self.chains.get_mut(&chain) else {
            if self.chains.len() < CHAINS_MAX {
                self.chains.insert(chain, extent);
            }
            return;
        };
        let detail =
            format!("entry {at} of the log does not go on from the chain's entry before it");
        let place = Place { offset: None, detail: &detail };
        if sequence <= known.last_sequence {
            return outcome.fault(&chain, sequence, FaultKind::Forked, place);
        }
        if sequence > known.last_sequence + 1 && !is_doubtful {
            outcome.fault(&chain, known.last_sequence + 1, FaultKind::Missing, place);
        }
        (known.last_bundle, known.last_sequence) = (bundle, sequence);
    }

    fn note(
        &self,
        why: &Unread<std::io::Error>,
        entry: Option<i64>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let kind = match why {
            Unread::Missing(_) => FaultKind::Missing,
            Unread::Altered(_) | Unread::OtherRoot => FaultKind::Altered,
            Unread::Files(_) => return Err(self.failed(why)),
        };
        outcome.file_fault(kind, entry, format!("log {}: {why}", self.folder.path().display()));
        Ok(())
    }

    fn failed(&self, why: &Unread<std::io::Error>) -> Failure {
        Failure::failed(format!("log {}: {why}", self.folder.path().display()))
    }
}

/// The entries of one chain, in their order. What can't be read was noted before, and is passed over.
pub struct Published<'a> {
    log: &'a PublishedLog,
    reader: Reader<'a>,
    chain: String,
    bundles: std::ops::Range<u64>,
    entries: VecDeque<Entry>,
}

impl Published<'_> {
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Ok(Some(entry));
            }
            let Some(bundle) = self.bundles.next() else { return Ok(None) };
            match self.reader.entries(bundle) {
                Ok(entries) => {
                    let of_chain = |entry: &Entry| entry.chain == self.chain;
                    self.entries.extend(entries.into_iter().flatten().filter(of_chain));
                }
                Err(why @ Unread::Files(_)) => return Err(self.log.failed(&why)),
                Err(_) => {}
            }
        }
    }
}
