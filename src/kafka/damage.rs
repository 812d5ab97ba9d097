//! What of a topic of Assent's own no client can read: found out by a client made for the question, while the
//! reader that met it waits. It is passed over, and whoever reads has to ask whether it counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::bounded_read::{BoundedRead, PAUSE, Step};
use super::consumer::Follower;
use super::events::Received;
use super::examine::{Examination, Place, Verdict};
use crate::config::Config;
use crate::pace;
use assent_core::engine::loss::{Range, Unreadable};

/// Between two looks at whether an examination came back.
const LOOK: Duration = Duration::from_millis(10);

/// Records between two looks at what the caller wants.
const BURST: usize = 1_000;

/// Why a read did not come to its end.
#[derive(Debug)]
pub enum Interrupted {
    /// The caller no longer wants it.
    Unwanted,
    /// A broker did not answer, or the log moved under the reader: to be tried again.
    Again(KafkaError),
}

impl From<KafkaError> for Interrupted {
    fn from(error: KafkaError) -> Self {
        Self::Again(error)
    }
}

impl From<RDKafkaErrorCode> for Interrupted {
    fn from(code: RDKafkaErrorCode) -> Self {
        Self::Again(KafkaError::MessageConsumption(code))
    }
}

/// A read to an end that was asked for before, which passes over what can't be read.
pub struct TolerantRead<'a> {
    config: &'a Arc<Config>,
    role: &'static str,
    reading: BoundedRead,
    found: BTreeMap<i32, Vec<Unreadable>>,
}

impl<'a> TolerantRead<'a> {
    /// Partition, first offset, and one past the last.
    pub fn begin(
        config: &'a Arc<Config>,
        role: &'static str,
        topic: &str,
        ranges: impl IntoIterator<Item = (i32, i64, i64)>,
    ) -> Result<Self, Interrupted> {
        let follower = Follower::new(config, role, topic)?;
        let reading = BoundedRead::begin(follower, ranges)?;
        Ok(Self { config, role, reading, found: BTreeMap::new() })
    }

    /// Hands every record to `take`, in the order of the offsets of each partition. `wanted` is asked between
    /// bursts. Returns what nobody can read, by partition, in the order of the offsets.
    pub fn read(
        mut self,
        mut take: impl FnMut(&Received<'_>),
        wanted: &mut impl FnMut() -> bool,
    ) -> Result<BTreeMap<i32, Vec<Unreadable>>, Interrupted> {
        loop {
            if !wanted() {
                return Err(Interrupted::Unwanted);
            }
            for _ in 0..BURST {
                match self.reading.step(&mut take)? {
                    Step::Record(()) => {}
                    Step::Nothing => {
                        std::thread::sleep(PAUSE);
                        break;
                    }
                    Step::Over => return Ok(self.found),
                    Step::Stalled => return Err(RDKafkaErrorCode::OperationTimedOut.into()),
                    Step::Unreadable { partition, .. } => {
                        self.pass(partition, wanted)?;
                        break;
                    }
                    Step::OutOfRange { .. } => return Err(RDKafkaErrorCode::AutoOffsetReset.into()),
                    Step::Fatal(error) => return Err(Interrupted::Again(error)),
                }
            }
        }
    }

    /// The client said that it can't read what comes next of a partition. Goes on behind it, or, where it
    /// can be read after all, there once more.
    fn pass(
        &mut self,
        partition: i32,
        wanted: &mut impl FnMut() -> bool,
    ) -> Result<(), Interrupted> {
        let mut next = self.reading.last_position(partition)?;
        let topic = self.reading.topic().to_owned();
        let follower = Follower::new(self.config, self.role, &topic)?;
        if let Some(unreadable) =
            examined(self.config, Place { topic, partition, offset: next }, wanted)?
        {
            next = unreadable.range.end;
            self.found.entry(partition).or_default().push(unreadable);
        }
        self.reading.go_on_with(follower, partition, next)?;
        Ok(())
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
            None => std::thread::sleep(LOOK),
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
                return Err(RDKafkaErrorCode::OperationTimedOut.into());
            }
        }
    }
}
