//! The hashes of a Merkle tree as RFC 6962 (2.1) has them: SHA-256, with one byte in front that
//! keeps a leaf from being taken for a node.

use sha2::{Digest, Sha256};

/// SHA-256, as bytes.
pub type Hash = [u8; 32];

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// Of a leaf: of an entry's bytes.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([LEAF]).chain_update(entry).finalize().into()
}

/// Of a node, from the hashes of what is below it.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([NODE]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of a tree without entries.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root over neighboring subtrees of one size, `tail` being what stands to their right and is
/// smaller than one of them. `None`: there is nothing.
pub fn root_over(subtrees: &[Hash], tail: Option<Hash>) -> Option<Hash> {
    let split = match (subtrees.len(), tail) {
        (0, _) => return tail,
        (1, None) => return Some(subtrees[0]),
        // The largest power of two that leaves something to its right.
        (count, None) => prev_power_of_two(count - 1),
        (count, Some(_)) => prev_power_of_two(count),
    };
    let left = root_over(&subtrees[..split], None);
    let right = root_over(&subtrees[split..], tail);
    left.zip(right).map(|(left, right)| node_hash(&left, &right))
}

/// The largest power of two that is at most this; `number` is at least 1.
fn prev_power_of_two(number: usize) -> usize {
    1 << number.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::hex;

    /// The entries and roots of Certificate Transparency's own tests (`merkle_tree_test.cc`).
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\0",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let leaves = entries.map(leaf_hash);
        let root = |count: usize| hex(&root_over(&leaves[..count], None).unwrap());
        assert_eq!(
            hex(&empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for (count, expected) in [
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(root(count), expected, "{count}");
        }
    }

    #[test]
    fn a_tail_is_the_right_hand_side_of_the_last_subtrees() {
        let leaves: Vec<Hash> = (0..40u8).map(|n| leaf_hash(&[n])).collect();
        let fours: Vec<Hash> =
            leaves[..36].chunks(4).map(|four| root_over(four, None).unwrap()).collect();
        let tail = root_over(&leaves[36..39], None);
        assert_eq!(root_over(&fours, tail), root_over(&leaves[..39], None));
        assert_eq!(root_over(&[], tail), tail);
        assert_eq!(root_over(&[], None), None);
    }
}
