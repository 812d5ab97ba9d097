//! The two passes over a cluster: input partition by input partition, then segment partition by
//! segment partition. Memory holds one of them at a time.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use indicatif::ProgressBar;

use super::cut::{Counts, Cut};
use super::evidence::Evidence;
use super::report::Outcome;
use super::spill::Spill;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::admin::Admin;
use crate::kafka::scan::{Ends, Scan};
use assent_contract::domain::event::ClickFields;
use assent_contract::domain::outcome::InputKind;
use assent_contract::domain::pseudonym::{KeyHistory, Pseudonym};
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::{ClickReader, ConsentReader};
use assent_verify::{
    Findings, Horizon, Letters, Partition, Readers, Record, Row, Rulebooks, SegmentPartition,
    SegmentScope, Setup, UNPLACED, Unchecked, check_contextual, check_letter,
};

/// The bucket of rows whose pseudonym nobody can tell.
const NOWHERE: i32 = -1;

pub struct Passes<'a> {
    pub config: &'a Config,
    pub ends: &'a Ends<'a>,
    pub counts: &'a Counts,
    pub cut: &'a Cut,
    pub evidence: &'a Evidence,
    pub rulebooks: &'a Rulebooks,
    /// All that there are, sorted.
    pub purposes: &'a [String],
    pub keys: &'a KeyHistory,
    pub bar: &'a ProgressBar,
    /// Are all input partitions read?
    pub all: bool,
}

