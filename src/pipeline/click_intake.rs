//! Takes clicks off the consumer: in a worker's turn, and while its commit is on its way to the broker.
//!
//! What is taken in then is behind everything that the batch at hand covers, so whether that commits
//! or is undone, it is the next batch's (INV-5).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::receive::{Ended, size, timestamp};
use crate::clock::Clock;
use crate::kafka::consumer::{ClickConsumer, Polled};
use crate::task::Task;
use crate::task::clicks::ReceivedClick;
use rdkafka::message::Message;

/// Clicks held back take at most this a worker (docs/contract/batch.md#when-it-commits).
const CLICKS_HELD_MAX: usize = 64 * 1024 * 1024;

/// Clicks taken before something else has its turn.
const BURST: usize = 2_000;

/// While memory is full, one poll in this long still serves what the group decides, which queues
/// behind the clicks: at 1 MiB each, the largest a broker takes by default, 10 MiB/s beyond.
const TRICKLE: Duration = Duration::from_millis(100);

/// What the clicks of one partition that wait may take, of so many partitions, and what one burst takes
/// at most: so those that wait leave half of the memory to the others.
pub fn share(partitions: usize) -> usize {
    CLICKS_HELD_MAX / (2 * partitions.max(1))
}

/// The parts of a worker that clicks go through.
pub struct ClickIntake<'a> {
    pub clock: &'a dyn Clock,
    pub clicks: &'a ClickConsumer,
    pub tasks: &'a mut BTreeMap<i32, Task>,
    /// Clicks are polled one at a time until then: memory is full.
    pub trickle_until: &'a mut Instant,
}

impl ClickIntake<'_> {
    /// Takes a burst of what has arrived.
    pub fn receive(&mut self) -> (usize, Ended) {
        let (room, mut bytes_left) = self.room();
        for taken in 0..room {
            if bytes_left == 0 {
                return (taken, Ended::Full);
            }
            match self.clicks.poll() {
                Polled::Message(message) => {
                    bytes_left = bytes_left.saturating_sub(size(&message));
                    if let Some(task) = self.tasks.get_mut(&message.partition()) {
                        task.receive_click(&ReceivedClick {
                            offset: message.offset(),
                            timestamp: timestamp(&message),
                            key: message.key(),
                            payload: message.payload(),
                        });
                    }
                }
                Polled::Nothing => return (taken, Ended::Drained),
                Polled::OutOfRange => return (taken, Ended::OutOfRange),
                Polled::Fatal(error) => {
                    tracing::error!(%error, "the group no longer knows this member");
                    return (taken, Ended::Gone);
                }
            }
        }
        (room, Ended::Full)
    }

    /// How many clicks may be taken, and after how many bytes of them no more.
    fn room(&mut self) -> (usize, usize) {
        let held: usize = self.tasks.values().map(|task| task.clicks.size()).sum();
        if held < CLICKS_HELD_MAX {
            return (BURST, share(self.tasks.len()).min(CLICKS_HELD_MAX - held));
        }
        let now = self.clock.instant();
        if now < *self.trickle_until {
            return (0, 0);
        }
        *self.trickle_until = now + TRICKLE;
        (1, 1)
    }
}
