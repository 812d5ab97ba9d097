//! What may be signed next: the batches of the audit topic in, files and a tree head out, or a refusal.
//!
//! Whoever drives it writes the files that [`Publisher::seal`] gives, makes sure that they hold
//! ([`crate::reader::extends`]), signs, puts the checkpoint in its place, and confirms. A crash before that leaves the
//! last checkpoint, and files that it does not cover: those are written anew, with what they then are.
//!
//! Keeps INV-9 for the log: each chain goes on from its last published batch without a gap, and what was
//! published is never published otherwise.

use std::collections::BTreeMap;
use std::fmt;

use crate::bundle;
use crate::edge::{Edge, full_tiles};
use crate::entry::{Entry, is_chain};
use crate::hash::{Hash, leaf_hash};
use crate::reader::{Files, LogReader, Unread};
use crate::tile::{self, HEIGHT, Tile, WIDTH};

/// What the first batch of a chain names as its predecessor.
pub const GENESIS: Hash = [0; 32];

/// An audit batch, as far as the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    pub chain: &'a str,
    pub sequence: i64,
    /// The hash that it names as its predecessor's.
    pub previous: Hash,
    /// Of its own body.
    pub sha256: Hash,
    pub decided_at: i64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in the next tree.
    Appended,
    /// It was published before.
    Known,
}

/// Where a chain is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub sequence: i64,
    pub sha256: Hash,
    pub decided_at: i64,
    /// The topic was read up to it: what comes next has to go on from it.
    is_met: bool,
}

/// Why nothing may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The chain does not go on from its last published batch: the next ones are not there.
    Gap { chain: String, expected: i64, found: i64 },
    /// What was published under this sequence has another hash.
    Altered { chain: String, sequence: i64 },
    /// It names another predecessor than the one that was published.
    Unlinked { chain: String, sequence: i64 },
    /// A second batch of a sequence, or one that lies behind later ones.
    Again { chain: String, sequence: i64 },
    /// No chain may be named so, and no entry may be that long.
    Name,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { chain, expected, found } => write!(
                f,
                "chain {chain}: the log has it up to sequence {}, and the topic goes on with {found}; \
                 sequence {expected} is missing",
                expected - 1
            ),
            Self::Altered { chain, sequence } => {
                write!(f, "chain {chain}: sequence {sequence} has another hash in the log")
            }
            Self::Unlinked { chain, sequence } => write!(
                f,
                "chain {chain}: sequence {sequence} does not follow the batch that was published \
                 before it"
            ),
            Self::Again { chain, sequence } => write!(
                f,
                "chain {chain}: the topic has sequence {sequence} a second time, or behind later ones"
            ),
            Self::Name => f.write_str("a batch names a chain that no entry can hold"),
        }
    }
}

/// A file of the log, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub bytes: Vec<u8>,
}

/// A tree that may be signed once these files hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub size: u64,
    pub root: Hash,
}

/// The log's state between two checkpoints.
pub struct Publisher {
    signed: Sealed,
    edge: Edge,
    /// Entries of the last bundle that is not full.
    bundle: Vec<u8>,
    heads: BTreeMap<String, Head>,
    /// Tiles and bundles that were filled and not handed over yet.
    files: Vec<File>,
    /// Folders of partial tiles that are full in the tree that is signed next.
    outgrown: Vec<String>,
    /// The same of the tree that is signed: readers of the one before may be at them.
    outgrown_before: Vec<String>,
}

impl Publisher {
    /// Of a log without entries.
    pub fn new() -> Self {
        let edge = Edge::default();
        Self {
            signed: Sealed { size: 0, root: edge.root() },
            edge,
            bundle: Vec::new(),
            heads: BTreeMap::new(),
            files: Vec::new(),
            outgrown: Vec::new(),
            outgrown_before: Vec::new(),
        }
    }

    /// Goes on with a log. Reads its entries from the last one backward, until it has met these chains
    /// or has read them all: they alone say where a chain is. `progress` gets each bundle.
    pub fn resume<F: Files>(
        reader: &mut LogReader<F>,
        chains: &[String],
        mut progress: impl FnMut(),
    ) -> Result<Self, Unread<F::Error>> {
        let edge = reader.edge().clone();
        let mut publisher =
            Self { signed: Sealed { size: edge.size(), root: edge.root() }, edge, ..Self::new() };
        let mut left: usize = chains.len();
        for index in (0..reader.bundles()).rev() {
            let lines = reader.bundle(index)?;
            if (lines.len() as u64) < WIDTH {
                for line in &lines {
                    let _ = bundle::put(&mut publisher.bundle, line);
                }
            }
            for entry in lines.iter().rev().filter_map(|line| Entry::parse(line)) {
                let is_new = !publisher.heads.contains_key(&entry.chain);
                if is_new && chains.contains(&entry.chain) {
                    let Entry { chain, sequence, sha256, decided_at } = entry;
                    let head = Head { sequence, sha256, decided_at, is_met: false };
                    publisher.heads.insert(chain, head);
                    left -= 1;
                }
            }
            progress();
            if left == 0 {
                break;
            }
        }
        Ok(publisher)
    }

