//! What the two inputs still hold of one subject.

use std::collections::BTreeMap;

use indicatif::ProgressBar;

use crate::config::Config;
use crate::failure::Result;
use crate::kafka::scan::{Ends, Scan};
use assent_contract::domain::event::ClickFields;
use assent_contract::domain::time::Timestamp;
use assent_contract::wire::{ClickReader, ConsentReader, ConsentReading};
use assent_inquiry::follow::Inputs;
use assent_inquiry::story::Told;
use assent_verify::Readers;

/// Clicks that lie closer together are read by one reader.
const NEAR: i64 = 10_000;

/// The readers of both, as the pipeline reads them.
pub fn readers(config: &Config, partitions: usize) -> Readers {
    let partitioner = config.kafka.partitioner;
    Readers {
        clicks: ClickReader::new(ClickFields::default(), partitioner, partitions as i32),
        consent: ConsentReader::new(partitioner, partitions as i32),
    }
}

/// A record of the changelog. Holds raw identifiers: never log it (no `Debug`).
pub struct ConsentAt {
    pub offset: i64,
    pub append_time: Timestamp,
    pub key: Vec<u8>,
    pub reading: ConsentReading,
}

impl ConsentAt {
    pub fn told(&self) -> Told<'_> {
        let append_time = self.append_time;
        match &self.reading {
            ConsentReading::Record(record) => Told::Record { record, append_time },
            ConsentReading::Erasure => Told::Erasure { append_time },
            _ => Told::Undecodable,
        }
    }

    /// Is it about a subject at all?
    fn is_somebodys(&self) -> bool {
        matches!(
            self.reading,
            ConsentReading::Record(_)
                | ConsentReading::Erasure
                | ConsentReading::Unreadable(_)
                | ConsentReading::Waits(_)
        )
    }
}

/// The changelog's records in one partition whose key is wanted, in the order of the offsets.
pub fn consent_of(
    config: &Config,
    ends: &Ends<'_>,
    readers: &Readers,
    partition: i32,
    bar: &ProgressBar,
    is_wanted: impl FnMut(&[u8]) -> bool,
) -> Result<Vec<ConsentAt>> {
    let mut all = Vec::new();
    each_consent(config, ends, readers, partition, bar, is_wanted, |at| all.push(at))?;
    Ok(all)
}

/// Hands over the same, one by one.
pub fn each_consent(
    config: &Config,
    ends: &Ends<'_>,
    readers: &Readers,
    partition: i32,
    bar: &ProgressBar,
    mut is_wanted: impl FnMut(&[u8]) -> bool,
    mut each: impl FnMut(ConsentAt),
) -> Result<()> {
    let topic = &config.topics.consent;
    let (low, to) = (ends.low(topic, partition)?, ends.committed(topic, partition)?);
    let mut scan = Scan::open(config, topic, partition, low, to)?;
    bar.inc_length((to - low).max(0) as u64);
    while let Some(record) = scan.next_record()? {
        bar.inc(1);
        let Some(key) = record.key.as_deref().filter(|key| is_wanted(key)) else { continue };
        let reading = readers.read_consent(partition, &record, &record.known);
        let (offset, append_time) = (record.offset, record.timestamp);
        let at = ConsentAt { offset, append_time, key: key.to_vec(), reading };
        if at.is_somebodys() {
            each(at);
        }
    }
    Ok(())
}

/// A click that is still there.
pub struct ClickAt {
    pub subject_id: Option<String>,
    pub occurred_at: Timestamp,
    /// It says that sale or sharing is opted out.
    pub has_signal: bool,
}

/// The clicks at these offsets that are still there and can be read, by offset.
pub fn clicks_at(
    config: &Config,
    ends: &Ends<'_>,
    readers: &Readers,
    partition: i32,
    offsets: &[i64],
) -> Result<BTreeMap<i64, ClickAt>> {
    let topic = &config.topics.clickstream;
    let (low, to) = (ends.low(topic, partition)?, ends.committed(topic, partition)?);
    let mut wanted: Vec<i64> =
        offsets.iter().copied().filter(|at| (low..to).contains(at)).collect();
    wanted.sort_unstable();
    let mut found = BTreeMap::new();
    for near in wanted.chunk_by(|a, b| b - a < NEAR) {
        let (Some(&first), Some(&last)) = (near.first(), near.last()) else { continue };
        let mut scan = Scan::open(config, topic, partition, first, last + 1)?;
        while let Some(record) = scan.next_record()? {
            if near.binary_search(&record.offset).is_err() {
                continue;
            }
            if let Ok(click) = readers.read_click(partition, &record, &record.known) {
                found.insert(
                    record.offset,
                    ClickAt {
                        subject_id: click.subject_id.map(str::to_owned),
                        occurred_at: click.occurred_at,
                        has_signal: click.opt_out_signal.is_some(),
                    },
                );
            }
        }
    }
    Ok(found)
}

/// The same as the answer needs it.
pub fn inputs<'a>(
    consent: &'a [ConsentAt],
    clicks: &BTreeMap<i64, ClickAt>,
    clicks_from: i64,
) -> Inputs<'a> {
    let signals = clicks.iter().filter(|(_, click)| click.has_signal);
    Inputs {
        consent: consent.iter().map(|it| (it.offset, it.told())).collect(),
        signals: signals.map(|(offset, click)| (*offset, click.occurred_at)).collect(),
        clicks_from,
    }
}
