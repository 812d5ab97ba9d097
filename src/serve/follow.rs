//! Follows topics from their first record, read_committed, and proves how fresh what was read is.
//!
//! Every so often the broker is asked where the partitions end. Once all of them are read up to there, what
//! was taken in is known to be complete as of the moment of that question ([`Progress::age`]). While the
//! broker does not answer, or a fetch hangs, the age grows: nothing here ever claims to be fresh by itself.
//! What can't be followed any more (an offset out of range, a batch that nobody can read, an hour without
//! proof) is discarded and read from the beginning, as docs/readers.md asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::consumer::{Follower, Polled};
use crate::kafka::events::Received;
use crate::kafka::probe::{Isolation, Probe};
use crate::kafka::read::partition_count;
use crate::pace;

/// How long one question may take. Meanwhile nothing is read, and nothing is fresh.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// A client that has given no answer for so long is replaced: one that lost its broker may never look for it
/// again (seen with librdkafka 2.12.1: "all broker connections are down", for as long as it lived).
pub const REPLACED_AFTER: Duration = Duration::from_secs(4);

/// A reader that comes no further for so long, while the broker says that there is more, is replaced by another
/// that goes on from there: the same defect, on the side that fetches.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// Records taken in between two looks at the time.
const BURST: usize = 500;

/// How long to sleep where nothing came.
const PAUSE: Duration = Duration::from_millis(1);

/// Between two tries to begin anew.
const AGAIN: Duration = Duration::from_secs(1);

/// Far below half of the 30 days for which a tombstone is kept (docs/readers.md, R4): whoever was not in
/// sync for longer reads everything again.
const UNPROVEN_MAX: Duration = Duration::from_hours(1);

/// What is done with the records.
pub trait Take: Send + 'static {
    /// `topic`: its place in the list that is followed.
    fn record(&mut self, topic: usize, record: &Received<'_>);
    /// All of this topic, which has so many partitions, is read from the beginning.
    fn discard(&mut self, topic: usize, partitions: i32);
    /// Between bursts: upkeep.
    fn idle(&mut self) {}
}

/// How far the reading has come. Shared.
pub struct Progress {
    started: Instant,
    /// By topic and partition: the next offset.
    positions: Vec<Vec<AtomicI64>>,
    /// Milliseconds from `started` to the latest question whose answer has been reached; -1: none.
    proven: AtomicI64,
    stop: AtomicBool,
}

impl Progress {
    /// What was read was complete at this long ago; `None`: never yet.
    pub fn age(&self) -> Option<Duration> {
        let proven = u64::try_from(self.proven.load(Ordering::Acquire)).ok()?;
        let since = SystemClock.instant().saturating_duration_since(self.started);
        Some(since.saturating_sub(Duration::from_millis(proven)))
    }

    /// Is it complete as of this moment, or a later one?
    pub fn is_proven_since(&self, moment: Instant) -> bool {
        let at = moment.saturating_duration_since(self.started).as_millis() as i64;
        self.proven.load(Ordering::Acquire) > at
    }

    /// Everything before was taken in.
    pub fn position(&self, topic: usize, partition: i32) -> i64 {
        self.positions[topic][partition as usize].load(Ordering::Acquire)
    }

    pub fn partitions(&self, topic: usize) -> i32 {
        self.positions[topic].len() as i32
    }
}

