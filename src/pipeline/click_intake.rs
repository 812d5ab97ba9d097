//! Takes clicks off the consumer: in a worker's turn, and while its commit is on its way to the broker.
//!
//! What is taken in then is behind everything that the batch at hand covers, so whether that commits
//! or is undone, it is the next batch's (INV-5).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::bounded::{Fit, HELD_MAX, Room, outsized, size};
use super::receive::{Ended, timestamp};
use crate::clock::Clock;
use crate::engine::input::DeadClicks;
use crate::engine::output::InputTopic;
use crate::kafka::consumer::{ClickConsumer, Polled};
use crate::kafka::events::Received;
use crate::task::Task;
use crate::task::clicks::ReceivedClick;

/// Clicks taken before something else has its turn.
const BURST: usize = 2_000;

/// While memory is full, one poll in this long still serves what the group decides, which queues
/// behind the clicks: at 1 MiB each, the largest a broker takes by default, 10 MiB/s beyond.
const TRICKLE: Duration = Duration::from_millis(100);

/// What the clicks of one partition that wait may take, of so many partitions, and what one burst takes
/// at most: so those that wait leave half of the memory to the others.
pub fn share(partitions: usize) -> usize {
    HELD_MAX / (2 * partitions.max(1))
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
        let (most, mut room) = self.room();
        for taken in 0..most {
            if room.is_over() {
                return (taken, Ended::Full);
            }
            match self.clicks.poll() {
                Polled::Message(message) => {
                    if !self.take(message, &mut room) {
                        return (taken, Ended::Full);
                    }
                }
                Polled::Nothing => return (taken, Ended::Drained),
                Polled::Unreadable { partition, error } => {
                    if let Some(task) = self.tasks.get_mut(&partition) {
                        task.note_fault(InputTopic::Clickstream, &error.reason);
                    }
                }
                Polled::OutOfRange { partition } if self.has_fault(partition) => {}
                Polled::OutOfRange { .. } => return (taken, Ended::OutOfRange),
                Polled::Fatal(error) => {
                    tracing::error!(%error, "the group no longer knows this member");
                    return (taken, Ended::Gone);
                }
            }
        }
        (most, Ended::Full)
    }

    /// False: there is no room for it, and it comes again.
    fn take(&mut self, message: Received<'_>, room: &mut Room) -> bool {
        let Some(task) = self.tasks.get_mut(&message.partition()) else { return true };
        let offset = message.offset();
        match room.fit(size(&message)) {
            Fit::Taken => task.receive_click(&ReceivedClick {
                offset,
                timestamp: timestamp(&message),
                key: message.key(),
                payload: message.payload(),
                dead: None,
            }),
            Fit::Outsized if task.fault(InputTopic::Clickstream).is_none() => {
                let rejection = outsized(&message);
                let (first, last) = (offset, offset);
                task.receive_dead(&DeadClicks { first, last, is_batch: false, rejection });
            }
            Fit::Outsized => {}
            Fit::Waits => {
                self.clicks.put_back(message);
                return false;
            }
        }
        true
    }

    fn has_fault(&self, partition: Option<i32>) -> bool {
        let task = partition.and_then(|partition| self.tasks.get(&partition));
        task.is_some_and(|task| task.fault(InputTopic::Clickstream).is_some())
    }

    /// How many clicks may be taken, and room for them.
    fn room(&mut self) -> (usize, Room) {
        let held: usize = self.tasks.values().map(|task| task.clicks.size()).sum();
        if held < HELD_MAX {
            return (BURST, Room::of(held, share(self.tasks.len())));
        }
        let now = self.clock.instant();
        if now < *self.trickle_until {
            return (0, Room::of(held, 0));
        }
        *self.trickle_until = now + TRICKLE;
        (1, Room::trickle(held))
    }
}
