//! The batches of one chain in an export, each with its proof.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use assent_evidence::checkpoint::Checkpoint;
use assent_evidence::entry::Entry;
use assent_evidence::export::container::Blocks;
use assent_evidence::export::manifest;
use assent_evidence::export::proofs::{LINE_BYTES_MAX, Proof};

use super::super::log::{Published, PublishedLog};
use super::super::result::{Outcome, Place};
use super::seen::Seen;
use crate::failure::{Failure, Result};
use assent_contract::domain::audit::Outline;
use assent_contract::domain::audit::chain::body_hash;
use assent_contract::domain::audit::verify::{ChainVerifier, Fault, FaultKind, Link};
use assent_contract::wire::SchemaName;

/// Returns the sequences that were there. A file that is missing was noted with the manifest's others.
pub fn check(
    folder: &Path,
    chain: &manifest::Chain,
    checkpoint: Option<&Checkpoint>,
    log: Option<&PublishedLog>,
    outcome: &mut Outcome,
) -> Result<Seen> {
    let Some(file) = open(&folder.join(&chain.batches))? else { return Ok(Seen::default()) };
    let proofs = match (&chain.proofs, checkpoint) {
        (Some(path), Some(checkpoint)) => {
            open(&folder.join(path))?.map(|file| Proofs { file, checkpoint, next: None })
        }
        _ => None,
    };
    let mut check = Check {
        chain,
        verifier: ChainVerifier::default(),
        seen: Seen::default(),
        entries: 0,
        block: 0,
        proofs,
        published: log.map(|log| log.published(&chain.chain)).transpose()?,
        next: None,
    };
    let read = check.read(file, outcome)?;
    if let Err(why) = read {
        let next = check.verifier.last_sequence().map_or(0, |last| last + 1);
        let detail = format!("{}: {why}; nothing after it can be read", chain.batches);
        outcome.fault(
            &chain.chain,
            next,
            FaultKind::Altered,
            Place { offset: None, detail: &detail },
        );
    }
    Ok(check.finish(outcome))
}

fn open(path: &Path) -> Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::with_capacity(1 << 18, file))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::failed(format!("--export {}: {error}", path.display()))),
    }
}

struct Check<'a> {
    chain: &'a manifest::Chain,
    verifier: ChainVerifier,
    seen: Seen,
    entries: u64,
    /// The number of the block, from 0.
    block: i64,
    /// `None`: there is nothing that proves a batch.
    proofs: Option<Proofs<'a>>,
    published: Option<Published<'a>>,
    /// Of what was published, read and not held against anything yet.
    next: Option<Entry>,
}

