//! Reads a log from its files, and believes nothing that its checkpoint does not sign.
//!
//! Every tile that is read is held against its parent, up to the right edge, and the right edge against
//! the root. Keeps one tile a level, so reading entries in order hashes each tile once.

use std::fmt;
use std::rc::Rc;

use crate::bundle;
use crate::edge::{Edge, full_tiles, level_count, width_at};
use crate::entry::Entry;
use crate::hash::{Hash, leaf_hash, root_over};
use crate::proof::{Tiles, is_consistent, prove_consistency};
use crate::tile::{self, Tile, WIDTH};

/// Where the files of a log are.
pub trait Files {
    type Error;

    /// A file's bytes by its path below the log's folder; `None`: there is no such file.
    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// Why something of a log can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread<E> {
    Missing(String),
    /// This file is not what the checkpoint signs.
    Altered(String),
    /// The tiles of the right edge don't have the root that the checkpoint signs.
    OtherRoot,
    Files(E),
}

impl<E: fmt::Display> fmt::Display for Unread<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{path} is missing"),
            Self::Altered(path) => write!(f, "{path} is not what the checkpoint signs"),
            Self::OtherRoot => {
                f.write_str("the last tile of some level is not what the checkpoint signs")
            }
            Self::Files(error) => error.fmt(f),
        }
    }
}

/// A log of a known size and root.
pub struct LogReader<F> {
    files: F,
    edge: Edge,
    /// The full tile that was read last, of each level.
    verified: Vec<Option<(u64, Rc<[Hash]>)>>,
}

impl<F: Files> LogReader<F> {
    /// `root`: of the first `size` entries, as a checkpoint that is believed signs it.
    pub fn open(mut files: F, size: u64, root: &Hash) -> Result<Self, Unread<F::Error>> {
        let mut levels = Vec::new();
        for level in 0..level_count(size) {
            let index = full_tiles(size, level);
            levels.push(match width_at(size, level) {
                0 => Vec::new(),
                width => {
                    read_tile(&mut files, Tile { level: level as u8, index, width: width as u16 })?
                }
            });
        }
        let edge = Edge::new(size, levels).filter(|edge| edge.root() == *root);
        let edge = edge.ok_or(Unread::OtherRoot)?;
        Ok(Self { files, edge, verified: vec![None; level_count(size)] })
    }

    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// How many bundles of entries it has.
    pub fn bundles(&self) -> u64 {
        self.size().div_ceil(WIDTH)
    }

    /// The entries of a bundle, whose number is below [`Self::bundles`].
    pub fn bundle(&mut self, index: u64) -> Result<Vec<Vec<u8>>, Unread<F::Error>> {
        let hashes = self.tile(0, index)?;
        let part = Tile { level: 0, index, width: hashes.len() as u16 };
        let (path, bytes) = read_either(&mut self.files, [part, part.full()], Tile::entries_path)?;
        let of_path = if path == part.entries_path() { part } else { part.full() };
        let entries = bundle::entries(&bytes, of_path.width);
        let entries = entries.ok_or_else(|| Unread::Altered(path.clone()))?;
        let taken = &entries[..hashes.len()];
        if taken.iter().zip(&*hashes).any(|(entry, hash)| leaf_hash(entry) != *hash) {
            return Err(Unread::Altered(path));
        }
        Ok(taken.iter().map(|entry| entry.to_vec()).collect())
    }

    /// The same as audit batches; what else somebody signed is no entry of ours.
    pub fn entries(&mut self, index: u64) -> Result<Vec<Option<Entry>>, Unread<F::Error>> {
        let bundle = self.bundle(index)?;
        Ok(bundle.iter().map(|line| Entry::parse(line)).collect())
    }

    /// Reads a full tile and holds it against the one above.
    fn full_tile(&mut self, level: u8, index: u64) -> Result<Rc<[Hash]>, Unread<F::Error>> {
        let kept = self.verified.get(usize::from(level)).and_then(Option::as_ref);
        if let Some((at, hashes)) = kept
            && *at == index
        {
            return Ok(Rc::clone(hashes));
        }
        let tile = Tile { level, index, width: WIDTH as u16 };
        let hashes: Rc<[Hash]> = read_tile(&mut self.files, tile)?.into();
        let above = self.tile(level + 1, index / WIDTH)?;
        if root_over(&hashes, None).as_ref() != above.get((index % WIDTH) as usize) {
            return Err(Unread::Altered(tile.path()));
        }
        if let Some(kept) = self.verified.get_mut(usize::from(level)) {
            *kept = Some((index, Rc::clone(&hashes)));
        }
        Ok(hashes)
    }
}

impl<F: Files> Tiles for LogReader<F> {
    type Error = Unread<F::Error>;

