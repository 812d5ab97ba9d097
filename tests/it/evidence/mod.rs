//! The audit as evidence: the published log, checked with tools that are not ours, and `audit verify` on
//! topics, logs and exports that somebody changed.

mod auditor;
#[cfg(feature = "crash-points")]
mod crashes;
mod exported;
mod folder;
mod published;
mod refused;
mod rights;
mod tampered;

use std::path::{Path, PathBuf};
use std::process::Command;

use assent_contract::domain::audit::{AuditBatch, AuditEntry, chain};
use assent_contract::domain::outcome::{InputKind, Outcome};
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::{SchemaName, frame};
use serde_json::{Value, json};

use crate::support::{Assent, Finished, Kafka, Message, Plan, Shop, TopicPlan, now_ms};

const ORIGIN: &str = "shop.example/audit";

/// A shop with a key for its log, which goes to `log` in its folder.
fn shop(kafka: &Kafka, partitions: i32) -> Shop<'_> {
    let settings =
        json!({"audit": {"log_key": "log.key", "publish_dir": "log", "publish_interval": "1s"}});
    let plan = Plan { partitions, settings, ..Plan::default() };
    let shop = Shop::open_with(kafka, &plan);
    let made = shop.run(&["keys", "new", "--for", "audit-log", "--origin", ORIGIN]).ok();
    std::fs::write(shop.folder().join("log.pub"), made.stdout).expect("written");
    shop
}

/// The log's verifier key.
fn verifier_key(shop: &Shop<'_>) -> String {
    let key = std::fs::read_to_string(shop.folder().join("log.pub")).expect("the key");
    key.trim().to_owned()
}

fn log(shop: &Shop<'_>) -> PathBuf {
    shop.folder().join("log")
}

fn publish(shop: &Shop<'_>) -> Finished {
    shop.run(&["audit", "publish", "--once", "--json"])
}

/// The bodies of a sound chain of so many batches, decided a minute ago, each with one entry.
fn bodies(chain: &str, count: i64) -> Vec<Vec<u8>> {
    let decided_at = now_ms() - 60_000;
    let mut previous = chain::GENESIS;
    (0..count)
        .map(|sequence| {
            let body = body(chain, sequence, previous, decided_at + sequence);
            previous = chain::body_hash(&body);
            body
        })
        .collect()
}

fn body(chain: &str, sequence: i64, previous: [u8; 32], decided_at: i64) -> Vec<u8> {
    let batch = AuditBatch {
        chain: chain.to_owned(),
        sequence,
        previous,
        decided_at: Timestamp(decided_at),
        rulebook: "one".to_owned(),
        rulebook_sha256: [1; 32],
        key_version: 1,
        click_from: sequence,
        click_to: sequence + 1,
        consent_from: 0,
        consent_to: 0,
        barrier: 0,
        gate_open: true,
        purposes: Vec::new(),
        entries: vec![AuditEntry {
            input: InputKind::Click,
            offset: Some(sequence),
            outcome: Outcome::TooLate,
            subject: None,
            consent_version: None,
            verdicts: Vec::new(),
            effects: Vec::new(),
        }],
    };
    let mut body = Vec::new();
    batch.encode(&mut body);
    body
}

/// Writes these bodies into a topic, as Assent frames them.
fn write(kafka: &Kafka, topic: &str, partition: i32, chain: &str, bodies: &[Vec<u8>]) {
    kafka.produce(bodies.iter().map(|body| {
        let value = frame(SchemaName::AuditBatch, body);
        Message::new(topic).partition(partition).key(chain).value(value)
    }));
}

/// An audit topic of its own with one partition, and the variable that leads a command to it.
struct Forged {
    topic: String,
}

impl Forged {
    fn new(shop: &Shop<'_>, name: &str, partitions: i32) -> Self {
        let topic = format!("{}.audit-{name}", shop.name);
        let config = vec![("retention.ms", (775_i64 * 86_400_000).to_string())];
        let plan = TopicPlan { name: topic.clone(), partitions, config };
        shop.kafka.create_topics(std::slice::from_ref(&plan));
        Self { topic }
    }

    fn command(&self, shop: &Shop<'_>, arguments: &[&str]) -> Command {
        let mut command = shop.command(arguments);
        command.env("ASSENT__TOPICS__AUDIT", &self.topic);
        command
    }

    fn run(&self, shop: &Shop<'_>, arguments: &[&str]) -> Finished {
        Finished::of(&mut self.command(shop, arguments))
    }
}

/// `kind chain sequence` of every fault, sorted; the exit code fits.
fn faults(finished: &Finished) -> Vec<String> {
    assert!(matches!(finished.code, Some(0 | 1)), "{finished:?}");
    let result = finished.json();
    let listed = result["faults"].as_array().expect("a list");
    assert_eq!(result["ok"] == true, finished.code == Some(0), "{finished:?}");
    assert_eq!(result["ok"] == true, listed.is_empty(), "{finished:?}");
    let shown = |fault: &Value| {
        let chain = fault["chain"].as_str().unwrap_or("-");
        format!("{} {chain} {}", fault["kind"].as_str().expect("a kind"), fault["sequence"])
    };
    let mut shown: Vec<String> = listed.iter().map(shown).collect();
    shown.sort();
    shown
}

/// A command without a shop's configuration.
fn assent(arguments: &[&str], folder: &Path) -> Finished {
    Finished::of(Assent::command().args(arguments).current_dir(folder))
}

/// The files that a reader of a tree of this size asks for, besides the checkpoint.
fn files_of(size: u64) -> Vec<String> {
    let mut paths = Vec::new();
    let tiles = |level: u32| {
        (0..).map_while(move |index| {
            let hashes = size >> (8 * level);
            let width = hashes.saturating_sub(index * 256).min(256);
            (width > 0).then_some((index, width))
        })
    };
    for level in 0..3 {
        for (index, width) in tiles(level) {
            let part = if width == 256 { String::new() } else { format!(".p/{width}") };
            paths.push(format!("tile/{level}/{index:03}{part}"));
            if level == 0 {
                paths.push(format!("tile/entries/{index:03}{part}"));
            }
        }
    }
    paths
}