impl Passes<'_> {
    pub fn run(&self, scratch: &Path) -> Result<Outcome> {
        let mut outcome = Outcome { checked: BTreeMap::new(), findings: Findings::default() };
        outcome.checked.insert(self.config.topics.state.clone(), self.evidence.records);
        let mut spill = Spill::create(scratch)?;
        let mut horizons = BTreeMap::new();
        for &partition in self.cut.audit.keys() {
            let horizon = self.input_partition(partition, &mut spill, &mut outcome)?;
            horizons.insert(partition, horizon);
        }
        spill.flush()?;
        self.segments(&spill, &horizons, &mut outcome)?;
        self.contextual(&mut outcome)?;
        self.letters(&mut outcome)?;
        Ok(outcome)
    }

    fn input_partition(
        &self,
        number: i32,
        spill: &mut Spill,
        outcome: &mut Outcome,
    ) -> Result<Horizon> {
        let (config, topics) = (self.config, &self.config.topics);
        let partitioner = config.kafka.partitioner;
        let readers = Readers {
            clicks: ClickReader::new(ClickFields::default(), partitioner, self.counts.inputs),
            consent: ConsentReader::new(partitioner, self.counts.inputs),
        };
        let setup = Setup {
            clickstream: &topics.clickstream,
            consent: &topics.consent,
            audit: &topics.audit,
            dead_letters: &topics.dead_letters,
            group_id: &config.kafka.group_id,
            purposes: self.purposes,
            rulebooks: self.rulebooks,
            keys: self.keys,
            readers: &readers,
        };
        let letters = self.letters_of(number)?;
        let head = self.evidence.heads.get(&number).copied();
        let loss = self.evidence.losses.get(&number).copied();
        let mut partition = Partition::new(&setup, number, letters, head, loss);
        if self.cut.audit[&number].from == 0 {
            partition.audit_from_start();
        }
        let mut sink = |purpose: usize, pseudonym: Pseudonym, row: Row| {
            if let Some(bucket) = self.bucket(purpose, pseudonym) {
                spill.put(bucket, pseudonym, row);
            }
        };
        self.register(&mut partition, number)?;
        self.follow_audit(&mut partition, number, &mut sink, outcome)?;
        let first_click = self.ends.low(&topics.clickstream, number)?;
        Ok(partition.finish(first_click, &mut sink, &mut outcome.findings))
    }

    /// Where the rows of a pseudonym go: those that nobody can place have a bucket of their own. `None`: there is no topic for the purpose.
    fn bucket(&self, purpose: usize, pseudonym: Pseudonym) -> Option<(usize, i32)> {
        let count = *self.counts.segments.get(&self.purposes[purpose])?;
        if pseudonym == UNPLACED {
            return Some((purpose, NOWHERE));
        }
        let partitioner = self.config.kafka.partitioner;
        Some((purpose, partitioner.partition(pseudonym.text().as_bytes(), count)))
    }

    fn letters_of(&self, number: i32) -> Result<Letters> {
        let topics = &self.config.topics;
        let mut letters = Letters::of(&topics.clickstream, &topics.consent, number);
        for (&partition, range) in &self.cut.dead_letters {
            let mut scan =
                Scan::open(self.config, &topics.dead_letters, partition, range.from, range.to)?;
            let mut first = None;
            while let Some(record) = scan.next_record()? {
                self.bar.inc(1);
                first = first.or(Some(record.timestamp));
                letters.take(partition, &record, record.offset >= range.named_to);
            }
            if range.from > 0 {
                let from = first.unwrap_or(Timestamp::MAX);
                letters.complete_from = letters.complete_from.max(from);
            }
        }
        Ok(letters)
    }

    fn register(&self, partition: &mut Partition<'_>, number: i32) -> Result<()> {
        let range = self.cut.consent[&number];
        let topic = &self.config.topics.consent;
        let mut scan = Scan::open(self.config, topic, number, range.from, range.to)?;
        while let Some(record) = scan.next_record()? {
            self.bar.inc(1);
            partition.register(&record);
        }
        Ok(())
    }

    /// Batch by batch, with the inputs that each covers.
    fn follow_audit(
        &self,
        partition: &mut Partition<'_>,
        number: i32,
        sink: &mut dyn FnMut(usize, Pseudonym, Row),
        outcome: &mut Outcome,
    ) -> Result<()> {
        let (config, topics) = (self.config, &self.config.topics);
        let (consents, clicks) = (self.cut.consent[&number], self.cut.clicks[&number]);
        let range = self.cut.audit[&number];
        let mut audit = Scan::open(config, &topics.audit, number, range.from, range.to)?;
        let mut consent = Scan::open(config, &topics.consent, number, consents.from, consents.to)?;
        let mut click: Option<Scan> = None;
        while let Some(record) = audit.next_record()? {
            self.bar.inc(1);
            let Some(batch) = partition.open(&record, &mut outcome.findings) else { continue };
            self.check_key_version(batch.key_version)?;
            if partition.is_before_loss(&batch) {
                partition.unjudged(record.offset, &batch, sink, &mut outcome.findings);
                continue;
            }
            let click = if let Some(click) = &mut click {
                click
            } else {
                let from = clicks.from.max(batch.click_from);
                self.bar.inc((from - clicks.from).max(0) as u64);
                let topic = &topics.clickstream;
                click.insert(Scan::open(config, topic, number, from, clicks.to)?)
            };
            let findings = &mut outcome.findings;
            partition.begin(record.offset, &batch, findings);
            while let Some(record) = consent.next_below(batch.consent_from)? {
                self.bar.inc(1);
                partition.uncovered(InputKind::Consent, record, &batch, findings);
            }
            while let Some(record) = click.next_below(batch.click_from)? {
                self.bar.inc(1);
                partition.uncovered(InputKind::Click, record, &batch, findings);
            }
            let consents = self.below(&mut consent, batch.consent_to)?;
            let clicks = self.below(click, batch.click_to)?;
            partition.set_unreadable(click.unreadable());
            partition.batch(record.offset, &batch, consents, clicks, sink, findings);
        }
        let mut waiting = click.as_mut().map_or(0, |scan| (clicks.to - scan.at()).max(0) as u64);
        while consent.next_below(consents.to)?.is_some() {
            self.bar.inc(1);
            waiting += 1;
        }
        outcome.findings.unchecked(Unchecked::NotDecided, waiting);
        let mut note = |topic: &str, records: u64| {
            *outcome.checked.entry(topic.to_owned()).or_default() += records;
        };
        note(&topics.audit, audit.records);
        note(&topics.consent, consent.records);
        note(&topics.clickstream, click.map_or(0, |scan| scan.records));
        Ok(())
    }

    fn below(&self, scan: &mut Scan, offset: i64) -> Result<VecDeque<Record>> {
        let records = scan.take_below(offset)?;
        self.bar.inc(records.len() as u64);
        Ok(records)
    }

    fn check_key_version(&self, version: u8) -> Result<()> {
        match self.keys.status(version) {
            Some(_) => Ok(()),
            None => Err(Failure::config(format!(
                "keyset {}: key version {version} is missing, but decisions were made with it; use \
                 the keyset of the running instance",
                self.config.keyset.display()
            ))),
        }
    }

    fn segments(
        &self,
        spill: &Spill,
        horizons: &BTreeMap<i32, Horizon>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        for (purpose, ranges) in &self.cut.segments {
            let Ok(index) = self.purposes.binary_search(purpose) else { continue };
            let topic = self.config.topics.segments_of(purpose);
            let tombstones_kept = self.tombstones_kept(&topic)?;
            for (&number, range) in ranges {
                let mut partition = SegmentPartition::new(SegmentScope {
                    topic: &topic,
                    partition: number,
                    purpose,
                    audit: &self.config.topics.audit,
                    rulebooks: self.rulebooks,
                    keys: self.keys,
                    horizons,
                    all: self.all,
                    named_to: range.named_to,
                    now: self.cut.now,
                    tombstones_kept,
                });
                let mut scan = Scan::open(self.config, &topic, number, range.from, range.to)?;
                while let Some(record) = scan.next_record()? {
                    self.bar.inc(1);
                    partition.record(&record, &mut outcome.findings);
                }
                spill.rows((index, number), |pseudonym, row| {
                    partition.row(pseudonym, row, &mut outcome.findings);
                })?;
                partition.unplaced(|each| spill.rows((index, NOWHERE), |_, row| each(row)))?;
                partition.finish(&mut outcome.findings);
                *outcome.checked.entry(topic.clone()).or_default() += scan.records;
            }
        }
        Ok(())
    }

    /// The topic's delete.retention.ms; 30 days, the contract's least, where it may not be asked for.
    fn tombstones_kept(&self, topic: &str) -> Result<Span> {
        let settings = Admin::new(self.config)?.settings(&[topic])?;
        let setting = settings.get(topic).and_then(|it| it.get("delete.retention.ms"));
        let span = setting.and_then(|text| text.parse().ok()).map(Span);
        Ok(span.unwrap_or(Span(30 * Span::DAY.0)))
    }

    fn contextual(&self, outcome: &mut Outcome) -> Result<()> {
        let topic = &self.config.topics.contextual;
        for (&partition, range) in &self.cut.contextual {
            let mut scan = Scan::open(self.config, topic, partition, range.from, range.to)?;
            while let Some(record) = scan.next_record()? {
                self.bar.inc(1);
                let place = (topic.as_str(), partition);
                check_contextual(&record, place, self.rulebooks, &mut outcome.findings);
            }
            *outcome.checked.entry(topic.clone()).or_default() += scan.records;
        }
        Ok(())
    }

    fn letters(&self, outcome: &mut Outcome) -> Result<()> {
        let topics = &self.config.topics;
        let topic = &topics.dead_letters;
        let inputs = [topics.clickstream.as_str(), topics.consent.as_str()];
        for (&partition, range) in &self.cut.dead_letters {
            let mut scan = Scan::open(self.config, topic, partition, range.from, range.to)?;
            while let Some(record) = scan.next_record()? {
                let place = (topic.as_str(), partition);
                check_letter(&record, place, &inputs, &mut outcome.findings);
            }
            *outcome.checked.entry(topic.clone()).or_default() += scan.records;
        }
        Ok(())
    }
}
