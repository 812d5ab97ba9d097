//! What every partition of a process decides under: rulebook, keys, and the shape of the topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_contract::domain::partitioner::Partitioner;
use assent_contract::domain::pseudonym::KeyRing;
use assent_contract::domain::time::Span;
use assent_contract::rulebook::Rulebook;

/// What every partition of a process decides under.
pub struct Setup {
    pub rulebook: Arc<Rulebook>,
    /// The rulebook file's bytes: kept in the state as evidence.
    pub rulebook_yaml: Arc<[u8]>,
    pub keys: Arc<KeyRing>,
    pub group_id: String,
    pub lease: Span,
    pub partitioner: Partitioner,
    /// How many partitions the clickstream and the consent changelog have: says where a subject lies.
    pub input_partitions: i32,
    /// Partition counts of segments.*, by purpose.
    pub segment_partitions: BTreeMap<String, i32>,
    /// The configured consent sources, whose last signs are kept.
    pub sources: Vec<String>,
    /// What must stay as it is while the state lives, by configuration key: topics and group.
    pub made_with: BTreeMap<String, String>,
    /// The most subjects that have only a signal; beyond that the oldest are dropped. Applied at the end
    /// of a batch, so it decides nothing by itself: the state records what was dropped.
    pub signals_max: usize,
}

impl Setup {
    /// What stands in the state for a purpose that no rulebook declares (INV-6).
    pub fn undeclared_token(&self, purpose: &str) -> u128 {
        self.keys.state_token(format!("purpose|{purpose}").as_bytes())
    }

    /// The same with other keys, prepared for the same purposes.
    #[must_use]
    pub fn with_keys(&self, keys: Arc<KeyRing>) -> Self {
        Self {
            keys,
            rulebook: Arc::clone(&self.rulebook),
            rulebook_yaml: Arc::clone(&self.rulebook_yaml),
            group_id: self.group_id.clone(),
            lease: self.lease,
            partitioner: self.partitioner,
            input_partitions: self.input_partitions,
            segment_partitions: self.segment_partitions.clone(),
            sources: self.sources.clone(),
            made_with: self.made_with.clone(),
            signals_max: self.signals_max,
        }
    }
}
