//! Where every topic is read to, so that what was committed meanwhile is neither missed nor blamed.
//!
//! A transaction writes outputs, audit and state at once, and its markers reach the partitions one by
//! one. So each end is the high watermark, and everything below it is waited for. In this order:
//!
//! 1. state: what it says of the chain is at most as far as the audit that is read
//! 2. outputs (`named_to`): whatever lies there was committed before 3, so the audit names it
//! 3. audit: how far everything is judged
//! 4. outputs again (`to`): whatever the audit of 3 names lies there
//! 5. inputs: whatever the audit of 3 covers lies there

use std::collections::BTreeMap;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::admin::Cluster;
use crate::kafka::scan::Ends;
use assent_contract::domain::time::Timestamp;

/// A partition's part that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: i64,
    pub to: i64,
}

/// Of an output: what lies before `named_to` must be named by the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputRange {
    pub from: i64,
    pub named_to: i64,
    pub to: i64,
}

/// By partition.
type Ranges = BTreeMap<i32, Range>;
type OutputRanges = BTreeMap<i32, OutputRange>;

pub struct Cut {
    /// The wall clock at step 2.
    pub now: Timestamp,
    pub audit: Ranges,
    pub consent: Ranges,
    pub clicks: Ranges,
    pub dead_letters: OutputRanges,
    pub contextual: OutputRanges,
    /// By purpose; a topic of its own each.
    pub segments: BTreeMap<String, OutputRanges>,
}

/// How many partitions each topic has.
pub struct Counts {
    pub inputs: i32,
    pub dead_letters: i32,
    pub contextual: i32,
    /// By purpose: of every segment topic that there is, also of purposes that are gone.
    pub segments: BTreeMap<String, i32>,
}

impl Counts {
    /// `declared`: the configured rulebook's purposes, whose topics must be there.
    pub fn of(config: &Config, cluster: &Cluster, declared: &[String]) -> Result<Self> {
        let topics = &config.topics;
        let count = |topic: &str| {
            cluster.topics.get(topic).copied().ok_or_else(|| {
                Failure::config(format!(
                    "topic {topic} does not exist at {}, or this user may not describe it; use the \
                     same `topics` configuration as the running instance",
                    config.kafka.bootstrap_servers
                ))
            })
        };
        let inputs = count(&topics.clickstream)?;
        for topic in [&topics.consent, &topics.audit, &topics.state] {
            if count(topic)? != inputs {
                return Err(Failure::config(format!(
                    "topics {topic} and {} have different numbers of partitions, so they don't \
                     belong to the same installation; check `topics` in the configuration",
                    topics.clickstream
                )));
            }
        }
        for purpose in declared {
            count(&topics.segments_of(purpose))?;
        }
        let of_segments = |(name, count): (&String, &i32)| Some((topics.purpose_of(name)?, *count));
        Ok(Self {
            inputs,
            dead_letters: count(&topics.dead_letters)?,
            contextual: count(&topics.contextual)?,
            segments: cluster.topics.iter().filter_map(of_segments).collect(),
        })
    }
}

impl Cut {
    /// `partitions`: of the inputs. `since`: the audit from then on.
    pub fn take(
        config: &Config,
        ends: &Ends<'_>,
        counts: &Counts,
        partitions: &[i32],
        since: Option<Timestamp>,
    ) -> Result<Self> {
        let topics = &config.topics;
        let mut outputs: BTreeMap<String, OutputRanges> = BTreeMap::new();
        let segment_topics = counts.segments.iter().map(|(id, n)| (topics.segments_of(id), *n));
        let others = [
            (topics.dead_letters.clone(), counts.dead_letters),
            (topics.contextual.clone(), counts.contextual),
        ];
        for (topic, count) in segment_topics.chain(others) {
            outputs.insert(topic.clone(), named_to(ends, &topic, count)?);
        }
        let now = SystemClock.now();
        for (topic, ranges) in &outputs {
            for (&partition, range) in ranges {
                ends.settle(topic, partition, range.named_to)?;
            }
        }
        let audit = audit(ends, &topics.audit, partitions, since)?;
        for (topic, ranges) in &mut outputs {
            for (&partition, range) in ranges {
                range.to = ends.written(topic, partition)?;
                ends.settle(topic, partition, range.to)?;
            }
        }
        let mut of = |topic: &str| outputs.remove(topic).unwrap_or_default();
        let (dead_letters, contextual) = (of(&topics.dead_letters), of(&topics.contextual));
        let segments = counts.segments.keys();
        let segments = segments.map(|id| (id.clone(), of(&topics.segments_of(id)))).collect();
        let consent = inputs(ends, &topics.consent, partitions)?;
        let clicks = inputs(ends, &topics.clickstream, partitions)?;
        Ok(Self { now, audit, consent, clicks, dead_letters, contextual, segments })
    }

    /// Offsets that are read, some of them twice; for the progress bar.
    pub fn size(&self) -> u64 {
        let of = |ranges: &Ranges| ranges.values().map(|it| span(it.from, it.to)).sum::<u64>();
        let out =
            |ranges: &OutputRanges| ranges.values().map(|it| span(it.from, it.to)).sum::<u64>();
        let segments: u64 = self.segments.values().map(out).sum();
        let letters = out(&self.dead_letters) * self.audit.len() as u64;
        2 * of(&self.consent)
            + of(&self.audit)
            + of(&self.clicks)
            + segments
            + letters
            + out(&self.contextual)
    }
}

fn span(from: i64, to: i64) -> u64 {
    (to - from).max(0) as u64
}

fn named_to(ends: &Ends<'_>, topic: &str, count: i32) -> Result<OutputRanges> {
    let range = |partition| {
        let named_to = ends.written(topic, partition)?;
        let from = ends.low(topic, partition)?;
        Ok((partition, OutputRange { from, named_to, to: named_to }))
    };
    (0..count).map(range).collect()
}

fn audit(
    ends: &Ends<'_>,
    topic: &str,
    partitions: &[i32],
    since: Option<Timestamp>,
) -> Result<Ranges> {
    /// An idle partition's last batch is among the last of its records, markers included.
    const TAIL: i64 = 20;
    let mut ranges = Ranges::new();
    for &partition in partitions {
        let to = ends.written(topic, partition)?;
        ends.settle(topic, partition, to)?;
        let low = ends.low(topic, partition)?;
        let from = match since {
            None => low,
            Some(time) => {
                let first = ends.since(topic, partition, time)?.unwrap_or(to);
                first.min(to - TAIL).max(low)
            }
        };
        ranges.insert(partition, Range { from, to });
    }
    Ok(ranges)
}

fn inputs(ends: &Ends<'_>, topic: &str, partitions: &[i32]) -> Result<Ranges> {
    let range = |&partition: &i32| {
        let to = ends.committed(topic, partition)?;
        Ok((partition, Range { from: ends.low(topic, partition)?, to }))
    };
    partitions.iter().map(range).collect()
}