    /// Where a chain is; `None`: nothing of it was published.
    pub fn head(&self, chain: &str) -> Option<Head> {
        self.heads.get(chain).copied()
    }

    /// Entries that were taken and are in no signed tree.
    pub fn pending(&self) -> u64 {
        self.edge.size() - self.signed.size
    }

    /// The last tree that was signed.
    pub fn signed(&self) -> &Sealed {
        &self.signed
    }

    /// The next batch of a chain, as it lies in the topic. After a refusal nothing may be signed.
    pub fn take(&mut self, batch: &Batch<'_>) -> Result<Taken, Refusal> {
        if self.follow(batch)? == Taken::Known {
            return Ok(Taken::Known);
        }
        let Batch { sequence, sha256, decided_at, .. } = *batch;
        let chain = batch.chain.to_owned();
        let line = Entry { chain, sequence, sha256, decided_at }.to_string();
        self.append(line.as_bytes())?;
        Ok(Taken::Appended)
    }

    fn follow(&mut self, batch: &Batch<'_>) -> Result<Taken, Refusal> {
        let Batch { sequence, sha256, decided_at, .. } = *batch;
        if !is_chain(batch.chain) || sequence < 0 {
            return Err(Refusal::Name);
        }
        let chain = || batch.chain.to_owned();
        if let Some(head) = self.heads.get_mut(batch.chain) {
            let next = head.sequence + 1;
            if sequence > next {
                return Err(Refusal::Gap { chain: chain(), expected: next, found: sequence });
            }
            if sequence == next && batch.previous != head.sha256 {
                return Err(Refusal::Unlinked { chain: chain(), sequence });
            }
            if sequence < next {
                if head.is_met {
                    return Err(Refusal::Again { chain: chain(), sequence });
                }
                head.is_met = sequence == head.sequence;
                return if head.is_met && sha256 != head.sha256 {
                    Err(Refusal::Altered { chain: chain(), sequence })
                } else {
                    Ok(Taken::Known)
                };
            }
        } else if sequence == 0 && batch.previous != GENESIS {
            return Err(Refusal::Unlinked { chain: chain(), sequence });
        }
        let head = Head { sequence, sha256, decided_at, is_met: true };
        self.heads.insert(chain(), head);
        Ok(Taken::Appended)
    }

    fn append(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if !bundle::put(&mut self.bundle, line) {
            return Err(Refusal::Name);
        }
        let Self { edge, files, outgrown, .. } = self;
        edge.append(leaf_hash(line), |tile, hashes| {
            files.push(File { path: tile.path(), bytes: tile::to_bytes(hashes) });
            outgrown.push(format!("{}.p", tile.path()));
        });
        if self.edge.size().is_multiple_of(WIDTH) {
            let index = full_tiles(self.edge.size(), 0) - 1;
            let path = Tile { level: 0, index, width: WIDTH as u16 }.entries_path();
            self.outgrown.push(format!("{path}.p"));
            self.files.push(File { path, bytes: std::mem::take(&mut self.bundle) });
        }
        Ok(())
    }

    /// The tree over all that was taken, and the files that it needs besides those of the signed one;
    /// `None`: nothing was taken.
    pub fn seal(&mut self) -> Option<(Vec<File>, Sealed)> {
        if self.pending() == 0 {
            return None;
        }
        let mut files = std::mem::take(&mut self.files);
        let (old, new) = (self.signed.size, self.edge.size());
        let grew = |tile: &Tile| {
            let hashes = |size: u64| size >> (HEIGHT * u32::from(tile.level));
            hashes(old) != hashes(new)
        };
        for (tile, hashes) in self.edge.partials().filter(|(tile, _)| grew(tile)) {
            files.push(File { path: tile.path(), bytes: tile::to_bytes(hashes) });
            if tile.level == 0 {
                files.push(File { path: tile.entries_path(), bytes: self.bundle.clone() });
            }
        }
        Some((files, Sealed { size: new, root: self.edge.root() }))
    }

    /// The tree that [`Self::seal`] gave is signed and in its place. Returns folders of partial tiles that
    /// nobody needs any more: they were full in the tree signed before.
    pub fn confirm(&mut self, sealed: Sealed) -> Vec<String> {
        self.signed = sealed;
        let outgrown = std::mem::take(&mut self.outgrown);
        std::mem::replace(&mut self.outgrown_before, outgrown)
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
pub mod tests;
