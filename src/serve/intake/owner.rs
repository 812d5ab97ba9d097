//! The owner of some partitions of `consent-intake-state`: one thread that merges commands and honors requests.
//!
//! Every transaction sends the group's offsets with this member's metadata, which is what fences a zombie: the
//! broker refuses a member that lost its partitions. After an unclear answer the producer is replaced and the
//! group's offsets say whether the transaction landed. Whatever can't be told apart is given back to the group
//! and taken up anew; nothing is kept in memory that the topics don't say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use tokio::sync::oneshot;

use super::audit::AuditTrail;
use super::claim::{Claimed, claim, open, request_of};
use super::kept::{AllDrift, AllHeld, Kept, open_kept};
use super::{group_of, producer_name};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::kafka::consumer::{ClickConsumer, Polled, Rebalance};
use crate::kafka::probe::{Isolation, Probe};
use crate::kafka::producer::TransactionalProducer;
use crate::pace;
use crate::serve::changelog::{Changelog, Found};
use crate::serve::copy::Copy;
use crate::serve::follow::REPLACED_AFTER;
use crate::serve::identities::Identities;
use crate::serve::keys::{Keys, KeysInUse};
use crate::serve::register::Register;
use crate::telemetry::metrics::Metrics;
use assent_contract::domain::time::{Span, Timestamp};
use assent_contract::wire::Framing;
use assent_intake::{Command, Terms};

/// Commands that are taken up at once.
const TOGETHER_MAX: usize = 200;

const PAUSE: Duration = Duration::from_millis(2);

/// Between two tries after something failed.
const AGAIN: Duration = Duration::from_millis(500);

/// A request that was merged before this owner came is looked for in the audit from so long before it was
/// received: clocks differ.
const CLOCKS_DIFFER: Span = Span::HOUR;

/// What the owner works with.
pub struct OwnerContext {
    pub config: Arc<Config>,
    pub keys: Arc<Keys>,
    pub purposes: Vec<Terms>,
    pub changelog: Arc<Changelog>,
    pub identities: Arc<Identities>,
    pub register: Arc<Register>,
    pub copy: Arc<Copy>,
    pub consent: Framing,
    pub requests: Framing,
    pub metrics: Arc<Metrics>,
}

/// A command that is to be merged.
pub struct Waiting {
    pub partition: i32,
    pub command: Command,
}

/// A command whose record is written, and whose effect is not known yet.
pub struct Merged {
    pub partition: i32,
    pub command: Command,
    /// Told by the changelog's copy; `None`: it was written before this owner came.
    pub found: Option<oneshot::Receiver<Found>>,
    /// Where its record is, once that is known.
    pub offset: Option<i64>,
    /// It was found by its subject alone, which may have a later record of somebody else's.
    pub by_subject: bool,
}

/// One that changed nothing.
pub struct Unchanged {
    pub partition: i32,
    pub command: Command,
}

/// By request.
pub type AllUnchanged = BTreeMap<String, Unchanged>;

/// Why a command is merged once more.
#[derive(Clone, Copy, Default)]
pub struct Retry {
    /// A version that stands although the changelog does not hold it.
    pub floor: i64,
    pub attempts: u32,
}

/// What an operator sees.
#[derive(Default)]
pub struct OwnerStatus {
    pub waiting: AtomicI64,
    pub merged: AtomicI64,
    pub partitions: AtomicI64,
    pub held: AtomicI64,
    /// Turns of the loop.
    pub ticks: AtomicU64,
}

