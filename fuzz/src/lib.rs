//! What the targets share: one record from a fuzzer's bytes, a partition to decide it, and a platform's
//! delivery.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_contract::domain::consent::{AgeBand, ConsentStatus};
use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::{KeyRing, Keyset};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::rulebook;
use assent_contract::wire::Inbound;
use assent_core::engine::{Partition, Restore, Setup};
use assent_intake::source::{Delivery, Identifier, Mapping, Says, Source, onetrust_page, trustarc_hint};

pub const PARTITIONS: i32 = 12;
pub const NOW: Timestamp = Timestamp(1_795_305_600_000);

const RULEBOOK: &[u8] = include_bytes!("../../rules/children-retail.yaml");

/// `length of the key, key, value`: the record on the partition where its key belongs.
pub fn record(bytes: &[u8]) -> Option<Inbound<'_>> {
    let (&length, rest) = bytes.split_first()?;
    let (key, value) = rest.split_at_checked(usize::from(length))?;
    let partition = Partitioner::Murmur2.partition(key, PARTITIONS);
    Some(Inbound { partition, key: Some(key), payload: Some(value) })
}

pub fn setup() -> Arc<Setup> {
    let rulebook = Arc::new(rulebook::compile(RULEBOOK).expect("the shipped rulebook"));
    let purposes: Vec<String> = rulebook.purposes.iter().map(|p| p.id.clone()).collect();
    Arc::new(Setup {
        rulebook,
        rulebook_yaml: RULEBOOK.into(),
        keys: Arc::new(KeyRing::new(&Keyset::first([7; 32]), &purposes)),
        group_id: "assent".to_owned(),
        lease: Span(48 * Span::HOUR.0),
        partitioner: Partitioner::Murmur2,
        input_partitions: PARTITIONS,
        segment_partitions: BTreeMap::new(),
        made_with: BTreeMap::new(),
        sources: vec!["cmp".to_owned()],
        signals_max: 1_000_000,
    })
}

pub fn fresh(setup: &Arc<Setup>) -> Partition {
    let mut partition = Restore::new(0).finish(Arc::clone(setup)).expect("nothing to refuse");
    partition.start_at(0, 0);
    partition
}

/// Reads bytes as what a platform sends, and as a page of its list. Whatever they are: every identifier has a
/// bounded length, every grant a time, and reading the same again says the same.
pub fn delivered(source: Source, bytes: &[u8]) {
    let mapping = mapping();
    let read = |bytes| source.read(bytes, &mapping).map(check);
    assert!(read(bytes) == read(bytes));
    match source {
        Source::OneTrust => drop(onetrust_page(bytes, &mapping).map(|page| check(page.delivery))),
        Source::TrustArc => drop(trustarc_hint(bytes)),
        Source::Zigpoll | Source::Ketch => {}
    }
}

fn check(delivery: Delivery) -> Vec<Vec<u8>> {
    let mut encoded = Vec::new();
    for said in delivery.said {
        let Identifier { kind, text } = said.identifier;
        assert!(kind == "email" && (1..=700).contains(&text.len()) && text == text.trim());
        for choice in said.heard.choices.values() {
            assert!(choice.says > Says::Granted || choice.since.is_some());
            assert!(choice.says <= Says::Granted || choice.expires_at.is_none());
        }
        assert!(said.heard.guardian.is_none() && !said.heard.is_empty());
        encoded.push(said.heard.encode());
    }
    encoded
}

/// Maps what the samples in crates/intake have.
fn mapping() -> Mapping {
    let purposes = [
        ("ed2b82e3-db0b-4481-a55e-4a3d0cc57891", "ads"),
        ("0f5d4c1e-77aa-4d25-9a30-1f3f2f1f0a11", "offers"),
        ("6ed69adf-51a3-4452-ab8b-6280d58dafe8", "news"),
        ("Sale or sharing", "ads"),
        ("d2", "offers"),
        ("advertising", "ads"),
        ("data_sales", "sale"),
    ];
    let purposes = purposes.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned()));
    let answers = BTreeMap::from([("6 to 9".to_owned(), AgeBand::Under13)]);
    Mapping::new(
        "email".to_owned(),
        purposes.into(),
        BTreeMap::from([("YES".to_owned(), ConsentStatus::Granted)]),
        BTreeMap::from([("child-age".to_owned(), answers)]),
        None,
    )
    .expect("no two alike")
}
