//! For tests: trees and a folder in memory.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::hash::{Hash, empty_root, leaf_hash, root_over};
use crate::proof::Tiles;
use crate::reader::Files;
use crate::tile::{HEIGHT, Tile, WIDTH};

/// The leaves of a tree and of all trees that it extends.
pub struct Forest(Vec<Hash>);

impl Forest {
    pub fn of(size: u64) -> Self {
        Self((0..size).map(|number| leaf_hash(&number.to_be_bytes())).collect())
    }

    pub fn leaf(&self, index: u64) -> Hash {
        self.0[index as usize]
    }

    pub fn root(&self, size: u64) -> Hash {
        root_over(&self.0[..size as usize], None).unwrap_or_else(empty_root)
    }

    pub fn tiles(&self, size: u64) -> ForestTiles<'_> {
        ForestTiles(&self.0[..size as usize])
    }
}

pub struct ForestTiles<'a>(&'a [Hash]);

impl Tiles for ForestTiles<'_> {
    type Error = std::convert::Infallible;

    fn tile(&mut self, level: u8, index: u64) -> Result<Rc<[Hash]>, Self::Error> {
        let tile = Tile::of(level, index, self.0.len() as u64).expect("the tree has it");
        let span = 1_usize << (HEIGHT * u32::from(level));
        let first = (index * WIDTH) as usize * span;
        let hashes = self.0[first..].chunks(span).take(usize::from(tile.width));
        Ok(hashes.map(|below| root_over(below, None).unwrap()).collect())
    }
}

/// Files by their path.
#[derive(Clone, Default)]
pub struct Folder(pub BTreeMap<String, Vec<u8>>);

impl Files for &Folder {
    type Error = std::convert::Infallible;

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.0.get(path).cloned())
    }
}
