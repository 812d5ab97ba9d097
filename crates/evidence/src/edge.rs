//! The right edge of a growing tree: all that is needed to append an entry and to know the root.
//!
//! Keeps at most 255 hashes a level, whatever the size of the tree.

use crate::hash::{Hash, empty_root, root_over};
use crate::tile::{HEIGHT, LEVELS_MAX, Tile, WIDTH};

/// Of a tree of `size` entries, the hashes of the last tile of each level that is not full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// `levels`: of the last tile of each level, from 0 on; empty where it is full. `None`: a tree of this
    /// size has others.
    pub fn new(size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let fits = |(level, hashes): (usize, &Vec<Hash>)| hashes.len() == width_at(size, level);
        let is_whole = levels.len() == level_count(size) && levels.iter().enumerate().all(fits);
        is_whole.then_some(Self { size, levels })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn root(&self) -> Hash {
        let tail = self.levels.iter().fold(None, |tail, hashes| root_over(hashes, tail));
        tail.unwrap_or_else(empty_root)
    }

    /// Appends an entry by its hash; `filled` gets each tile that this fills, from level 0 upward.
    pub fn append(&mut self, leaf: Hash, mut filled: impl FnMut(Tile, &[Hash])) {
        self.size += 1;
        let mut carried = Some(leaf);
        for level in 0.. {
            let Some(hash) = carried.take() else { return };
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if hashes.len() as u64 == WIDTH {
                let index = full_tiles(self.size, level) - 1;
                filled(Tile { level: level as u8, index, width: WIDTH as u16 }, hashes);
                carried = root_over(hashes, None);
                hashes.clear();
            }
        }
    }

    /// The last tile of each level that has one, and is not full.
    pub fn partials(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        let of_some = self.levels.iter().enumerate().filter(|(_, hashes)| !hashes.is_empty());
        of_some.map(|(level, hashes)| {
            let (index, width) = (full_tiles(self.size, level), hashes.len() as u16);
            (Tile { level: level as u8, index, width }, hashes.as_slice())
        })
    }

    /// Of a level's last tile; empty where that is full.
    pub fn partial(&self, level: usize) -> &[Hash] {
        self.levels.get(level).map_or(&[], Vec::as_slice)
    }
}

/// How many full tiles a tree of this size has at a level.
pub fn full_tiles(size: u64, level: usize) -> u64 {
    size.checked_shr(HEIGHT * (level as u32 + 1)).unwrap_or(0)
}

/// How many levels of tiles a tree of this size has.
pub fn level_count(size: u64) -> usize {
    (0..LEVELS_MAX).take_while(|level| size >> (HEIGHT as usize * level) > 0).count()
}

/// How many hashes the last tile of a level has that is not full.
pub fn width_at(size: u64, level: usize) -> usize {
    ((size >> (HEIGHT as usize * level)) % WIDTH) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    #[test]
    fn the_root_is_that_of_all_leaves_at_every_size() {
        let mut edge = Edge::default();
        let mut leaves = Vec::new();
        let mut filled = Vec::new();
        assert_eq!(edge.root(), empty_root());
        for n in 0..70_000u32 {
            let leaf = leaf_hash(&n.to_be_bytes());
            leaves.push(leaf);
            edge.append(leaf, |tile, hashes| filled.push((tile, hashes.to_vec())));
            if n < 600 || n % 7919 == 0 || n == 65_535 {
                assert_eq!(Some(edge.root()), root_over(&leaves, None), "{n}");
            }
        }
        let of_level = |level| filled.iter().filter(|(tile, _)| tile.level == level).count();
        assert_eq!((of_level(0), of_level(1), of_level(2)), (273, 1, 0));
        for (tile, hashes) in filled.iter().filter(|(tile, _)| tile.level == 0) {
            let first = (tile.index * WIDTH) as usize;
            assert_eq!(hashes, &leaves[first..first + WIDTH as usize]);
        }
        let partials: Vec<Tile> = edge.partials().map(|(tile, _)| tile).collect();
        assert_eq!(
            partials,
            [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
                .map(|(level, index, width)| { Tile { level, index, width } })
        );
        let levels = edge.levels.clone();
        assert_eq!(Edge::new(70_000, levels.clone()), Some(edge));
        assert_eq!(Edge::new(69_999, levels.clone()), None);
        assert_eq!(Edge::new(70_000, levels[..2].to_vec()), None);
    }
}
