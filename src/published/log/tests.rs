//! The folder alone: what a crash may leave, and what somebody else may have done to it.

use assent_evidence::hash::leaf_hash;
use assent_evidence::publisher::{Batch, GENESIS};
use tempfile::TempDir;

use super::*;

const CHAIN: &str = "shop/0";

fn signer() -> Signer {
    Signer::new("shop.example/audit", &[7; 32]).unwrap()
}

fn open(folder: &TempDir) -> Result<Log> {
    Log::open(folder.path(), signer())
}

fn refused(folder: &TempDir) -> String {
    open(folder).err().expect("a refusal").message
}

fn resumed(log: &Log) -> Publisher {
    log.resume(&[CHAIN.to_owned()], || {}).unwrap()
}

fn take(publisher: &mut Publisher, sequences: std::ops::Range<i64>) {
    let hash =
        |sequence: i64| if sequence < 0 { GENESIS } else { leaf_hash(&sequence.to_be_bytes()) };
    for sequence in sequences {
        let (previous, sha256) = (hash(sequence - 1), hash(sequence));
        let batch = Batch { chain: CHAIN, sequence, previous, sha256, decided_at: sequence };
        publisher.take(&batch).unwrap();
    }
}

/// A log of so many entries.
fn published(count: i64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(&folder).unwrap();
    let mut publisher = resumed(&log);
    take(&mut publisher, 0..count);
    log.publish(&mut publisher).unwrap();
    folder
}

#[test]
fn a_new_log_is_empty_and_signed() {
    let folder = published(0);
    assert_eq!(open(&folder).unwrap().checkpoint().size, 0);
    assert!(folder.path().join("checkpoint").exists());
}

#[test]
fn a_log_goes_on_where_it_was() {
    let folder = published(300);
    let mut log = open(&folder).unwrap();
    let mut publisher = resumed(&log);
    assert_eq!(publisher.head(CHAIN).unwrap().sequence, 299);
    take(&mut publisher, 300..600);
    assert_eq!(log.publish(&mut publisher).unwrap(), Some(300));
    assert_eq!(log.publish(&mut publisher).unwrap(), None);
    take(&mut publisher, 600..601);
    assert_eq!(log.publish(&mut publisher).unwrap(), Some(1));
    assert!(!folder.path().join("tile/0/001.p").exists(), "full one checkpoint ago");
    assert!(folder.path().join("tile/0/002.p/88").exists());
}

#[test]
fn a_second_publisher_is_refused() {
    let folder = published(3);
    let first = open(&folder).unwrap();
    assert!(refused(&folder).contains("another publisher"), "{}", refused(&folder));
    drop(first);
    assert!(open(&folder).is_ok());
}

#[test]
fn a_checkpoint_that_was_signed_takes_its_place_after_a_crash() {
    let (old, new) = (published(300), published(700));
    // The crash came after the new checkpoint was signed: all of the new log but that in its place.
    let at = |folder: &TempDir, path: &str| folder.path().join(path);
    std::fs::copy(at(&old, "checkpoint"), at(&new, "checkpoint")).unwrap();
    std::fs::write(at(&new, ".assent/draft"), "half").unwrap();
    assert_eq!(open(&new).unwrap().checkpoint().size, 700);
    assert!(!at(&new, ".assent/draft").exists());
    let [signed, in_place] =
        [SIGNED, "checkpoint"].map(|path| std::fs::read(at(&new, path)).unwrap());
    assert_eq!(signed, in_place);
    std::fs::remove_file(at(&new, "checkpoint")).unwrap();
    assert_eq!(open(&new).unwrap().checkpoint().size, 700);

    // One that was signed over another tree is no successor.
    let other = published(700);
    std::fs::copy(at(&other, "checkpoint"), at(&old, SIGNED)).unwrap();
    assert!(refused(&old).contains("nothing was signed"), "{}", refused(&old));
}

#[test]
fn whatever_is_wrong_with_the_folder_nothing_is_signed() {
    let damage = |edit: &dyn Fn(&Path)| {
        let folder = published(600);
        edit(folder.path());
        match open(&folder) {
            Err(failure) => failure.message,
            Ok(mut log) => {
                let before = std::fs::read(folder.path().join("checkpoint")).unwrap();
                let failure = match log.resume(&[CHAIN.to_owned()], || {}) {
                    Err(failure) => failure,
                    Ok(mut publisher) => {
                        take(&mut publisher, 600..601);
                        log.publish(&mut publisher).unwrap_err()
                    }
                };
                let after = std::fs::read(folder.path().join("checkpoint")).unwrap();
                assert_eq!(before, after, "{}", failure.message);
                failure.message
            }
        }
    };
    let flipped = |path: &'static str| {
        move |folder: &Path| {
            let mut bytes = std::fs::read(folder.join(path)).unwrap();
            bytes[10] ^= 1;
            std::fs::write(folder.join(path), bytes).unwrap();
        }
    };
    for path in ["tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/002.p/88"] {
        assert!(damage(&flipped(path)).contains("Restore the directory"), "{path}");
    }
    assert!(damage(&flipped("checkpoint")).contains("checkpoint"));
    let removed = |folder: &Path| {
        std::fs::remove_file(folder.join("checkpoint")).unwrap();
        std::fs::remove_dir_all(folder.join(".assent")).unwrap();
    };
    assert!(damage(&removed).contains("there are tiles, but no checkpoint"));
    let of_another = |folder: &Path| {
        let other = Signer::new("shop.example/audit", &[8; 32]).unwrap();
        let text = Checkpoint { origin: other.name().to_owned(), size: 0, root: [0; 32] }.text();
        std::fs::write(folder.join("checkpoint"), other.sign(&text)).unwrap();
    };
    assert!(damage(&of_another).contains("not signed with this key"));
}

#[test]
fn a_checkpoint_that_changed_meanwhile_stops_the_publisher() {
    let folder = published(600);
    let mut log = open(&folder).unwrap();
    let mut publisher = resumed(&log);
    take(&mut publisher, 600..610);
    let other = published(300);
    std::fs::copy(other.path().join("checkpoint"), folder.path().join("checkpoint")).unwrap();
    let failure = log.publish(&mut publisher).unwrap_err();
    assert!(failure.message.contains("somebody else changed it"), "{}", failure.message);
}
