//! What of a topic of Assent's own no client can read: found out by a client made for the question, while the
//! reader that met it waits. It is passed over, and whoever reads has to ask whether it counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consumer::Follower;
use super::examine::{Examination, Place, Verdict};
use super::restore::Interrupted;
use crate::config::Config;
use crate::pace;
use assent_core::engine::loss::{Range, Unreadable};

/// Between two looks at whether an examination came back.
const PAUSE: Duration = Duration::from_millis(10);

/// A reader of some partitions of a topic, and what it could not read of them.
pub struct Passing<'a> {
    config: &'a Arc<Config>,
    role: &'static str,
    follower: Follower,
    /// Where each partition's reading begins, or goes on behind what can't be read.
    from: BTreeMap<i32, i64>,
    found: BTreeMap<i32, Vec<Unreadable>>,
}

impl<'a> Passing<'a> {
    pub fn new(
        config: &'a Arc<Config>,
        role: &'static str,
        topic: &str,
        from: BTreeMap<i32, i64>,
    ) -> Result<Self, Interrupted> {
        let follower = Follower::new(config, role, topic)?;
        follower.fetch_from(&from)?;
        Ok(Self { config, role, follower, from, found: BTreeMap::new() })
    }

    pub fn follower(&self) -> &Follower {
        &self.follower
    }

    /// The next offset of each partition.
    pub fn positions(&self) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let mut positions = self.from.clone();
        for (partition, at) in self.follower.positions()? {
            let known = positions.entry(partition).or_insert(at);
            *known = at.max(*known);
        }
        Ok(positions)
    }

    /// The client said that it can't read what comes next of a partition. Goes on behind it, or, where it
    /// can be read after all, there once more.
    pub fn pass(
        &mut self,
        partition: i32,
        wanted: &mut impl FnMut() -> bool,
    ) -> Result<(), Interrupted> {
        let mut from = self.positions()?;
        let offset = from.get(&partition).copied().unwrap_or_default();
        let place = Place { topic: self.follower.topic().to_owned(), partition, offset };
        if let Some(unreadable) = examined(self.config, place, wanted)? {
            from.insert(partition, unreadable.range.end);
            self.found.entry(partition).or_default().push(unreadable);
        }
        // Another client: this one may hold what it took for records.
        self.follower = Follower::new(self.config, self.role, self.follower.topic())?;
        self.follower.fetch_from(&from)?;
        self.from = from;
        Ok(())
    }

    /// By partition, in the order of the offsets.
    pub fn into_found(self) -> BTreeMap<i32, Vec<Unreadable>> {
        self.found
    }
}

/// `None`: it can be read after all.
fn examined(
    config: &Arc<Config>,
    place: Place,
    wanted: &mut impl FnMut() -> bool,
) -> Result<Option<Unreadable>, Interrupted> {
    let Place { topic, partition, offset } = place.clone();
    let examination = Examination::begin(config, place);
    loop {
        if !wanted() {
            return Err(Interrupted::Unwanted);
        }
        match examination.verdict() {
            None => std::thread::sleep(PAUSE),
            Some(Verdict::Readable { .. }) => return Ok(None),
            Some(Verdict::Unreadable { last, reason }) => {
                let range = Range { start: offset, end: last + 1 };
                return Ok(Some(Unreadable { range, reason }));
            }
            Some(Verdict::Unclear(why)) => {
                if let Some(repeated) = pace::may_say("unclear") {
                    tracing::warn!(
                        topic,
                        partition,
                        offset,
                        why,
                        repeated,
                        "can't tell what lies there"
                    );
                }
                let code = RDKafkaErrorCode::OperationTimedOut;
                return Err(Interrupted::Again(KafkaError::MessageConsumption(code)));
            }
        }
    }
}