/// Dropping it ends the thread, which gives its partitions back.
pub struct Owner {
    pub status: Arc<OwnerStatus>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Owner {
    pub fn start(with: OwnerContext) -> Result<Self> {
        let refused = |error| Failure::config(format!("kafka.properties: {error}"));
        let no_name = |error| Failure::failed(format!("no randomness: {error}"));
        let (status, stop) = (Arc::<OwnerStatus>::default(), Arc::<AtomicBool>::default());
        let probe = Probe::with(&with.config, "intake", Isolation::Uncommitted).map_err(refused)?;
        let name = producer_name(&with.config.kafka.group_id, "own").map_err(no_name)?;
        let (stopping, told) = (Arc::clone(&stop), Arc::clone(&status));
        let thread = std::thread::Builder::new()
            .name("intake-own".to_owned())
            .spawn(move || Owning::of(with, probe, name, told).run(&stopping))
            .map_err(|error| Failure::failed(format!("can't start a thread: {error}")))?;
        Ok(Self { status, stop, thread: Some(thread) })
    }
}

pub(super) struct Owning {
    pub(super) with: OwnerContext,
    pub(super) status: Arc<OwnerStatus>,
    pub(super) probe: Probe,
    transactional_id: String,
    member: Option<ClickConsumer>,
    pub(super) producer: Option<TransactionalProducer>,
    /// The next command of each owned partition, beyond what is in `waiting`.
    pub(super) owned: BTreeMap<i32, i64>,
    /// The next command of each owned partition that is not merged yet: what the group has.
    pub(super) committed: BTreeMap<i32, i64>,
    pub(super) group: Option<Arc<ConsumerGroupMetadata>>,
    pub(super) trail: Option<AuditTrail>,
    pub(super) waiting: VecDeque<Waiting>,
    /// By request.
    pub(super) merged: BTreeMap<String, Merged>,
    /// Of requests that are merged once more.
    pub(super) retries: BTreeMap<String, Retry>,
    pub(super) held: AllHeld,
    pub(super) held_seen_at: Option<Instant>,
    /// The state of the identities at the last look at what is held.
    pub(super) identities_seen: Option<u64>,
    pub(super) identities_swept_at: Option<Instant>,
    pub(super) drift: AllDrift,
    pub(super) unchanged: AllUnchanged,
    /// When the audit's heads were last looked at for what is unchanged.
    pub(super) heads_seen_at: Option<Instant>,
    renewed_at: Option<Instant>,
    /// When the audit was last looked at for what is merged.
    pub(super) looked_at: Option<Instant>,
    pub(super) swept_at: Option<Instant>,
}

/// Why a turn did not do what it should have.
pub(super) enum TurnError {
    /// Try again: nothing is lost or unclear.
    Again(String),
    /// What is owned is not certain any more: give it back and begin anew.
    Surrender(String),
}

impl TurnError {
    fn into_surrender(self) -> Self {
        match self {
            Self::Again(why) | Self::Surrender(why) => Self::Surrender(why),
        }
    }
}

impl Owning {
    /// Of the thread that it is made on: what it fetches with can't be handed over.
    fn of(
        with: OwnerContext,
        probe: Probe,
        transactional_id: String,
        status: Arc<OwnerStatus>,
    ) -> Self {
        Self {
            with,
            status,
            probe,
            transactional_id,
            member: None,
            producer: None,
            owned: BTreeMap::new(),
            committed: BTreeMap::new(),
            group: None,
            trail: None,
            waiting: VecDeque::new(),
            merged: BTreeMap::new(),
            retries: BTreeMap::new(),
            held: AllHeld::new(),
            held_seen_at: None,
            identities_seen: None,
            identities_swept_at: None,
            drift: AllDrift::new(),
            unchanged: AllUnchanged::new(),
            heads_seen_at: None,
            renewed_at: None,
            looked_at: None,
            swept_at: None,
        }
    }

    fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            self.status.ticks.fetch_add(1, Ordering::Relaxed);
            match self.turn() {
                Ok(true) => {}
                Ok(false) => std::thread::sleep(PAUSE),
                Err(TurnError::Again(why)) => self.pause_after(&why),
                Err(TurnError::Surrender(why)) => {
                    self.surrender();
                    self.pause_after(&why);
                }
            }
            self.tell();
        }
        if let Some(member) = self.member.take() {
            member.leave(std::thread::sleep);
        }
    }

    fn pause_after(&mut self, why: &str) {
        if let Some(repeated) = pace::may_say("intake") {
            tracing::warn!(why, repeated, "changes of consent wait; trying again");
        }
        // A client that lost its broker may never look for it again.
        let now = SystemClock.instant();
        let is_recent = |at: Instant| now.saturating_duration_since(at) < REPLACED_AFTER;
        if !self.renewed_at.is_some_and(is_recent) {
            self.renewed_at = Some(now);
            self.probe.renew();
        }
        std::thread::sleep(AGAIN);
    }

    fn tell(&self) {
        let store = |gauge: &AtomicI64, value: usize| gauge.store(value as i64, Ordering::Relaxed);
        store(&self.status.waiting, self.waiting.len());
        store(&self.status.merged, self.merged.len() + self.unchanged.len());
        store(&self.status.partitions, self.owned.len());
        store(&self.status.held, self.held.len());
    }

    /// One round; was there anything to do?
    fn turn(&mut self) -> std::result::Result<bool, TurnError> {
        self.follow_the_group()?;
        if self.owned.is_empty() {
            return Ok(false);
        }
        let came = self.receive()?;
        let wrote = self.merge_waiting()?;
        let read = self.read_audit()?;
        let honored = self.honor_decided(wrote || read)?;
        let settled = self.honor_unchanged()?;
        let ended = self.look_at_held()?;
        let counted = self.count_drift()?;
        self.sweep_register()?;
        self.sweep_identities()?;
        Ok(came || wrote || read || honored || settled || ended || counted)
    }

    fn member(&mut self) -> std::result::Result<&ClickConsumer, TurnError> {
        if self.member.is_none() {
            let config = &self.with.config;
            let group = group_of(&config.kafka.group_id);
            let member = ClickConsumer::of_group(config, &group, &config.topics.intake_state)
                .and_then(|member| member.join().map(|()| member))
                .map_err(|error| TurnError::Again(error.to_string()))?;
            self.member = Some(member);
        }
        self.member.as_ref().ok_or_else(|| TurnError::Again("no consumer".to_owned()))
    }

    /// Takes up what the group decided.
    fn follow_the_group(&mut self) -> std::result::Result<(), TurnError> {
        let is_idle = self.owned.is_empty();
        let member = self.member()?;
        if is_idle {
            let _ = member.poll(); // what the group decides comes with a poll, and nothing else does now
        }
        if member.is_lost() {
            return Err(TurnError::Surrender("the group took the partitions away".to_owned()));
        }
        match member.rebalance() {
            None => Ok(()),
            Some(Rebalance::Assigned(partitions)) => self.take_up(&partitions),
            Some(Rebalance::Revoked { .. }) => {
                self.forget();
                self.member()?.unassign().map_err(|error| TurnError::Surrender(error.to_string()))
            }
        }
    }

    fn take_up(&mut self, partitions: &[i32]) -> std::result::Result<(), TurnError> {
        self.forget();
        let surrender = |error: rdkafka::error::KafkaError| TurnError::Surrender(error.to_string());
        self.member()?.accept().map_err(surrender)?;
        if partitions.is_empty() {
            return Ok(());
        }
        // What was given and is not taken up is given back.
        self.renew_producer().map_err(TurnError::into_surrender)?;
        let keys = self.with.keys.now();
        let claimed =
            claim(&self.with.config, &self.probe, &keys, partitions).map_err(surrender)?;
        self.follow_audit(&claimed)?;
        let next: BTreeMap<i32, i64> = claimed.iter().map(|(p, it)| (*p, it.next)).collect();
        for (partition, claimed) in claimed {
            for (request, command) in claimed.merged {
                let merged =
                    Merged { partition, command, found: None, offset: None, by_subject: true };
                self.merged.insert(request, merged);
            }
            for (key, kept) in claimed.kept {
                self.keep(partition, key, kept);
            }
        }
        let member = self.member()?;
        member.fetch_from(&next).map_err(surrender)?;
        let group = member.group_metadata().map(Arc::new);
        self.group = group;
        self.committed.clone_from(&next);
        self.owned = next;
        tracing::info!(partitions = self.owned.len(), "the intake has partitions");
        Ok(())
    }

    fn follow_audit(
        &mut self,
        claimed: &BTreeMap<i32, Claimed>,
    ) -> std::result::Result<(), TurnError> {
        let since = claimed.iter().map(|(&partition, claimed)| {
            let first = claimed.merged.values().map(|command| command.received_at).min();
            (partition, first.map(|at| at - CLOCKS_DIFFER))
        });
        self.trail_from(&since.collect())
    }

    pub(super) fn trail_from(
        &mut self,
        since: &BTreeMap<i32, Option<Timestamp>>,
    ) -> std::result::Result<(), TurnError> {
        let trail = AuditTrail::follow(&self.with.config, &self.probe, since);
        self.trail = Some(trail.map_err(|error| TurnError::Surrender(error.to_string()))?);
        Ok(())
    }

    /// What is owned no more is nobody's business here.
    fn forget(&mut self) {
        self.owned.clear();
        self.committed.clear();
        self.waiting.clear();
        self.merged.clear();
        self.retries.clear();
        self.held.clear();
        self.drift.clear();
        self.unchanged.clear();
        self.identities_seen = None;
        self.group = None;
        self.trail = None;
    }

    /// Out of the group, and in again as somebody new.
    fn surrender(&mut self) {
        self.forget();
        self.producer = None;
        if let Some(member) = self.member.take() {
            member.leave(std::thread::sleep);
        }
    }

    /// What came.
    fn receive(&mut self) -> std::result::Result<bool, TurnError> {
        let keys = self.with.keys.now();
        let mut came = Vec::new();
        let Some(member) = &self.member else { return Ok(false) };
        while came.len() + self.waiting.len() < TOGETHER_MAX {
            match member.poll() {
                Polled::Message(message) => {
                    let partition = message.partition();
                    let Some(next) = self.owned.get_mut(&partition) else { continue };
                    *next = message.offset() + 1;
                    let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
                    if let Some(key) = key {
                        came.push((
                            partition,
                            key.to_owned(),
                            message.payload().map(<[u8]>::to_vec),
                        ));
                    }
                }
                Polled::Nothing => break,
                Polled::OutOfRange { .. } => {
                    return Err(TurnError::Surrender("an offset is not there any more".to_owned()));
                }
                Polled::Unreadable { error, .. } => return Err(TurnError::Surrender(error.reason)),
                Polled::Fatal(error) => return Err(TurnError::Surrender(error.to_string())),
            }
        }
        let is_any = !came.is_empty();
        for (partition, key, value) in came {
            self.take(&keys, partition, key, value.as_deref());
        }
        Ok(is_any)
    }

    fn take(&mut self, keys: &KeysInUse, partition: i32, key: String, value: Option<&[u8]>) {
        match (request_of(Some(key.as_bytes())), value) {
            (Some(_), None) => {} // its own end
            (Some(request), Some(value)) => {
                if let Some(command) = open(keys, request, value) {
                    self.waiting.push_back(Waiting { partition, command });
                } else {
                    let labels = ["other", "unreadable"];
                    self.with.metrics.intake_commands_total.with_label_values(&labels).inc();
                }
            }
            (None, None) => {
                self.held.remove(&key);
                self.drift.remove(&key);
            }
            (None, Some(value)) => {
                if let Some(kept) = open_kept(keys, &key, value) {
                    self.keep(partition, key, kept);
                }
            }
        }
    }

    fn keep(&mut self, partition: i32, key: String, kept: Kept) {
        match kept {
            Kept::Held(held) => {
                self.held.insert(key, (partition, held));
                self.identities_seen = None; // its mapping may be there already
            }
            Kept::Drift(drift) => drop(self.drift.insert(key, (partition, drift))),
        }
    }

    pub(super) fn renew_producer(&mut self) -> std::result::Result<(), TurnError> {
        if self.producer.is_some() {
            return Ok(());
        }
        let producer = TransactionalProducer::new(&self.with.config, &self.transactional_id)
            .map_err(|error| TurnError::Again(error.to_string()))?;
        producer
            .init(Duration::from_secs(5))
            .map_err(|fault| TurnError::Again(format!("no producer: {fault:?}")))?;
        self.producer = Some(producer);
        Ok(())
    }
}