impl Check<'_> {
    /// The inner error: from where on the file is no such file.
    fn read(
        &mut self,
        file: BufReader<File>,
        outcome: &mut Outcome,
    ) -> Result<std::result::Result<(), String>> {
        let mut blocks = match Blocks::open(file) {
            Ok(blocks) => blocks,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if blocks.schema != SchemaName::AuditBatch.json().as_bytes() {
            let note = "its batches have another schema than this version writes";
            outcome.notes.push(format!("{}: {note}", self.chain.batches));
        }
        loop {
            match blocks.next_body() {
                Ok(Some(body)) => self.take(&body, outcome)?,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(format!("byte {}: {error}", blocks.at))),
            }
            self.block += 1;
        }
    }

    fn take(&mut self, body: &[u8], outcome: &mut Outcome) -> Result<()> {
        let (hash, offset) = (body_hash(body), self.block);
        outcome.batches += 1;
        let outline = Outline::read(body).ok().filter(|it| it.chain == self.chain.chain);
        let Some(outline) = outline else {
            // Something stands where the next one should: so that one is not missing, but altered.
            let sequence = self.verifier.last_sequence().map_or(self.first(), |last| last + 1);
            self.seen.insert(sequence);
            self.verifier.push_unreadable(hash, offset);
            let detail = format!("block {offset} is no audit batch of this chain");
            self.fault(sequence, FaultKind::Altered, &detail, outcome);
            return Ok(());
        };
        let Outline { sequence, previous, entries, decided_at, .. } = outline;
        self.entries += entries;
        self.seen.insert(sequence);
        let continues = self.verifier.push(Link { sequence, previous, hash, offset });
        if !continues {
            return Ok(());
        }
        let chain = self.chain.chain.clone();
        let entry = Entry { chain, sequence, sha256: hash, decided_at: decided_at.0 };
        if let Some(proofs) = &mut self.proofs {
            let proved = proofs.of(sequence);
            let proved = proved.map_err(|error| Failure::failed(format!("--export: {error}")))?;
            if let Some((kind, why)) = wrong(proved, &entry) {
                self.fault(sequence, kind, &format!("block {offset}: {why}"), outcome);
            }
        }
        self.hold(&entry, outcome)
    }

    /// Against the log that was named.
    fn hold(&mut self, entry: &Entry, outcome: &mut Outcome) -> Result<()> {
        let Some(published) = &mut self.published else { return Ok(()) };
        while self.next.as_ref().is_none_or(|next| next.sequence < entry.sequence) {
            self.next = published.next_entry()?;
            if self.next.is_none() {
                return Ok(()); // it is not published yet
            }
        }
        if self.next.as_ref().is_some_and(|next| next.sequence == entry.sequence && next != entry) {
            let detail = format!("block {}: it is not what was published", self.block);
            self.fault(entry.sequence, FaultKind::Altered, &detail, outcome);
        }
        Ok(())
    }

    /// Where the chain begins in the export.
    fn first(&self) -> i64 {
        self.chain.runs.first().map_or(0, |(first, _)| *first)
    }

    fn fault(&self, sequence: i64, kind: FaultKind, detail: &str, outcome: &mut Outcome) {
        outcome.fault(&self.chain.chain, sequence, kind, Place { offset: None, detail });
    }

    fn finish(self, outcome: &mut Outcome) -> Seen {
        let Self { chain, verifier, seen, entries, .. } = self;
        let ends = verifier.first_sequence().zip(verifier.last_sequence()).zip(verifier.head());
        if let Some((sequences, head)) = ends {
            outcome.chain(&chain.chain, sequences, entries, &head);
        }
        let (faults, left_off) = verifier.finish_counting();
        outcome.leave_off(left_off);
        for Fault { sequence, kind, offset } in faults {
            let block = offset.map(|block| format!("block {block}: ")).unwrap_or_default();
            let why = match kind {
                // Between the runs of the manifest there is nothing; within them, `seen` knows.
                FaultKind::Missing => continue,
                FaultKind::Altered => "it does not have the hash that the next batch names",
                FaultKind::Reordered => "it stands behind a later batch",
                FaultKind::Forked => "it is a second batch of this sequence",
            };
            let detail = format!("{block}{why}");
            outcome.fault(&chain.chain, sequence, kind, Place { offset: None, detail: &detail });
        }
        seen
    }
}

/// What is wrong with a batch's proof.
fn wrong(proved: Proved, entry: &Entry) -> Option<(FaultKind, &'static str)> {
    match proved {
        Proved::Entry(published) if published == *entry => None,
        Proved::Entry(_) => Some((FaultKind::Altered, "it is not what was published")),
        Proved::Nothing => {
            Some((FaultKind::Altered, "its proof does not lead to the root of the checkpoint"))
        }
        Proved::Absent => Some((FaultKind::Missing, "there is no proof that it was published")),
    }
}

/// What the line of a batch proves.
enum Proved {
    Entry(Entry),
    Nothing,
    /// There is no line.
    Absent,
}

/// The lines of a chain's proofs, in the order of its batches.
struct Proofs<'a> {
    file: BufReader<File>,
    checkpoint: &'a Checkpoint,
    next: Option<Proof>,
}

impl Proofs<'_> {
    fn of(&mut self, sequence: i64) -> std::io::Result<Proved> {
        loop {
            if self.next.is_none() {
                let mut line = Vec::new();
                let mut bounded = (&mut self.file).take(LINE_BYTES_MAX as u64);
                bounded.read_until(b'\n', &mut line)?;
                if line.is_empty() {
                    return Ok(Proved::Absent);
                }
                let Some(proof) = Proof::parse(&line) else { return Ok(Proved::Nothing) };
                self.next = Some(proof);
            }
            match self.next.take_if(|proof| proof.sequence <= sequence) {
                Some(proof) if proof.sequence == sequence => {
                    let entry = proof.entry_of(self.checkpoint);
                    return Ok(entry.map_or(Proved::Nothing, Proved::Entry));
                }
                Some(_) => {}
                None => return Ok(Proved::Absent),
            }
        }
    }
}
