//! Where the batches of an export are in the published log, and the proof of each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assent_evidence::checkpoint::Checkpoint;
use assent_evidence::entry::Entry;
use assent_evidence::export::proofs::Proof;
use assent_evidence::note::NOTE_BYTES_MAX;
use assent_evidence::proof::prove_inclusion;
use assent_evidence::reader::{LogReader, Unread};
use assent_evidence::tile::WIDTH;

use super::super::super::progress;
use super::chains::Chain;
use crate::failure::{Exit, Failure, Result};
use crate::published::Folder;

/// A published log, as its checkpoint says. Who signed it is checked by whoever receives the export.
pub struct Log {
    folder: Folder,
    note: Vec<u8>,
    checkpoint: Checkpoint,
}

/// The same, with the place of each batch that is exported.
pub struct Located {
    log: Log,
    pub checkpoint: Checkpoint,
    /// By chain and sequence: the entry's number.
    places: BTreeMap<String, BTreeMap<i64, u64>>,
}

impl Log {
    /// `None`: there is none.
    pub fn open(path: Option<&PathBuf>) -> Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let refuse = |why: &str| {
            Failure::new(Exit::Data, format!("--log {}: {why}", path.join("checkpoint").display()))
        };
        let folder = Folder::new(path);
        let note = folder.read_file("checkpoint").map_err(|error| refuse(&error.to_string()))?;
        let Some(note) = note else {
            return Err(refuse(
                "there is no checkpoint; name the directory of a published log, or publish one with \
                 `assent audit publish --once`",
            ));
        };
        let checkpoint = parse(&note).ok_or_else(|| refuse("this is not a checkpoint"))?;
        Ok(Some(Self { folder, note, checkpoint }))
    }

    /// Fails (1) where a batch is not published, or the log is not what its checkpoint says.
    pub fn locate(self, chains: &[Chain]) -> Result<Located> {
        let mut wanted: BTreeMap<String, BTreeMap<i64, Option<u64>>> = BTreeMap::new();
        for chain in chains {
            let of_it = wanted.entry(chain.name.clone()).or_default();
            of_it.extend(chain.batches.iter().map(|batch| (batch.sequence, None)));
        }
        let mut reader = self.reader()?;
        let bar = progress::bar(reader.bundles(), "bundles of the log");
        for bundle in 0..reader.bundles() {
            bar.inc(1);
            let entries =
                reader.entries(bundle).map_err(|why| damaged(self.folder.path(), &why))?;
            for (at, entry) in (bundle * WIDTH..).zip(entries) {
                let Some(Entry { chain, sequence, .. }) = entry else { continue };
                if let Some(place) = wanted.get_mut(&chain).and_then(|it| it.get_mut(&sequence)) {
                    place.get_or_insert(at);
                }
            }
        }
        bar.finish_and_clear();
        let lacking = wanted.iter().flat_map(|(chain, it)| it.iter().map(move |it| (chain, it)));
        let lacking = lacking.filter(|(_, (_, place))| place.is_none());
        let missing: Vec<(&String, i64)> = lacking.map(|(chain, it)| (chain, *it.0)).collect();
        if let Some((chain, sequence)) = missing.first() {
            return Err(Failure::failed(format!(
                "{} batches are not in the published log (the first: chain {chain}, sequence \
                 {sequence}); publish them with `assent audit publish --once`, or set --to to an earlier \
                 time",
                missing.len()
            )));
        }
        let places = wanted.into_iter().map(|(chain, it)| {
            (chain, it.into_iter().filter_map(|(sequence, at)| Some((sequence, at?))).collect())
        });
        let (places, checkpoint) = (places.collect(), self.checkpoint.clone());
        Ok(Located { log: self, checkpoint, places })
    }

    fn reader(&self) -> Result<LogReader<&Folder>> {
        let Checkpoint { size, root, .. } = &self.checkpoint;
        LogReader::open(&self.folder, *size, root).map_err(|why| damaged(self.folder.path(), &why))
    }
}

impl Located {
    pub fn note(&self) -> &[u8] {
        &self.log.note
    }

    pub fn prover(&self) -> Result<Prover<'_>> {
        Ok(Prover { located: self, reader: RefCell::new(self.log.reader()?) })
    }
}

/// Makes the proofs of one chain after the other.
pub struct Prover<'a> {
    located: &'a Located,
    reader: RefCell<LogReader<&'a Folder>>,
}

impl Prover<'_> {
    /// The line of a batch; `None`: the log has another batch of this sequence.
    pub fn line(&self, entry: &Entry) -> Result<Option<String>> {
        let folder = self.located.log.folder.path();
        let places = self.located.places.get(&entry.chain);
        let place = places.and_then(|it| it.get(&entry.sequence)).copied();
        let Some(place) = place else {
            return Err(Failure::failed("a batch was not located in the log")); // never: all were
        };
        let mut reader = self.reader.borrow_mut();
        let entries = reader.entries(place / WIDTH).map_err(|why| damaged(folder, &why))?;
        let published = entries.into_iter().nth((place % WIDTH) as usize).flatten();
        if published.as_ref() != Some(entry) {
            return Ok(None);
        }
        let size = self.located.checkpoint.size;
        let proof =
            prove_inclusion(&mut *reader, place, size).map_err(|why| damaged(folder, &why))?;
        Ok(Some(Proof::new(place, entry, &proof).to_line()))
    }
}

/// The text of a note is what stands before its first empty line.
fn parse(note: &[u8]) -> Option<Checkpoint> {
    if note.len() > NOTE_BYTES_MAX {
        return None;
    }
    let (text, _) = std::str::from_utf8(note).ok()?.split_once("\n\n")?;
    Checkpoint::parse(&format!("{text}\n"))
}

fn damaged(folder: &Path, why: &Unread<std::io::Error>) -> Failure {
    Failure::failed(format!("--log {}: {why}", folder.display()))
}
