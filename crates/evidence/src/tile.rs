//! Where the tree lies: tiles of 256 hashes, and bundles of the entries below them (C2SP tlog-tiles).
//!
//! ```text
//! tile/<L>/<N>          256 hashes of level 8L of the tree, from number 256 N on: 8,192 bytes, for ever the same
//! tile/<L>/<N>.p/<W>    the first W of them, of a tree that ends there
//! tile/entries/<N>      the 256 entries below tile/0/<N>; likewise .p/<W>
//! ```
//!
//! `<N>` in groups of three digits, each but the last with an `x` before it: 1234067 is `x001/x234/067`.

use crate::hash::Hash;

/// Hashes of a full tile.
pub const WIDTH: u64 = 256;

/// Levels of the tree that one tile spans.
pub const HEIGHT: u32 = 8;

/// A tree of 2^64 entries has no more.
pub const LEVELS_MAX: usize = 8;

/// A tile, or where `level` does not matter, the bundle of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    pub level: u8,
    pub index: u64,
    /// 1 to [`WIDTH`].
    pub width: u16,
}

impl Tile {
    /// The tile of this number in a tree of this size; `None`: it has none.
    pub fn of(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0);
        let width = hashes.saturating_sub(index.checked_mul(WIDTH)?).min(WIDTH);
        (width > 0).then_some(Self { level, index, width: width as u16 })
    }

    pub fn is_full(self) -> bool {
        u64::from(self.width) == WIDTH
    }

    pub fn path(self) -> String {
        format!("tile/{}/{}", self.level, self.numbered())
    }

    /// Of the entries below a tile of level 0.
    pub fn entries_path(self) -> String {
        format!("tile/entries/{}", self.numbered())
    }

    /// The same tile, full.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: WIDTH as u16, ..self }
    }

    fn numbered(self) -> String {
        let mut text = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            text = format!("x{:03}/{text}", rest % 1000);
            rest /= 1000;
        }
        if !self.is_full() {
            text = format!("{text}.p/{}", self.width);
        }
        text
    }
}

/// The bytes of a tile's file.
pub fn to_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// The hashes of a tile's file; `None`: it is not this many.
pub fn from_bytes(bytes: &[u8], width: u16) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && hashes.len() == usize::from(width)).then(|| hashes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let path = |level, index, width| Tile { level, index, width }.path();
        assert_eq!(path(0, 0, 256), "tile/0/000");
        assert_eq!(path(3, 1_234_067, 256), "tile/3/x001/x234/067");
        assert_eq!(path(0, 1000, 1), "tile/0/x001/000.p/1");
        let bundle = Tile { level: 0, index: 273, width: 112 };
        assert_eq!(bundle.entries_path(), "tile/entries/273.p/112");
    }

    #[test]
    fn a_tree_has_the_tiles_that_the_specification_lists_for_it() {
        // Its example: a tree of 70,000 entries.
        let widths = |level| -> Vec<u16> {
            (0..).map_while(|index| Tile::of(level, index, 70_000)).map(|it| it.width).collect()
        };
        assert_eq!((widths(0).len(), widths(0).last()), (274, Some(&112)));
        assert_eq!(widths(1), [256, 17]);
        assert_eq!(widths(2), [1]);
        assert_eq!(widths(3), [] as [u16; 0]);
        assert_eq!(Tile::of(255, 0, u64::MAX), None);
        assert_eq!(Tile::of(0, u64::MAX, u64::MAX), None);
    }

    #[test]
    fn a_tile_of_another_width_is_none() {
        assert_eq!(from_bytes(&[7; 64], 2), Some(vec![[7; 32]; 2]));
        for wrong in [0, 32, 63, 65, 96] {
            assert_eq!(from_bytes(&vec![7; wrong], 2), None, "{wrong}");
        }
    }
}
