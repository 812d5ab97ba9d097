//! `manifest.json`: what an export holds.
//!
//! It is not signed: it helps a recipient to find damage and to say what is missing. What proves a batch is
//! the checkpoint. [`SUM_FILE`] finds damage to the manifest itself.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::entry::hex;

pub const FILE: &str = "manifest.json";
/// Beside it: [`sum`].
pub const SUM_FILE: &str = "manifest.json.sha256";
pub const FORMAT: &str = "assent-audit-export/1";

/// A million runs of sequences.
pub const BYTES_MAX: u64 = 64 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The audit topic.
    pub topic: String,
    pub question: Question,
    /// `None`: no log was published.
    pub log: Option<Log>,
    pub chains: Vec<Chain>,
    /// Every file but this one and [`SUM_FILE`], by path.
    pub files: Vec<File>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The subject's audit tokens, in hex, one for each key version; empty: of everybody.
    pub subjects: Vec<String>,
    /// `decided_at`, epoch milliseconds: from this moment on.
    pub from: Option<i64>,
    /// Before this moment.
    pub to: Option<i64>,
}

/// The tree that the proofs lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    pub origin: String,
    pub size: u64,
    /// The signed note's path in the export.
    pub checkpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// `{group_id}/{partition}`.
    pub chain: String,
    /// The path of its batches.
    pub batches: String,
    /// The path of their proofs; `None`: there is no log.
    pub proofs: Option<String>,
    /// First and last sequence of each run of batches without a gap, ascending.
    pub runs: Vec<(i64, i64)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub path: String,
    pub bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
}

impl Manifest {
    /// `Err`: what is wrong with it, for a person.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if manifest.format != FORMAT {
            return Err(format!("its format is not {FORMAT}"));
        }
        let log = manifest.log.iter().map(|log| &log.checkpoint);
        let of_chains = manifest.chains.iter();
        let of_chains = of_chains.flat_map(|chain| chain.proofs.iter().chain([&chain.batches]));
        let listed = manifest.files.iter().map(|file| &file.path);
        if log.chain(of_chains).chain(listed).any(|path| !is_inside(path)) {
            return Err("it names a file outside of the export".to_owned());
        }
        let is_ascending = |chain: &Chain| {
            let ends = chain.runs.iter().all(|(first, last)| 0 <= *first && first <= last);
            ends && chain.runs.windows(2).all(|pair| pair[0].1 < pair[1].0)
        };
        if !manifest.chains.iter().all(is_ascending) {
            return Err("its runs of sequences are not ascending".to_owned());
        }
        if manifest.chains.iter().any(|chain| chain.proofs.is_some() != manifest.log.is_some()) {
            return Err("it has a log without proofs, or proofs without a log".to_owned());
        }
        Ok(manifest)
    }

    /// As it is written: the same export, the same bytes.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        json + "\n"
    }
}

/// What [`SUM_FILE`] holds: the line that `sha256sum manifest.json` prints.
pub fn sum(json: &[u8]) -> String {
    format!("{}  {FILE}\n", hex(&Sha256::digest(json).into()))
}

/// Relative, with no way out: a recipient opens what a stranger sent.
fn is_inside(path: &str) -> bool {
    let is_name = |part: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(legal)
    };
    path.len() <= 512 && path.split('/').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            format: FORMAT.to_owned(),
            topic: "segmentation-audit".to_owned(),
            question: Question { from: Some(1), to: Some(2), ..Question::default() },
            log: Some(Log {
                origin: "shop.example/audit".to_owned(),
                size: 7,
                checkpoint: "checkpoint".to_owned(),
            }),
            chains: vec![Chain {
                chain: "shop/0".to_owned(),
                batches: "batches/0.avro".to_owned(),
                proofs: Some("proofs/0.jsonl".to_owned()),
                runs: vec![(0, 3), (5, 5)],
            }],
            files: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let written = manifest();
        assert_eq!(Manifest::parse(written.to_json().as_bytes()), Ok(written));
    }

    #[test]
    fn its_sum_is_the_line_of_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sum(b""), format!("{empty}  manifest.json\n"));
    }

    #[test]
    fn no_path_leads_out() {
        for path in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a b", "a\\b", "a\u{1b}"] {
            assert!(!is_inside(path), "{path:?}");
            let mut wrong = manifest();
            path.clone_into(&mut wrong.chains[0].batches);
            assert!(Manifest::parse(wrong.to_json().as_bytes()).is_err(), "{path:?}");
        }
        assert!(is_inside("batches/shop.assent_0.avro"));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let refused = |change: &dyn Fn(&mut Manifest)| {
            let mut wrong = manifest();
            change(&mut wrong);
            Manifest::parse(wrong.to_json().as_bytes()).unwrap_err()
        };
        refused(&|it| "other/1".clone_into(&mut it.format));
        for runs in [vec![(3, 0)], vec![(0, 3), (3, 4)], vec![(5, 5), (0, 3)], vec![(-1, 3)]] {
            refused(&|it| it.chains[0].runs.clone_from(&runs));
        }
        refused(&|it| it.log = None);
        refused(&|it| it.chains[0].proofs = None);
        assert!(Manifest::parse(b"{}").is_err());
    }
}
