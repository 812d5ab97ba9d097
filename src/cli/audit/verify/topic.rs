//! The chains of the audit topic: partition by partition, in the order of the offsets.

use std::collections::BTreeMap;

use assent_evidence::entry::partition_of;

use super::super::super::progress;
use super::Scope;
use super::against::Against;
use super::chain::ChainCheck;
use super::result::{Outcome, Place};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::probe::{Isolation, Probe};
use crate::kafka::read::partition_count;
use crate::kafka::scan::{Ends, Scan};
use crate::kafka::state_heads::{WHOLE, read_heads};
use assent_contract::domain::audit::chain::{body_hash, name};
use assent_contract::domain::audit::verify::{ChainVerifier, FaultKind, Link};
use assent_contract::domain::audit::{Outline, Sha256Hash};
use assent_contract::domain::foreign_text::shown;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::audit_outline;
use assent_contract::wire::framing::Framed;
use assent_core::engine::Claim;
use assent_verify::Record;

/// Chains of one partition; an installation has one, and one more for each group before it.
const CHAINS_MAX: usize = 1_000;

/// What the topic is meant to keep (docs/contract/topics.md), where the brokers don't say.
const KEPT: Span = Span(775 * Span::DAY.0);

/// What one partition holds that is read.
#[derive(Clone, Copy)]
struct Range {
    from: i64,
    to: i64,
}

type Heads = BTreeMap<i32, (i64, Sha256Hash)>;

pub fn verify(config: &Config, scope: &Scope<'_>, outcome: &mut Outcome) -> Result<()> {
    let topic = &config.topics.audit;
    let ends = Ends::new(config)?;
    let count = partition_count(&probe(config)?, config, topic)?;
    if let Some(wrong) = scope.partitions.iter().find(|it| !(0..count).contains(*it)) {
        return Err(Failure::new(
            Exit::Usage,
            format!("--partition {wrong}: topic {topic} has partitions 0 to {}", count - 1),
        ));
    }
    // First: so what it says of a chain is at most as far as what is read of it.
    let heads = heads(config, count, outcome);
    let mut ranges = BTreeMap::new();
    for partition in (0..count).filter(|partition| scope.has(*partition)) {
        let to = ends.written(topic, partition)?;
        ends.settle(topic, partition, to)?;
        ranges.insert(partition, Range { from: ends.low(topic, partition)?, to });
    }
    let kept_since = kept_since(config)?;
    let size = ranges.values().map(|range| (range.to - range.from).max(0) as u64).sum();
    let bar = progress::bar(size, "records");
    for (partition, range) in ranges {
        let mut chains = Partition::new(config, scope, partition, kept_since);
        chains.head = heads.get(&partition).copied();
        chains.read(range, &bar, outcome)?;
    }
    bar.finish_and_clear();
    Ok(())
}

fn probe(config: &Config) -> Result<Probe> {
    Probe::with(config, "verify", Isolation::Committed)
        .map_err(|error| Failure::config(format!("kafka.properties: {error}")))
}

/// What the state says of each chain: its next sequence, and the hash of its last batch. An auditor may have
/// no right to read it.
fn heads(config: &Config, count: i32, outcome: &mut Outcome) -> Heads {
    let topic = &config.topics.state;
    let read = read_heads(config, topic, count, WHOLE, &SystemClock);
    let claims = |(partition, value): (i32, Vec<u8>)| {
        let claim = Claim::read(b"meta", &value)?;
        Some((partition, (claim.next_sequence, claim.head)))
    };
    let heads: Heads = read.unwrap_or_default().of.into_iter().filter_map(claims).collect();
    if heads.is_empty() {
        outcome.notes.push(format!(
            "topic {topic} can't be read, or holds nothing: nothing names the hash of the last batch of \
             a chain, or says whether batches were removed after it"
        ));
    }
    heads
}

/// What was decided since is still in the topic.
fn kept_since(config: &Config) -> Result<Timestamp> {
    let topic = config.topics.audit.as_str();
    let settings = Admin::new(config)?.settings(&[topic])?;
    let kept = settings.get(topic).and_then(|it| it.get("retention.ms"));
    let kept: Option<i64> = kept.and_then(|text| text.parse().ok());
    Ok(match kept {
        Some(kept) if kept < 0 => Timestamp::MIN,
        kept => SystemClock.now() - kept.map_or(KEPT, Span),
    })
}

