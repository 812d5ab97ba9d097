//! The audit of a shop, read with nothing of `src`: chains are followed, every offset is accounted
//! for once, and every effect is held against the segment topics (INV-5, INV-8, INV-9).

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::{self, Shop};

/// `C3 01` and the fingerprint stand before the body that the chain hashes.
const HEADER: usize = 10;

/// What became of each input.
#[derive(Debug, Default)]
pub struct Audit {
    /// By partition and offset: outcome, and the verdicts by purpose.
    pub clicks: BTreeMap<(i32, i64), Entry>,
    pub consents: BTreeMap<(i32, i64), Entry>,
    pub batches: usize,
    /// What was lost and accepted, in words, by partition in the order of the chain.
    pub losses: Vec<(i32, String)>,
    /// Assignments that the entries name, by hash.
    assigned: BTreeMap<String, usize>,
    removed: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub outcome: String,
    pub verdicts: BTreeMap<String, String>,
    pub consent_version: Option<i64>,
    pub gate_open: bool,
    pub decided_at: i64,
}

/// Where a partition's chain is.
struct Chain {
    next_sequence: i64,
    head: Vec<u8>,
    next_click: i64,
    next_consent: i64,
}

/// Reads all of it and follows the chains; panics at the first thing that is wrong.
pub fn read(shop: &Shop<'_>) -> Audit {
    let mut audit = Audit::default();
    let mut chains: BTreeMap<i32, Chain> = BTreeMap::new();
    for record in shop.committed("segmentation-audit") {
        let value = record.value.as_deref().expect("an audit batch");
        let batch = support::decode("audit_batch", value);
        let chain = chains.entry(record.partition).or_insert_with(|| Chain {
            next_sequence: 0,
            head: vec![0; 32],
            next_click: batch["click_from"].as_i64().unwrap(),
            next_consent: batch["consent_from"].as_i64().unwrap(),
        });
        let name = format!("{}/{}", shop.group_id(), record.partition);
        assert_eq!(
            (record.key_text(), &batch["chain"]),
            (name.as_str(), &Value::from(name.clone()))
        );
        chain.follow(&batch, value, &name);
        audit.take_loss(record.partition, &batch);
        audit.take(record.partition, &batch);
        audit.batches += 1;
    }
    audit
}

/// Every partition's batches as they are, by sequence.
pub fn batches(shop: &Shop<'_>) -> BTreeMap<i32, Vec<Value>> {
    let mut batches: BTreeMap<i32, Vec<Value>> = BTreeMap::new();
    for record in shop.committed("segmentation-audit") {
        let value = record.value.as_deref().expect("an audit batch");
        batches.entry(record.partition).or_default().push(support::decode("audit_batch", value));
    }
    batches
}

impl Chain {
    fn follow(&mut self, batch: &Value, value: &[u8], name: &str) {
        let number = |field: &str| batch[field].as_i64().expect("a number");
        let at = number("sequence");
        assert_eq!(at, self.next_sequence, "{name}: sequence");
        assert_eq!(bytes(&batch["previous"]), self.head, "{name}: previous of {at}");
        assert_eq!(number("click_from"), self.next_click, "{name}: click_from of {at}");
        assert_eq!(number("consent_from"), self.next_consent, "{name}: consent_from of {at}");
        self.next_sequence += 1;
        self.head = Sha256::digest(&value[HEADER..]).to_vec();
        self.next_click = number("click_to");
        self.next_consent = number("consent_to");
        let clicks = entries(batch).any(|entry| entry["input"] == "CLICK");
        if clicks && batch["gate_open"] == true {
            assert!(number("consent_to") >= number("barrier"), "{name}: barrier of {at}");
        }
    }
}