/// A thread that follows. Dropping it ends the thread.
pub struct Following {
    pub progress: Arc<Progress>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.progress.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is followed, and how often its end is asked for.
pub struct Plan {
    /// In the log, and of its thread.
    pub name: &'static str,
    pub topics: Vec<String>,
    pub ask_every: Duration,
}

/// Learns the topics' partitions (69 where nobody answers) and starts the thread.
pub fn start(config: &Arc<Config>, plan: Plan, take: impl Take) -> Result<Following> {
    let refused = |error| Failure::config(format!("kafka.properties: {error}"));
    let probe = Probe::with(config, plan.name, Isolation::Committed).map_err(refused)?;
    let mut positions = Vec::new();
    for topic in &plan.topics {
        let count = partition_count(&probe, config, topic)?;
        positions.push((0..count).map(|_| AtomicI64::new(0)).collect());
    }
    let progress = Arc::new(Progress {
        started: SystemClock.instant(),
        positions,
        proven: AtomicI64::new(-1),
        stop: AtomicBool::new(false),
    });
    let (config, shared) = (Arc::clone(config), Arc::clone(&progress));
    let thread = std::thread::Builder::new()
        .name(plan.name.to_owned())
        .spawn(move || Reader::of(config, plan, probe, shared, take).run())
        .map_err(|error| Failure::failed(format!("can't start a thread: {error}")))?;
    Ok(Following { progress, thread: Some(thread) })
}

type Ends = Vec<BTreeMap<i32, i64>>;

struct Reader<T> {
    config: Arc<Config>,
    plan: Plan,
    probe: Probe,
    /// By topic; `None`: to be begun anew.
    followers: Vec<Option<Follower>>,
    progress: Arc<Progress>,
    /// The question that is not reached yet: when it was put, and its answer.
    asked: Option<(Instant, Ends)>,
    asked_at: Option<Instant>,
    /// The last answer, or the last time that a client was replaced for want of one.
    answered_at: Instant,
    proven_at: Instant,
    /// When a position moved last, or a reader was replaced for want of that.
    moved_at: Instant,
    take: T,
}

impl<T: Take> Reader<T> {
    /// Of the thread that it is made on: what it fetches with can't be handed over.
    fn of(config: Arc<Config>, plan: Plan, probe: Probe, progress: Arc<Progress>, take: T) -> Self {
        Self {
            config,
            followers: plan.topics.iter().map(|_| None).collect(),
            plan,
            probe,
            progress,
            asked: None,
            asked_at: None,
            answered_at: SystemClock.instant(),
            proven_at: SystemClock.instant(),
            moved_at: SystemClock.instant(),
            take,
        }
    }

