//! The publisher alone: what it refuses, and that it can stop and go on at any point.

use super::*;
use crate::memory::Folder;

const CHAIN: &str = "shop/0";

/// The hash of batch number `sequence` of a chain, made up.
fn hash(chain: &str, sequence: i64) -> Hash {
    if sequence < 0 { GENESIS } else { leaf_hash(format!("{chain} {sequence}").as_bytes()) }
}

fn batch(chain: &str, sequence: i64) -> Batch<'_> {
    let (previous, sha256) = (hash(chain, sequence - 1), hash(chain, sequence));
    Batch { chain, sequence, previous, sha256, decided_at: sequence }
}

/// Writes what is sealed into the folder, and confirms it.
fn publish(publisher: &mut Publisher, folder: &mut Folder) -> Option<Sealed> {
    let (files, sealed) = publisher.seal()?;
    folder.0.extend(files.into_iter().map(|file| (file.path, file.bytes)));
    publisher.confirm(sealed.clone());
    Some(sealed)
}

/// The log of one chain of so many batches, and its root.
pub fn published(size: u64) -> (Folder, Hash) {
    let (mut publisher, mut folder) = (Publisher::new(), Folder::default());
    for sequence in 0..size as i64 {
        publisher.take(&batch(CHAIN, sequence)).unwrap();
    }
    publish(&mut publisher, &mut folder);
    (folder, publisher.signed().root)
}

fn resumed(folder: &Folder, sealed: &Sealed, chains: &[&str]) -> Publisher {
    let mut reader = LogReader::open(folder, sealed.size, &sealed.root).unwrap();
    let chains: Vec<String> = chains.iter().map(|it| (*it).to_owned()).collect();
    Publisher::resume(&mut reader, &chains, || {}).unwrap()
}

#[test]
fn a_log_that_stops_and_goes_on_is_the_log_that_never_stopped() {
    let (whole, root) = published(2000);
    let (mut folder, mut publisher) = (Folder::default(), Publisher::new());
    let mut next = 0;
    for step in [1, 254, 1, 1, 255, 512, 700, 276] {
        for sequence in next..next + step {
            assert_eq!(publisher.take(&batch(CHAIN, sequence)), Ok(Taken::Appended));
        }
        next += step;
        let sealed = publish(&mut publisher, &mut folder).unwrap();
        assert_eq!(publisher.seal(), None);
        publisher = resumed(&folder, &sealed, &[CHAIN]);
        assert_eq!(publisher.head(CHAIN).unwrap().sequence, next - 1);
    }
    assert_eq!(publisher.signed(), &Sealed { size: 2000, root });
    for (path, bytes) in &whole.0 {
        assert_eq!(folder.0.get(path), Some(bytes), "{path}");
    }
}

#[test]
fn what_was_written_and_not_signed_is_written_anew() {
    let (mut publisher, mut folder) = (Publisher::new(), Folder::default());
    (0..300).for_each(|n| assert!(publisher.take(&batch(CHAIN, n)).is_ok()));
    let signed = publish(&mut publisher, &mut folder).unwrap();
    // The next step is written in part, in another order of chains, and never signed.
    for n in 0..400 {
        publisher.take(&batch("shop/1", n)).unwrap();
    }
    let (files, _) = publisher.seal().unwrap();
    folder.0.extend(files.into_iter().step_by(2).map(|file| (file.path, file.bytes)));
    let mut publisher = resumed(&folder, &signed, &[CHAIN, "shop/1"]);
    for n in 300..900 {
        publisher.take(&batch(CHAIN, n)).unwrap();
    }
    let sealed = publish(&mut publisher, &mut folder).unwrap();
    let (_, root) = published(900);
    assert_eq!(sealed, Sealed { size: 900, root });
    assert_eq!(
        crate::reader::extends(&folder, (signed.size, &signed.root), (sealed.size, &sealed.root)),
        Ok(true)
    );
}

