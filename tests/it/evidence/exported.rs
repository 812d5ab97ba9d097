//! Exports as a recipient gets them, whole and changed. Written here from the description in docs/audit.md, with the
//! parts of the crate that `audit export` is to use.

use std::path::Path;

use assent_contract::domain::audit::{AuditBatch, chain};
use assent_contract::wire::SchemaName;
use assent_evidence::checkpoint::Checkpoint;
use assent_evidence::entry::Entry;
use assent_evidence::export::container::Container;
use assent_evidence::export::manifest::{self, Chain, FORMAT, Log, Manifest, Question};
use assent_evidence::export::proofs::Proof;
use assent_evidence::note::Verifier;
use assent_evidence::proof::prove_inclusion;
use assent_evidence::reader::LogReader;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::auditor::auditor_or_skip;
use super::tampered::changes;
use super::{assent, bodies, faults, log, publish, shop, verifier_key, write};
use crate::audit::hex;
use crate::support::{Finished, Kafka, Shop};

const COUNT: i64 = 9;

/// What a batch's entry in the log is.
fn entry(body: &[u8]) -> Entry {
    let batch = AuditBatch::decode(body).expect("a batch");
    let (chain, sequence) = (batch.chain, batch.sequence);
    Entry { chain, sequence, sha256: chain::body_hash(body), decided_at: batch.decided_at.0 }
}

/// An export of what a log holds of one chain. `changed` takes the place of its batches, and the manifest
/// says that all is well: its hashes are right, and its runs are those of what was exported.
fn export(
    shop: &Shop<'_>,
    sound: &[Vec<u8>],
    changed: &[Vec<u8>],
    runs: Vec<(i64, i64)>,
) -> TempDir {
    let folder = tempfile::tempdir().expect("temp dir");
    let path = |name: &str| folder.path().join(name);
    let note = std::fs::read(log(shop).join("checkpoint")).expect("a checkpoint");
    let verifier = Verifier::parse(&verifier_key(shop)).expect("a key");
    let checkpoint = Checkpoint::parse(verifier.open(&note).expect("signed")).expect("one");
    let files = assent::published::Folder::new(&log(shop));
    let (size, root) = (checkpoint.size, checkpoint.root);
    let mut reader = LogReader::open(&files, size, &root).expect("sound");
    let mut lines = String::new();
    for body in sound {
        let entry = entry(body);
        let index = (0..size).find(|index| {
            reader.entries(index / 256).expect("sound")[(index % 256) as usize].as_ref()
                == Some(&entry)
        });
        let Some(index) = index else { continue };
        let proof = prove_inclusion(&mut reader, index, size).expect("sound");
        lines += &Proof::new(index, &entry, &proof).to_line();
    }
    let container = Container::new(SchemaName::AuditBatch.json());
    let blocks = changed.iter().map(|body| container.block(body));
    let batches = [container.header(), blocks.collect::<Vec<_>>().concat()].concat();
    for folder in ["batches", "proofs"] {
        std::fs::create_dir(path(folder)).expect("made");
    }
    std::fs::write(path("batches/0.avro"), batches).expect("written");
    std::fs::write(path("proofs/0.jsonl"), lines).expect("written");
    std::fs::write(path("checkpoint"), note).expect("written");
    let decided = |body: &[u8]| entry(body).decided_at;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        topic: shop.topic("segmentation-audit"),
        question: Question {
            from: Some(decided(&sound[0])),
            to: Some(decided(&sound[sound.len() - 1]) + 1),
            ..Question::default()
        },
        log: Some(Log { origin: checkpoint.origin, size, checkpoint: "checkpoint".to_owned() }),
        chains: vec![Chain {
            chain: entry(&sound[0]).chain,
            batches: "batches/0.avro".to_owned(),
            proofs: Some("proofs/0.jsonl".to_owned()),
            runs,
        }],
        files: hashed(folder.path(), &["batches/0.avro", "proofs/0.jsonl", "checkpoint"]),
    };
    std::fs::write(path("manifest.json"), manifest.to_json()).expect("written");
    folder
}

fn hashed(folder: &Path, paths: &[&str]) -> Vec<manifest::File> {
    let file = |path: &&str| {
        let bytes = std::fs::read(folder.join(path)).expect("readable");
        let sha256 = hex(&Sha256::digest(&bytes));
        manifest::File { path: (*path).to_owned(), bytes: bytes.len() as u64, sha256 }
    };
    paths.iter().map(file).collect()
}

/// As a recipient runs it: with the key that they were given, and no Kafka.
fn verify(shop: &Shop<'_>, export: &TempDir, more: &[&str]) -> Finished {
    let (folder, key) = (export.path().to_str().expect("UTF-8"), verifier_key(shop));
    let arguments = ["audit", "verify", "--json", "--export", folder, "--log-key", &key];
    assent(&[&arguments[..], more].concat(), export.path())
}

fn published(kafka: &Kafka) -> (Shop<'_>, String, Vec<Vec<u8>>) {
    let shop = shop(kafka, 1);
    let chain = format!("{}/0", shop.group_id());
    let bodies = bodies(&chain, COUNT);
    write(kafka, &shop.topic("segmentation-audit"), 0, &chain, &bodies);
    publish(&shop).ok();
    (shop, chain, bodies)
}