    fn run(mut self) {
        while !self.progress.stop.load(Ordering::Acquire) {
            if let Err(error) = self.begin_missing() {
                self.stay_unanswered(&error.to_string());
                std::thread::sleep(AGAIN);
                continue;
            }
            let came = self.read();
            self.prove();
            self.replace_stuck();
            self.take.idle();
            if !came {
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn say_failed(&self, error: &str) {
        if let Some(repeated) = pace::may_say(self.plan.name) {
            let follower = self.plan.name;
            tracing::warn!(follower, error, repeated, "topics can't be followed; trying again");
        }
    }

    /// From the first record of every topic that has no follower.
    fn begin_missing(&mut self) -> KafkaResult<()> {
        for topic in 0..self.plan.topics.len() {
            if self.followers[topic].is_some() {
                continue;
            }
            let name = self.plan.topics[topic].clone();
            let partitions: Vec<i32> = (0..self.progress.partitions(topic)).collect();
            let starts = self.probe.starts(&name, &partitions, Duration::from_secs(5))?;
            let follower = Follower::new(&self.config, self.plan.name, &name)?;
            follower.fetch_from(&starts)?;
            self.take.discard(topic, self.progress.partitions(topic));
            for partition in partitions {
                let start = starts.get(&partition).copied().unwrap_or_default();
                self.moved(topic, partition, start);
            }
            self.followers[topic] = Some(follower);
        }
        Ok(())
    }

    fn moved(&self, topic: usize, partition: i32, next: i64) {
        self.progress.positions[topic][partition as usize].store(next, Ordering::Release);
    }

    /// Takes in what is there; was there anything?
    fn read(&mut self) -> bool {
        let mut came = false;
        for topic in 0..self.followers.len() {
            let Some(follower) = self.followers[topic].take() else { continue };
            match self.read_burst(topic, &follower) {
                Ok(some) => {
                    came |= some;
                    self.followers[topic] = Some(follower);
                }
                Err(why) => {
                    // Not in sync until it is read to its end again.
                    self.forget_proof();
                    self.say_failed(&format!("{}: {why}", self.plan.topics[topic]));
                    std::thread::sleep(AGAIN);
                }
            }
        }
        came
    }

    fn read_burst(
        &mut self,
        topic: usize,
        follower: &Follower,
    ) -> std::result::Result<bool, String> {
        let mut came = false;
        for _ in 0..BURST {
            match follower.poll() {
                Polled::Message(message) => {
                    self.take.record(topic, &message);
                    came = true;
                }
                Polled::Nothing => break,
                Polled::OutOfRange { .. } => return Err("an offset is not there any more".into()),
                Polled::Unreadable { error, .. } => return Err(error.reason),
                Polled::Fatal(error) => return Err(error.to_string()),
            }
        }
        // Positions pass control records, too.
        for (partition, next) in follower.positions().map_err(|error| error.to_string())? {
            if self.progress.position(topic, partition) != next {
                self.moved_at = SystemClock.instant();
            }
            self.moved(topic, partition, next);
        }
        Ok(came)
    }

    fn forget_proof(&mut self) {
        self.progress.proven.store(-1, Ordering::Release);
        self.asked = None;
    }

    /// Asks where the topics end, and notes once that is reached.
    fn prove(&mut self) {
        let now = SystemClock.instant();
        if self.asked.is_none() && self.is_due(now) {
            self.asked_at = Some(now);
            match self.ends() {
                Ok(ends) => {
                    self.asked = Some((now, ends));
                    self.answered_at = now;
                }
                Err(error) => self.stay_unanswered(&error.to_string()),
            }
        }
        if let Some((at, _)) = self.asked.take_if(|(_, ends)| reached(&self.progress, ends)) {
            let since = at.saturating_duration_since(self.progress.started).as_millis() as i64;
            self.progress.proven.store(since, Ordering::Release);
            self.proven_at = at;
        }
        if now.saturating_duration_since(self.proven_at) > UNPROVEN_MAX {
            self.forget_proof();
            self.proven_at = now;
            self.followers.iter_mut().for_each(|follower| *follower = None);
        }
    }

    /// Those that the broker says are not at their end, where none of them moves.
    fn replace_stuck(&mut self) {
        let Some((_, ends)) = &self.asked else {
            self.moved_at = SystemClock.instant();
            return;
        };
        if self.moved_at.elapsed() < STUCK_AFTER {
            return;
        }
        self.moved_at = SystemClock.instant();
        let is_behind = |topic: &usize| !reached_in(&self.progress, *topic, &ends[*topic]);
        let behind: Vec<usize> = (0..self.followers.len()).filter(is_behind).collect();
        for topic in behind {
            self.say_failed(&format!("{}: it comes no further", self.plan.topics[topic]));
            match self.successor(topic) {
                Ok(successor) => self.followers[topic] = Some(successor),
                Err(error) => self.say_failed(&error.to_string()),
            }
        }
    }

    /// Goes on where everything before was taken in.
    fn successor(&self, topic: usize) -> KafkaResult<Follower> {
        let partitions = 0..self.progress.partitions(topic);
        let next = partitions.map(|it| (it, self.progress.position(topic, it))).collect();
        let follower = Follower::new(&self.config, self.plan.name, &self.plan.topics[topic])?;
        follower.fetch_from(&next)?;
        Ok(follower)
    }

    fn stay_unanswered(&mut self, error: &str) {
        self.say_failed(error);
        if self.answered_at.elapsed() >= REPLACED_AFTER {
            self.probe.renew();
            self.answered_at = SystemClock.instant();
        }
        std::thread::sleep(PAUSE);
    }

    fn is_due(&self, now: Instant) -> bool {
        self.asked_at.is_none_or(|at| now.saturating_duration_since(at) >= self.plan.ask_every)
    }

    fn ends(&self) -> KafkaResult<Ends> {
        let topics = self.plan.topics.iter().enumerate();
        let ends = topics.map(|(topic, name)| {
            let partitions: Vec<i32> = (0..self.progress.partitions(topic)).collect();
            self.probe.ends(name, &partitions, ANSWERED_WITHIN)
        });
        ends.collect()
    }
}

/// Of a partition without an answer nothing is proven.
fn reached(progress: &Progress, ends: &Ends) -> bool {
    ends.iter().enumerate().all(|(topic, ends)| reached_in(progress, topic, ends))
}

fn reached_in(progress: &Progress, topic: usize, ends: &BTreeMap<i32, i64>) -> bool {
    ends.len() == progress.positions[topic].len()
        && ends.iter().all(|(p, end)| progress.position(topic, *p) >= *end)
}