/// A publisher of a chain that is published up to 9, read again from there or not.
fn at_nine(is_met: bool) -> Publisher {
    let (folder, root) = published(10);
    let mut publisher = resumed(&folder, &Sealed { size: 10, root }, &[CHAIN]);
    if is_met {
        assert_eq!(publisher.take(&batch(CHAIN, 9)), Ok(Taken::Known));
    }
    publisher
}

#[test]
fn what_was_published_is_known_once() {
    let mut publisher = at_nine(false);
    for known in [7, 8, 9] {
        assert_eq!(publisher.take(&batch(CHAIN, known)), Ok(Taken::Known));
    }
    assert_eq!(publisher.pending(), 0);
    for again in [9, 3] {
        let refused = Refusal::Again { chain: CHAIN.into(), sequence: again };
        assert_eq!(publisher.take(&batch(CHAIN, again)), Err(refused));
    }
    assert_eq!(publisher.take(&batch(CHAIN, 10)), Ok(Taken::Appended));
    let refused = Refusal::Again { chain: CHAIN.into(), sequence: 10 };
    assert_eq!(publisher.take(&batch(CHAIN, 10)), Err(refused));
}

#[test]
fn a_chain_that_does_not_go_on_is_refused() {
    for is_met in [false, true] {
        let refusal = |batch: Batch<'_>| at_nine(is_met).take(&batch).unwrap_err();
        let gap = Refusal::Gap { chain: CHAIN.into(), expected: 10, found: 11 };
        assert_eq!(refusal(batch(CHAIN, 11)), gap);
        let unlinked = Batch { previous: [1; 32], ..batch(CHAIN, 10) };
        let expected = Refusal::Unlinked { chain: CHAIN.into(), sequence: 10 };
        assert_eq!(refusal(unlinked), expected);
    }
    let altered = Batch { sha256: [1; 32], ..batch(CHAIN, 9) };
    let expected = Refusal::Altered { chain: CHAIN.into(), sequence: 9 };
    assert_eq!(at_nine(false).take(&altered), Err(expected));
}

#[test]
fn a_new_chain_begins_with_its_first_batch_or_with_what_retention_left() {
    let mut publisher = Publisher::new();
    let refused = Refusal::Unlinked { chain: CHAIN.into(), sequence: 0 };
    let wrong = Batch { previous: [1; 32], ..batch(CHAIN, 0) };
    assert_eq!(publisher.take(&wrong), Err(refused));
    assert_eq!(publisher.take(&batch(CHAIN, 5)), Ok(Taken::Appended));
    for wrong in ["shop", "a b/0", "shop/x", ""] {
        assert_eq!(publisher.take(&batch(wrong, 0)), Err(Refusal::Name), "{wrong}");
    }
    assert_eq!(publisher.take(&batch(CHAIN, 6)), Ok(Taken::Appended));
}

#[test]
fn partial_tiles_are_outgrown_one_checkpoint_later() {
    let mut publisher = Publisher::new();
    let mut confirmed = |from: i64, to: i64| {
        (from..to).for_each(|n| assert!(publisher.take(&batch(CHAIN, n)).is_ok()));
        let (_, sealed) = publisher.seal().unwrap();
        publisher.confirm(sealed)
    };
    assert!(confirmed(0, 200).is_empty());
    assert!(confirmed(200, 300).is_empty());
    assert_eq!(confirmed(300, 301), ["tile/0/000.p", "tile/entries/000.p"]);
    assert!(confirmed(301, 302).is_empty());
}

#[test]
fn one_step_writes_what_changed_and_no_more() {
    let mut publisher = Publisher::new();
    let mut paths = |from: i64, to: i64| -> Vec<String> {
        (from..to).for_each(|n| assert!(publisher.take(&batch(CHAIN, n)).is_ok()));
        let (files, sealed) = publisher.seal().unwrap();
        publisher.confirm(sealed);
        files.into_iter().map(|file| file.path).collect()
    };
    assert_eq!(paths(0, 1), ["tile/0/000.p/1", "tile/entries/000.p/1"]);
    assert_eq!(paths(1, 256), ["tile/0/000", "tile/entries/000", "tile/1/000.p/1"]);
    assert_eq!(paths(256, 258), ["tile/0/001.p/2", "tile/entries/001.p/2"]);
}
