//! Proofs for whoever has only two checkpoints, or one and an entry (RFC 6962 (2.1); checked as RFC
//! 9162 (2.1) says).
//!
//! An inclusion proof shows that an entry is in a tree, a consistency proof that a later tree holds an
//! earlier one unchanged. 70,000 entries take at most 17 hashes.

use crate::hash::{Hash, node_hash, root_over};
use crate::tile::{HEIGHT, WIDTH};

/// Who has the tiles of a tree.
pub trait Tiles {
    type Error;

    /// All hashes of a tile, as far as the tree has them.
    fn tile(&mut self, level: u8, index: u64) -> Result<std::rc::Rc<[Hash]>, Self::Error>;
}

/// That entry number `index` is in a tree of this size. `index` is below `size`.
pub fn prove_inclusion<T: Tiles>(
    tiles: &mut T,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, T::Error> {
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let split = low + split_of(high - low);
        let other = if index < split { (split, high) } else { (low, split) };
        path.push(range_root(tiles, other.0, other.1)?);
        if index < split { high = split } else { low = split }
    }
    path.reverse();
    Ok(path)
}

/// That a tree of `new` entries holds the one of the first `old` of them. `old` is at most `new`.
pub fn prove_consistency<T: Tiles>(
    tiles: &mut T,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, T::Error> {
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    let (mut low, mut high) = (0, new);
    while old < high {
        let split = low + split_of(high - low);
        let other = if old <= split { (split, high) } else { (low, split) };
        proof.push(range_root(tiles, other.0, other.1)?);
        if old <= split { high = split } else { low = split }
    }
    if low > 0 {
        // The old tree's last subtree; where it is all of the old tree, its root is known.
        proof.push(range_root(tiles, low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// RFC 9162 (2.1.3.2).
pub fn is_included(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for step in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(step, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, step);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Does the tree of `new` entries hold that of `old` unchanged? RFC 9162 (2.1.4.2). Every tree
/// holds the empty one.
pub fn is_consistent(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> bool {
    let ((old, old_root), (new, new_root)) = (old, new);
    if old == 0 || old >= new {
        let holds = old == 0 || (old == new && old_root == new_root);
        return holds && proof.is_empty();
    }
    let known = old.is_power_of_two().then_some(old_root);
    let mut steps = known.into_iter().chain(proof);
    let Some(first) = steps.next() else { return false };
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (mut of_old, mut of_new) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            of_old = node_hash(step, &of_old);
            of_new = node_hash(step, &of_new);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            of_new = node_hash(&of_new, step);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}

/// The root over the entries from `low` to `high`, a range that the tree's shape has.
fn range_root<T: Tiles>(tiles: &mut T, low: u64, high: u64) -> Result<Hash, T::Error> {
    if (high - low).is_power_of_two() {
        return perfect_root(tiles, low, (high - low).ilog2());
    }
    let split = low + split_of(high - low);
    let (left, right) = (range_root(tiles, low, split)?, range_root(tiles, split, high)?);
    Ok(node_hash(&left, &right))
}

/// Of the 2^`height` entries from `low` on: from the hashes of one tile.
fn perfect_root<T: Tiles>(tiles: &mut T, low: u64, height: u32) -> Result<Hash, T::Error> {
    let level = height / HEIGHT;
    let first = low >> (level * HEIGHT);
    let hashes = tiles.tile(level as u8, first / WIDTH)?;
    let at = (first % WIDTH) as usize;
    let within = &hashes[at..at + (1 << (height % HEIGHT))];
    Ok(root_over(within, None).unwrap_or_default())
}

/// The largest power of two below this size, which is at least 2.
fn split_of(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::memory::Forest;

    #[test]
    fn every_entry_and_every_earlier_tree_is_proved_and_no_other() {
        let forest = Forest::of(70);
        for size in 1..=70 {
            let (mut tiles, root) = (forest.tiles(size), forest.root(size));
            for index in 0..size {
                let proof = prove_inclusion(&mut tiles, index, size).unwrap();
                let leaf = forest.leaf(index);
                assert!(is_included(&leaf, index, size, &proof, &root), "{index} {size}");
                assert!(!is_included(&leaf, index + 1, size, &proof, &root) || size == 1);
                assert!(!is_included(&[9; 32], index, size, &proof, &root));
                assert!(!is_included(&leaf, index, size, &proof, &[9; 32]));
            }
            for old in 0..=size {
                let old_root = forest.root(old);
                let proof = prove_consistency(&mut tiles, old, size).unwrap();
                assert!(is_consistent((old, &old_root), (size, &root), &proof), "{old} {size}");
                if old > 0 {
                    assert!(!is_consistent((old, &[9; 32]), (size, &root), &proof));
                    assert!(!is_consistent((old, &old_root), (size, &[9; 32]), &proof));
                }
                let longer = [proof.as_slice(), &[[0; 32]]].concat();
                assert!(!is_consistent((old, &old_root), (size, &root), &longer));
            }
            assert!(!is_consistent((size + 1, &root), (size, &root), &[]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn proofs_reach_over_tiles(size in 200_u64..1500, at in 0_u64..1500, bit in 0_usize..256) {
            let forest = Forest::of(size);
            let (mut tiles, root) = (forest.tiles(size), forest.root(size));
            let at = at % size;
            let mut proof = prove_inclusion(&mut tiles, at, size).unwrap();
            prop_assert!(is_included(&forest.leaf(at), at, size, &proof, &root));
            let step = bit % proof.len();
            proof[step][bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!is_included(&forest.leaf(at), at, size, &proof, &root));
            let old = forest.root(at);
            let mut proof = prove_consistency(&mut tiles, at, size).unwrap();
            prop_assert!(is_consistent((at, &old), (size, &root), &proof));
            if !proof.is_empty() {
                let step = bit % proof.len();
                proof[step][bit / 8] ^= 1 << (bit % 8);
                prop_assert!(!is_consistent((at, &old), (size, &root), &proof));
            }
        }
    }
}
