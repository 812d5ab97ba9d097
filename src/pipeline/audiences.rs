//! What the partitions of the group say of their audiences (docs/contract/rulebook.md#minimum-audience): read
//! from the end of every partition of the state topic, where a transaction leaves it, and handed to the workers.
//!
//! Only where a purpose has a minimum audience. While nobody answers, what was read last grows old, and the
//! engine opens nothing by it: silence is not taken for a count.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult};

use super::shared::Shared;
use crate::kafka::bounded_read::{Bounds, PAUSE};
use crate::kafka::consumer::{Follower, Polled};
use crate::kafka::probe::{Isolation, Probe};
use crate::pace;
use assent_core::engine::audience::{Heard, Said};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether the service stops.
const NAP: Duration = Duration::from_millis(100);

const ASKED_FOR: Duration = Duration::from_secs(5);
const READ_WITHIN: Duration = Duration::from_secs(10);

/// How many offsets are looked at, from a partition's end: a transaction ends with the record that is looked
/// for, the partition's own, and a marker. Behind aborted ones it lies deeper.
const STEPS: [i64; 4] = [4, 32, 512, 8_192];

/// Does any purpose of the rulebook have a minimum audience?
pub fn are_asked_for(shared: &Shared) -> bool {
    shared.setup().rulebook.purposes.iter().any(|purpose| purpose.min_members.is_some())
}

/// Looks until the service stops.
pub fn run(shared: &Shared) {
    let mut listener = None;
    while !shared.is_stopping() {
        if let Err(why) = listen(&mut listener, shared) {
            listener = None;
            if let Some(repeated) = pace::may_say("audiences") {
                tracing::warn!(
                    error = why,
                    repeated,
                    "can't read what other partitions count; no segment with a minimum audience \
                     opens, and after an hour those that were open close; check that the brokers run"
                );
            }
        }
        nap(shared);
    }
}

fn listen(listener: &mut Option<Listener>, shared: &Shared) -> Result<(), String> {
    let in_words = |error: KafkaError| error.to_string();
    if listener.is_none() {
        *listener = Some(Listener::new(shared).map_err(in_words)?);
    }
    let Some(listener) = listener else { return Ok(()) };
    let as_of = shared.clock.now();
    let said = listener.look(shared)?;
    shared.audiences.tell(Heard { as_of, said });
    Ok(())
}

fn nap(shared: &Shared) {
    let mut left = LOOK_EVERY;
    while !left.is_zero() && !shared.is_stopping() {
        std::thread::sleep(NAP);
        left = left.saturating_sub(NAP);
    }
}

struct Listener {
    probe: Probe,
    follower: Follower,
    /// By partition: where it ended at the last look, and what it said.
    known: BTreeMap<i32, (i64, Said)>,
}

impl Listener {
    fn new(shared: &Shared) -> KafkaResult<Self> {
        let config = &shared.config;
        Ok(Self {
            probe: Probe::with(config, "audiences", Isolation::Committed)?,
            follower: Follower::new(config, "audiences", &config.topics.state)?,
            known: BTreeMap::new(),
        })
    }

    /// What every partition says, of those that say something. A partition whose end is where it was says
    /// what it said.
    fn look(&mut self, shared: &Shared) -> Result<BTreeMap<i32, Said>, String> {
        let all: Vec<i32> = (0..shared.counts.inputs).collect();
        let ranges = self.probe.ranges(&shared.config.topics.state, &all, ASKED_FOR);
        let ranges = ranges.map_err(|error| error.to_string())?;
        let is_where_it_was =
            |at: i32, end: i64| self.known.get(&at).is_some_and(|known| known.0 == end);
        let moved: Vec<(i32, i64, i64)> =
            ranges.into_iter().filter(|&(at, _, end)| !is_where_it_was(at, end)).collect();
        moved.iter().for_each(|(at, ..)| drop(self.known.remove(at)));
        for step in STEPS {
            let open = moved.iter().filter(|(at, ..)| !self.known.contains_key(at));
            let tails: Vec<(i32, i64, i64)> = open
                .map(|&(at, start, end)| (at, start.max(end - step), end))
                .filter(|(_, from, end)| from < end)
                .collect();
            if tails.is_empty() {
                break;
            }
            self.read(&tails, shared)?;
        }
        Ok(self.known.iter().map(|(at, (_, said))| (*at, said.clone())).collect())
    }

    /// Reads these to their ends.
    fn read(&mut self, tails: &[(i32, i64, i64)], shared: &Shared) -> Result<(), String> {
        let ends: BTreeMap<i32, i64> = tails.iter().map(|&(at, _, end)| (at, end)).collect();
        let mut bounds = Bounds::new(tails.iter().copied());
        let in_words = |error: KafkaError| error.to_string();
        self.follower.fetch_from(&bounds.positions()).map_err(in_words)?;
        let deadline = shared.clock.instant() + READ_WITHIN;
        while !bounds.is_over() {
            if shared.is_stopping() || shared.clock.instant() > deadline {
                return Err("the end of the state topic was not reached in time".to_owned());
            }
            match self.follower.poll() {
                Polled::Message(record) => {
                    let at = record.partition();
                    bounds.reach(&at, record.offset() + 1);
                    let said = Said::read(record.key().unwrap_or_default(), record.payload());
                    if let (Some(said), Some(&end)) = (said, ends.get(&at)) {
                        self.known.insert(at, (end, said));
                    }
                }
                Polled::Nothing => {
                    for (at, next) in self.follower.positions().map_err(in_words)? {
                        bounds.reach(&at, next);
                    }
                    std::thread::sleep(PAUSE);
                }
                Polled::OutOfRange { .. } => return Err("an offset is not there any more".into()),
                Polled::Unreadable { error, .. } => return Err(error.reason),
                Polled::Fatal(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }
}
