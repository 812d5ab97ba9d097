//! What the state topic tells a verifier: the rulebooks that ever decided, by their hash, and what each
//! partition says of its own chain. Nothing else of it is read: its form is Assent's own.

use std::collections::BTreeMap;

use crate::audit::rulebooks::kept_in;
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::scan::{Ends, Scan};
use assent_contract::domain::audit::Sha256Hash;
use assent_contract::rulebook;
use assent_core::engine::Claim;
use assent_verify::Rulebooks;

/// By partition.
#[derive(Default)]
pub struct Evidence {
    /// The chain's next sequence, and the hash of its last batch.
    pub heads: BTreeMap<i32, (i64, Sha256Hash)>,
    /// The audit sequence of the last accepted loss.
    pub losses: BTreeMap<i32, i64>,
    /// Of the secret of every key version that the state knows.
    pub key_fingerprints: BTreeMap<u8, [u8; 32]>,
    pub records: u64,
}

impl Evidence {
    /// Reads the whole topic; `rulebooks` gets those that it keeps.
    pub fn read(
        config: &Config,
        ends: &Ends<'_>,
        count: i32,
        rulebooks: &mut Rulebooks,
        mut progress: impl FnMut(u64),
    ) -> Result<Self> {
        let topic = &config.topics.state;
        let mut evidence = Self::default();
        for partition in 0..count {
            let to = ends.written(topic, partition)?;
            ends.settle(topic, partition, to)?;
            let mut scan = Scan::open(config, topic, partition, ends.low(topic, partition)?, to)?;
            while let Some(record) = scan.next_record()? {
                progress(1);
                let key = record.key.as_deref().unwrap_or_default();
                let claim = record.value.as_deref().and_then(|value| Claim::read(key, value));
                if let Some(claim) = claim {
                    evidence.heads.insert(partition, (claim.next_sequence, claim.head));
                    evidence.key_fingerprints.extend(claim.key_fingerprints);
                } else if let Some(sequence) = Claim::loss(key) {
                    let last = evidence.losses.entry(partition).or_default();
                    *last = sequence.max(*last);
                } else if let Some((sha256, yaml)) = kept_in(&record) {
                    match rulebook::compile(yaml) {
                        Ok(rulebook) => rulebooks.add(rulebook),
                        Err(_) => rulebooks.add_uncompiled(sha256),
                    }
                }
            }
            evidence.records += scan.records;
        }
        Ok(evidence)
    }
}