#[test]
fn an_export_is_whole_and_tools_that_are_not_ours_accept_its_proofs() {
    let kafka = kafka_or_skip!();
    let auditor = auditor_or_skip!();
    let (shop, chain, bodies) = published(kafka);
    let whole = export(&shop, &bodies, &bodies, vec![(0, COUNT - 1)]);
    let verified = verify(&shop, &whole, &[]);
    assert!(faults(&verified).is_empty(), "{verified:?}");
    let result = verified.json();
    assert_eq!(result["chains"][0]["chain"], chain.as_str());
    assert_eq!(
        (&result["chains"][0]["entries"], &result["notes"]),
        (&COUNT.into(), &serde_json::json!([]))
    );

    let (key, checkpoint) = (verifier_key(&shop), whole.path().join("checkpoint"));
    let lines = std::fs::read(whole.path().join("proofs/0.jsonl")).expect("proofs");
    assert!(auditor.proofs(&key, &checkpoint, &lines));
    let text = String::from_utf8(lines.clone()).expect("UTF-8");
    let line = text.lines().nth(4).expect("a line");
    let [entry, after, proof] =
        ["assent/v1", "\",\"proof\"", "[\""].map(|it| line.find(it).expect("there"));
    // The first character of each hash: the last ones have bits that say nothing.
    for at in (entry..after).step_by(9).chain((proof + 2..line.len() - 3).step_by(47)) {
        let mut altered = line.as_bytes().to_vec();
        altered[at] = if altered[at] == b'1' { b'2' } else { b'1' };
        assert!(!auditor.proofs(&key, &checkpoint, &altered), "{at}");
    }

    let part = [&bodies[1..3], &bodies[6..7]].concat();
    let some = export(&shop, &part, &part, vec![(1, 2), (6, 6)]);
    let verified = verify(&shop, &some, &[]);
    assert!(faults(&verified).is_empty(), "{verified:?}");
}

#[test]
fn every_kind_is_found_in_an_export_at_the_first_a_middle_and_the_last_batch() {
    let kafka = kafka_or_skip!();
    let (shop, chain, bodies) = published(kafka);
    let runs = vec![(0, COUNT - 1)];
    for at in [0, 4, bodies.len() - 1] {
        for (kind, changed, expected, _) in changes(&bodies, at, &chain) {
            let forged = export(&shop, &bodies, &changed, runs.clone());
            assert_eq!(faults(&verify(&shop, &forged, &[])), [expected], "{kind} {at}");
        }
    }
    let cut = export(&shop, &bodies, &bodies[..5], runs.clone());
    assert_eq!(faults(&verify(&shop, &cut, &[])), [format!("missing {chain} 5")]);

    // Whoever cut it off may have said so in the manifest: then only the log shows it.
    let said = export(&shop, &bodies, &bodies[..5], vec![(0, 4)]);
    assert!(faults(&verify(&shop, &said, &[])).is_empty(), "the export alone can't show it");
    let checkpoint = log(&shop).join("checkpoint");
    let from = ["--from", checkpoint.to_str().expect("UTF-8")];
    assert_eq!(faults(&verify(&shop, &said, &from)), [format!("missing {chain} 5")]);
    let whole = export(&shop, &bodies, &bodies, runs);
    assert!(faults(&verify(&shop, &whole, &from)).is_empty());
}

#[test]
fn a_file_of_an_export_that_was_changed_or_removed_is_named() {
    let kafka = kafka_or_skip!();
    let (shop, _, bodies) = published(kafka);
    let whole = || export(&shop, &bodies, &bodies, vec![(0, COUNT - 1)]);
    for path in ["batches/0.avro", "proofs/0.jsonl", "checkpoint"] {
        let damaged = whole();
        super::folder::flip(&damaged.path().join(path));
        let finished = verify(&shop, &damaged, &[]);
        assert_eq!(finished.code, Some(1), "{path}: {finished:?}");
        assert!(finished.stdout.contains(&format!("{path}: its SHA-256")), "{finished:?}");
        std::fs::remove_file(damaged.path().join(path)).expect("removed");
        let finished = verify(&shop, &damaged, &[]);
        assert_eq!(finished.code, Some(1), "{path}: {finished:?}");
        assert!(
            finished.stdout.contains(&format!("{path}: there is no such file")),
            "{finished:?}"
        );
    }
    let damaged = whole();
    std::fs::write(damaged.path().join("manifest.json"), "{}").expect("written");
    let finished = verify(&shop, &damaged, &[]);
    assert_eq!(finished.code, Some(65), "{finished:?}");
    let other = shop.run(&["keys", "new", "--for", "audit-log", "--origin", "a", "--out", "a.key"]);
    let folder = whole();
    let arguments = ["audit", "verify", "--export", folder.path().to_str().unwrap(), "--log-key"];
    let finished = assent(&[&arguments[..], &[other.ok().stdout.trim()]].concat(), folder.path());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("not signed with this key"), "{finished:?}");
}
