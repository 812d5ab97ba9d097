//! The proofs of one chain, a line of JSON each, in the order of its batches:
//!
//! ```text
//! {"sequence":41,"index":70000,"entry":"assent/v1 shop/0 41 <sha256> <decided_at>","proof":["<base64>",..]}
//! ```
//!
//! `index` is the entry's place in the log; `proof` leads from it to the root of the export's checkpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::entry::Entry;
use crate::hash::{Hash, leaf_hash};
use crate::proof::is_included;

/// A line takes some 3 KB at 2^60 entries.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub sequence: i64,
    pub index: u64,
    /// The entry, as the log has it.
    pub entry: String,
    /// Base64 of 32 bytes each, the leaf's sibling first.
    #[serde(rename = "proof")]
    path: Vec<String>,
}

impl Proof {
    pub fn new(index: u64, entry: &Entry, proof: &[Hash]) -> Self {
        let path = proof.iter().map(|hash| STANDARD.encode(hash)).collect();
        Self { sequence: entry.sequence, index, entry: entry.to_string(), path }
    }

    /// `None`: this is no such line.
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// With its newline.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// The entry, if this proves that it is in the checkpoint's tree.
    pub fn entry_of(&self, checkpoint: &Checkpoint) -> Option<Entry> {
        let entry = Entry::parse(self.entry.as_bytes())?;
        let hashes = self.path.iter().map(|text| STANDARD.decode(text).ok()?.try_into().ok());
        let hashes = hashes.collect::<Option<Vec<Hash>>>()?;
        let leaf = leaf_hash(self.entry.as_bytes());
        let Checkpoint { size, root, .. } = checkpoint;
        let holds = is_included(&leaf, self.index, *size, &hashes, root);
        (holds && entry.sequence == self.sequence).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proof::prove_inclusion;
    use crate::publisher::tests::published;
    use crate::reader::LogReader;

    #[test]
    fn a_line_proves_its_entry_and_no_other() {
        let (folder, root) = published(600);
        let mut reader = LogReader::open(&folder, 600, &root).unwrap();
        let entry = reader.entries(1).unwrap()[10].clone().unwrap();
        let proof = prove_inclusion(&mut reader, 266, 600).unwrap();
        let line = Proof::new(266, &entry, &proof).to_line();
        let read = Proof::parse(line.as_bytes()).unwrap();
        let checkpoint = Checkpoint { origin: "a".to_owned(), size: 600, root };
        assert_eq!(read.entry_of(&checkpoint), Some(entry));
        let other = Checkpoint { root: published(599).1, size: 599, ..checkpoint.clone() };
        assert_eq!(read.entry_of(&other), None);
        let altered = line.replace("\"index\":266", "\"index\":267");
        assert_eq!(Proof::parse(altered.as_bytes()).unwrap().entry_of(&checkpoint), None);
        let altered =
            line.replace(" 266 ", " 265 ").replace("\"sequence\":266", "\"sequence\":265");
        assert_eq!(Proof::parse(altered.as_bytes()).unwrap().entry_of(&checkpoint), None);
        let altered = line.replace("\"sequence\":266", "\"sequence\":265");
        assert_eq!(Proof::parse(altered.as_bytes()).unwrap().entry_of(&checkpoint), None);
        assert_eq!(Proof::parse(b"{}"), None);
    }
}