impl Audit {
    fn take(&mut self, partition: i32, batch: &Value) {
        let purposes: Vec<&str> =
            batch["purposes"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
        for entry in entries(batch) {
            for effect in entry["effects"].as_array().expect("effects") {
                if effect["value_sha256"].is_null() {
                    self.removed += 1;
                } else {
                    *self.assigned.entry(hex(&bytes(&effect["value_sha256"]))).or_default() += 1;
                }
            }
            let verdicts = entry["verdicts"].as_array().expect("verdicts");
            let named = purposes.iter().zip(verdicts);
            let read = Entry {
                outcome: entry["outcome"].as_str().unwrap().to_owned(),
                verdicts: named
                    .map(|(p, v)| ((*p).to_owned(), v.as_str().unwrap().to_owned()))
                    .collect(),
                consent_version: entry["consent_version"].as_i64(),
                gate_open: batch["gate_open"] == true,
                decided_at: batch["decided_at"].as_i64().unwrap(),
            };
            let place = entry["offset"].as_i64().map(|offset| (partition, offset));
            let before = match entry["input"].as_str().unwrap() {
                "CLICK" => self.clicks.insert(place.expect("an offset"), read),
                "CONSENT" => self.consents.insert(place.expect("an offset"), read),
                _ => None,
            };
            assert!(before.is_none(), "twice: {} {place:?}", entry["input"]);
        }
    }

    /// From an accepted loss on, offsets that go back are counted anew.
    fn take_loss(&mut self, partition: i32, batch: &Value) {
        let text = batch["rulebook"].as_str().unwrap();
        let Some(lost) = text.strip_prefix("accept-loss: ") else { return };
        assert_eq!(bytes(&batch["rulebook_sha256"]), Sha256::digest(text).to_vec());
        assert_eq!(entries(batch).count(), 0, "a loss decides nothing");
        let goes_back =
            |of: &str| batch[format!("{of}_to")].as_i64() < batch[format!("{of}_from")].as_i64();
        if goes_back("click") {
            self.clicks.retain(|place, _| place.0 != partition);
        }
        if goes_back("consent") {
            self.consents.retain(|place, _| place.0 != partition);
        }
        self.losses.push((partition, lost.to_owned()));
    }

    /// Every record that an input topic still holds has its entry.
    pub fn is_whole(&self, shop: &Shop<'_>) -> bool {
        let held = |topic, entries: &BTreeMap<(i32, i64), Entry>| {
            let records = shop.committed(topic);
            records.iter().all(|record| entries.contains_key(&(record.partition, record.offset)))
        };
        held("clickstream", &self.clicks) && held("consent-changelog", &self.consents)
    }

    /// Every record of an input topic has its entry.
    pub fn assert_whole(&self, shop: &Shop<'_>) {
        let places = |topic| -> Vec<(i32, i64)> {
            shop.committed(topic).iter().map(|r| (r.partition, r.offset)).collect()
        };
        let clicks: Vec<_> = self.clicks.keys().copied().collect();
        assert_eq!(clicks, places("clickstream"), "clicks audited");
        let consents: Vec<_> = self.consents.keys().copied().collect();
        assert_eq!(consents, places("consent-changelog"), "consents audited");
    }

    /// Every effect has its record and every record its effect. Only where nothing flows any more.
    pub fn assert_effects(&self, shop: &Shop<'_>, purposes: &[&str]) {
        let mut assigned = self.assigned.clone();
        let mut removed = 0;
        let records =
            purposes.iter().flat_map(|purpose| shop.committed(&format!("segments.{purpose}")));
        for record in records {
            let Some(value) = &record.value else {
                assert!(record.header("reason").is_some() && record.header("decided_at").is_some());
                removed += 1;
                continue;
            };
            let hash = hex(&Sha256::digest(&value[HEADER..]));
            let count = assigned.get_mut(&hash).expect("an assignment has its effect");
            *count -= 1;
            if *count == 0 {
                assigned.remove(&hash);
            }
        }
        assert!(assigned.is_empty(), "effects without their record: {assigned:?}");
        assert_eq!(removed, self.removed, "tombstones");
    }
}

fn entries(batch: &Value) -> impl Iterator<Item = &Value> {
    batch["entries"].as_array().expect("entries").iter()
}

pub fn bytes(value: &Value) -> Vec<u8> {
    value.as_array().expect("bytes").iter().map(|b| b.as_u64().unwrap() as u8).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