/// The chains of one partition.
struct Partition<'a> {
    config: &'a Config,
    scope: &'a Scope<'a>,
    number: i32,
    kept_since: Timestamp,
    head: Option<(i64, Sha256Hash)>,
    /// The chain of the configured group.
    own: String,
    from_start: bool,
    chains: BTreeMap<String, ChainCheck<'a>>,
}

impl<'a> Partition<'a> {
    fn new(config: &'a Config, scope: &'a Scope<'a>, number: i32, kept_since: Timestamp) -> Self {
        let own = name(&config.kafka.group_id, number);
        let (head, chains) = (None, BTreeMap::new());
        Self { config, scope, number, kept_since, head, own, from_start: false, chains }
    }

    fn read(
        mut self,
        range: Range,
        bar: &indicatif::ProgressBar,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let topic = &self.config.topics.audit;
        self.from_start = range.from == 0;
        let published = self.scope.log.into_iter().flat_map(|log| log.chains_of(self.number));
        let mut expected: Vec<String> = published.map(str::to_owned).collect();
        if self.head.is_some_and(|(next, _)| next > 0) {
            expected.push(self.own.clone());
        }
        for name in expected {
            self.chain(&name)?;
        }
        let mut scan = Scan::open(self.config, topic, self.number, range.from, range.to)?;
        let mut damaged = 0;
        loop {
            let record = scan.next_record()?;
            for &(first, last) in &scan.unreadable()[damaged..] {
                let detail = format!("offsets {first} to {last}: no client can read them");
                outcome.notes.push(format!("partition {}, {detail}", self.number));
                let own = self.own.clone();
                self.chain(&own)?.push_unreadable([0; 32], first, outcome);
            }
            damaged = scan.unreadable().len();
            let Some(record) = record else { break };
            bar.inc(1);
            self.take(&record, outcome)?;
        }
        let named = |offset: i64| format!("partition {}, offset {offset}", self.number);
        self.chains.into_values().try_for_each(|chain| chain.finish(&named, outcome))
    }

    fn take(&mut self, record: &Record, outcome: &mut Outcome) -> Result<()> {
        let value = record.value.as_deref().unwrap_or_default();
        let hash = Framed::split(value).body().map(body_hash);
        let outline = audit_outline(value, &record.known);
        let (Ok(outline), Some(hash)) = (outline, hash) else {
            let own = self.own.clone();
            let hash = hash.unwrap_or_default();
            self.chain(&own)?.push_unreadable(hash, record.offset, outcome);
            return Ok(());
        };
        let Outline { chain, sequence, previous, entries, .. } = outline;
        if partition_of(&chain) != Some(self.number) {
            let detail = format!(
                "partition {}, offset {}: it lies in a partition that is not its chain's",
                self.number, record.offset
            );
            let place = Place { offset: Some(record.offset), detail: &detail };
            outcome.fault(&shown(&chain), sequence, FaultKind::Forked, place);
            return Ok(());
        }
        if !self.chains.contains_key(&chain) && self.chains.len() >= CHAINS_MAX {
            outcome.leave_off(1);
            return Ok(());
        }
        let link = Link { sequence, previous, hash, offset: record.offset };
        self.chain(&chain)?.push(link, entries, outcome)
    }

    fn chain(&mut self, name: &str) -> Result<&mut ChainCheck<'a>> {
        if !self.chains.contains_key(name) {
            let mut verifier = ChainVerifier::new(self.head.filter(|_| name == self.own));
            if self.from_start {
                verifier.expect_first();
            }
            let against =
                self.scope.log.map(|log| Against::new(log.published(name)?, self.kept_since));
            let check = ChainCheck::new(name, verifier, against.transpose()?);
            self.chains.insert(name.to_owned(), check);
        }
        Ok(self.chains.get_mut(name).unwrap_or_else(|| unreachable!("it was put there")))
    }
}