    fn tile(&mut self, level: u8, index: u64) -> Result<Rc<[Hash]>, Unread<F::Error>> {
        let full = full_tiles(self.size(), usize::from(level));
        if index < full {
            return self.full_tile(level, index);
        }
        // What lies beyond the tree is empty.
        let edge = if index == full { self.edge.partial(usize::from(level)) } else { &[] };
        Ok(edge.into())
    }
}

/// Do the files of a log hold this tree, and does it extend that one? Reads some ten tiles.
pub fn extends<F: Files>(
    files: F,
    old: (u64, &Hash),
    new: (u64, &Hash),
) -> Result<bool, Unread<F::Error>> {
    let mut reader = LogReader::open(files, new.0, new.1)?;
    if old.0 > new.0 {
        return Ok(false);
    }
    let proof = prove_consistency(&mut reader, old.0, new.0)?;
    Ok(is_consistent(old, new, &proof))
}

/// A partial tile may have been removed once it was full.
fn read_tile<F: Files>(files: &mut F, tile: Tile) -> Result<Vec<Hash>, Unread<F::Error>> {
    let (path, bytes) = read_either(files, [tile, tile.full()], Tile::path)?;
    let width = if path == tile.path() { tile.width } else { WIDTH as u16 };
    let mut hashes = tile::from_bytes(&bytes, width).ok_or(Unread::Altered(path))?;
    hashes.truncate(usize::from(tile.width));
    Ok(hashes)
}

fn read_either<F: Files>(
    files: &mut F,
    tiles: [Tile; 2],
    path: impl Fn(Tile) -> String,
) -> Result<(String, Vec<u8>), Unread<F::Error>> {
    for tile in tiles {
        let path = path(tile);
        if let Some(bytes) = files.read(&path).map_err(Unread::Files)? {
            return Ok((path, bytes));
        }
    }
    Err(Unread::Missing(path(tiles[0])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::empty_root;
    use crate::memory::Folder;
    use crate::publisher::tests::published;

    #[test]
    fn all_entries_are_read_back() {
        for size in [0, 1, 255, 256, 257, 70_000] {
            let (folder, root) = published(size);
            let mut reader = LogReader::open(&folder, size, &root).unwrap();
            let mut read = 0;
            for index in 0..reader.bundles() {
                for entry in reader.entries(index).unwrap() {
                    assert_eq!(entry.unwrap().sequence as u64, read);
                    read += 1;
                }
            }
            assert_eq!(read, size);
        }
        assert_eq!(published(0).1, empty_root());
    }

    #[test]
    fn one_bit_anywhere_is_found_and_located() {
        let (folder, root) = published(600);
        for path in folder.0.keys() {
            let mut altered = folder.clone();
            let bytes = altered.0.get_mut(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            let found = read_all(&altered, 600, &root).unwrap_err();
            let is_located = found == Unread::Altered(path.clone());
            let is_edge = path.ends_with(".p/88") || path.contains("tile/1/");
            assert!(is_located || is_edge && found == Unread::OtherRoot, "{path}: {found:?}");
            altered.0.remove(path);
            assert_eq!(read_all(&altered, 600, &root), Err(Unread::Missing(path.clone())));
        }
        assert_eq!(read_all(&folder, 600, &[1; 32]), Err(Unread::OtherRoot));
        assert_eq!(read_all(&folder, 599, &root), Err(Unread::Missing("tile/0/002.p/87".into())));
    }

    type Unread_ = Unread<std::convert::Infallible>;

    fn read_all(folder: &Folder, size: u64, root: &Hash) -> Result<(), Unread_> {
        let mut reader = LogReader::open(folder, size, root)?;
        (0..reader.bundles()).try_for_each(|index| reader.bundle(index).map(drop))
    }

    #[test]
    fn a_full_tile_stands_for_its_part() {
        let (old, root) = published(300);
        let (mut folder, _) = published(70_000);
        let mut reader = LogReader::open(&folder, 300, &root).unwrap();
        assert_eq!(reader.bundle(1).unwrap().len(), 44);
        folder.0.insert("tile/0/001.p/44".to_owned(), old.0["tile/0/001.p/44"].clone());
        assert!(LogReader::open(&folder, 300, &root).is_ok());
    }

    #[test]
    fn a_later_tree_extends_an_earlier_one_and_no_other() {
        let (folder, root) = published(1000);
        for old in [0, 1, 255, 256, 300, 999, 1000] {
            let old_root = published(old).1;
            assert_eq!(extends(&folder, (old, &old_root), (1000, &root)), Ok(true), "{old}");
            if old > 0 {
                assert_eq!(extends(&folder, (old, &[7; 32]), (1000, &root)), Ok(false), "{old}");
            }
        }
        assert_eq!(extends(&folder, (1001, &root), (1000, &root)), Ok(false));
    }
}
