//! The topic `reader-acks`: what readers say that they have applied. Whoever may write it can say anything, so each
//! record is held to what the rulebook declares, to the end of the topic that it is about, and to the clock.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::progress;
use super::super::records::{each_record, find_partitions, partitions};
use crate::config::Config;
use crate::failure::Result;
use crate::kafka::scan::Ends;
use assent_contract::domain::ack::{AckKey, ReaderAck};
use assent_contract::domain::time::Timestamp;
use assent_contract::rulebook::Purpose;
use assent_contract::wire::decode_reader_ack;
use assent_report::readers::{Faulty, OfPurpose, Readers, trusted};
use assent_verify::Record;

/// Most faulty records that are named.
const NAMED_MAX: usize = 20;

/// The last word on each key that is declared: one entry a reader and partition.
pub struct Acks {
    last: BTreeMap<AckKey, Said>,
    faulty: Vec<Faulty>,
    faulty_count: u64,
    undeclared: u64,
}

/// What a record says; `None`: the key's acknowledgement was taken back, or can't be believed.
struct Said {
    /// Of `reader-acks`.
    place: (i32, i64),
    ack: Option<ReaderAck>,
}

/// Readers and the topics that they may speak of.
type Declared = BTreeSet<(String, String)>;

impl Acks {
    pub fn read(
        config: &Config,
        ends: &Ends<'_>,
        purposes: &[&Purpose],
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let topic = &config.topics.reader_acks;
        let mut acks =
            Self { last: BTreeMap::new(), faulty: Vec::new(), faulty_count: 0, undeclared: 0 };
        let Some(count) = find_partitions(config, topic)? else {
            notes.push(format!(
                "There is no topic {topic}, or this user may not see it: readers stand where their groups have \
                 committed."
            ));
            return Ok(acks);
        };
        let declared = declared(config, purposes);
        let bar = progress::bar(0, "acknowledgements");
        for partition in 0..count {
            let low = ends.low(topic, partition)?;
            let damaged = each_record(config, ends, (topic, partition), low, &bar, |record| {
                acks.see(partition, record, &declared);
                true
            })?;
            acks.faulty_count += damaged;
        }
        bar.finish_and_clear();
        acks.hold_to(config, ends, now)?;
        Ok(acks)
    }

    /// What is believed of it.
    pub fn of(&self, reader: &str, topic: &str, partition: i32) -> Option<ReaderAck> {
        let key = AckKey { reader: reader.to_owned(), topic: topic.to_owned(), partition };
        self.last.get(&key)?.ack
    }

    pub fn into_report(
        self,
        at: Timestamp,
        purposes: Vec<OfPurpose>,
        notes: Vec<String>,
    ) -> Readers {
        Readers {
            at,
            unreadable_acks: self.faulty,
            unreadable_acks_count: self.faulty_count,
            undeclared_acks_count: self.undeclared,
            purposes,
            notes,
        }
    }

    fn see(&mut self, partition: i32, record: &Record, declared: &Declared) {
        let place = (partition, record.offset);
        let Some(key) = AckKey::parse(record.key.as_deref().unwrap_or_default()) else {
            return self.fault(place, "a key that is not reader/topic/partition");
        };
        if !declared.contains(&(key.reader.clone(), key.topic.clone())) {
            self.undeclared += 1;
            return;
        }
        let said = record.value.as_deref().map(|value| decode_reader_ack(value, &record.known));
        if matches!(said, Some(Err(_))) {
            self.fault(place, "a value that is no ReaderAck");
        }
        self.take(key, place, said.and_then(std::result::Result::ok));
    }

    /// The last word counts. Of two partitions nobody knows which is: the one that says less.
    fn take(&mut self, key: AckKey, place: (i32, i64), ack: Option<ReaderAck>) {
        let ack = match self.last.get(&key) {
            Some(earlier) if earlier.place.0 != place.0 => {
                earlier.ack.zip(ack).map(|(a, b)| if a.offset < b.offset { a } else { b })
            }
            _ => ack,
        };
        self.last.insert(key, Said { place, ack });
    }

    /// The ends are asked for after all was read: a reader may have gone on in the meantime.
    fn hold_to(&mut self, config: &Config, ends: &Ends<'_>, now: Timestamp) -> Result<()> {
        let mut faults = Vec::new();
        let mut counts = BTreeMap::new();
        for (key, said) in &mut self.last {
            let count = match counts.get(&key.topic) {
                Some(count) => *count,
                None => *counts.entry(&key.topic).or_insert(partitions(config, &key.topic)?),
            };
            let Some(ack) = said.ack else { continue };
            let believed = if key.partition < count {
                trusted(ack, ends.written(&key.topic, key.partition)?, now)
            } else {
                Err("a partition that the topic does not have")
            };
            said.ack = believed.ok();
            faults.extend(believed.err().map(|why| (said.place, why)));
        }
        for (place, why) in faults {
            self.fault(place, why);
        }
        Ok(())
    }

    fn fault(&mut self, (partition, offset): (i32, i64), why: &'static str) {
        self.faulty_count += 1;
        if self.faulty.len() < NAMED_MAX {
            self.faulty.push(Faulty { partition, offset, why });
        }
    }
}

fn declared(config: &Config, purposes: &[&Purpose]) -> Declared {
    let of = |purpose: &&Purpose| {
        let topic = config.topics.segments_of(&purpose.id);
        let readers = purpose.readers.iter().map(|it| (it.id.clone(), topic.clone()));
        readers.collect::<Vec<_>>()
    };
    purposes.iter().flat_map(of).collect()
}
