//! A partition that somebody owns: its engine, what was received and is not committed, and what a
//! batch of it may hold right now.
//!
//! Pure: knows no Kafka, no clock and no configuration file, so the pipeline and the simulator run
//! the same. Keeps INV-2: [`Task::cut`] gives clicks away only up to the newest reached question, or
//! all of them with the gate closed.

mod absence;
pub mod barrier;
mod bisection;
pub mod clicks;
pub mod consent;
mod engine;
mod faults;
mod gate;
mod rotation;
mod schemas;
mod silence;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::engine::input::{ClickInput, Coverage};
use crate::engine::output::BatchOutput;
use crate::engine::{Partition, Refusal, Setup, UPKEEP_PER_BATCH_MAX};
use absence::Absence;
use assent_contract::domain::time::{Moment, Span, Timestamp};
use assent_contract::wire::{ClickReader, Inbound, KnownSchemas, Unread};
use barrier::{Arrival, Barrier, Question};
use bisection::Bisection;
use clicks::{Clicks, ReceivedClick};
use consent::HeldConsent;
pub use engine::Engine;
pub use faults::Fault;
use faults::Faults;
pub use gate::Closed;
pub use schemas::Lack;
use waiting::Waiting;

/// Consent records in one batch of a partition: a changelog of millions is caught up with in steps.
pub const CONSENTS_PER_BATCH: usize = 20_000;

/// Clicks that one batch of a partition decides at most, where some of those held stand for many.
const INPUTS_PER_BATCH: usize = 60_000;

/// Raw ids held for a rotation, for the batches to come: bounds memory to 512 bytes each.
pub const IDS_HELD: usize = 2_000;

/// A timer waits for company no longer than this.
const TIMER_PATIENCE: Span = Span(250);

/// Offsets without a record (control records, gaps) are covered after this, so that a partition at
/// rest is not found behind the retention of its topic later.
const IDLE_COVERAGE: Span = Span(5_000);

/// What closes the gate for all clicks of a partition (gate line 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Past this consent-sync lag clicks no longer wait.
    pub max_sync_lag: Span,
    /// The sources whose silence closes the gate, and the longest that each may be silent.
    pub closing_sources: BTreeMap<String, Span>,
}

/// One past what was covered, received or committed in the two inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    pub click: i64,
    pub consent: i64,
}

/// What a batch of a partition holds: the first so many of what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub clicks: usize,
    pub consents: usize,
    /// Ids whose keys are moved; none with the gate closed.
    pub ids_to_rotate: usize,
    /// With these ids, every subject of the changelog has moved: what is left under an old key ends.
    pub ends_old_keys: bool,
    pub coverage: Coverage,
    pub gate_open: bool,
    /// Consent sync is past its bound, and the clicks did not wait for the barrier.
    pub stale: bool,
}

impl Cut {
    /// Does it move keys after a rotation, or end them?
    pub fn is_of_sweep(&self) -> bool {
        self.ids_to_rotate > 0 || self.ends_old_keys
    }
}

/// How soon a partition needs a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    Nothing,
    /// With the next regular commit.
    Regular,
    AtOnce,
}

pub struct Task {
    pub partition: i32,
    pub engine: Engine,
    pub clicks: Clicks,
    pub barrier: Barrier,
    pub assigned: Moment,
    consents: VecDeque<HeldConsent>,
    /// Raw ids read again from the changelog, for a rotation.
    ids_to_rotate: VecDeque<Box<[u8]>>,
    /// Uptime at which they were all that the changelog names; until what is left under an old key ended.
    ids_complete_at: Option<Span>,
    lacks_ids: bool,
    /// Of the consents held, those that may take something away.
    urgent: usize,
    /// Of the consents held, those whose schema is not known yet.
    waiting: usize,
    consent_bytes: usize,
    received: Offsets,
    committed: Offsets,
    committed_sequence: Option<i64>,
    /// Uptime.
    committed_at: Span,
    /// Of each configured source, its last sign, and when it was noticed here.
    signs: BTreeMap<String, Arrival>,
    /// A batch broke an invariant, and what it held is not all committed yet.
    bisection: Option<Bisection>,
    /// How far the state's own time is ahead of the clocks, where that is too far.
    ahead: Option<Span>,
    /// Of the schema registry, as of the last look: what a batch is cut and decided with.
    known: Arc<KnownSchemas>,
    waiting_since: Waiting,
    /// Ids of clicks held that it does not say yet; of the first few.
    unknown: BTreeSet<u32>,
    /// What can't be read on.
    faults: Faults,
    absence: Absence,
}

impl Task {
    pub fn new(partition: i32, engine: Partition, start: Offsets, now: Moment) -> Self {
        let committed_sequence = engine.positions().map(|it| it.next_sequence - 1);
        let mut task = Self {
            partition,
            engine: Engine::AtRest(engine),
            clicks: Clicks::default(),
            barrier: Barrier::new(now),
            assigned: now,
            consents: VecDeque::new(),
            ids_to_rotate: VecDeque::new(),
            ids_complete_at: None,
            lacks_ids: false,
            urgent: 0,
            waiting: 0,
            consent_bytes: 0,
            received: start,
            committed: start,
            committed_sequence,
            committed_at: now.uptime,
            signs: BTreeMap::new(),
            bisection: None,
            ahead: None,
            known: Arc::default(),
            waiting_since: Waiting::default(),
            unknown: BTreeSet::new(),
            faults: Faults::default(),
            absence: Absence::default(),
        };
        task.notice_signs(now);
        task
    }

    fn notice_signs(&mut self, now: Moment) {
        for (source, &appended) in self.engine.last_signs() {
            let noticed = Arrival { appended, received: now.uptime };
            match self.signs.get_mut(source) {
                Some(known) if known.appended == appended => {}
                Some(known) => *known = noticed,
                None => drop(self.signs.insert(source.clone(), noticed)),
            }
        }
    }

    pub fn receive_click(&mut self, click: &ReceivedClick<'_>) {
        if click.offset < self.received.click || self.faults.clicks.is_some() {
            return; // fetched for an assignment before this one, or past what can't be read
        }
        self.notice_id(click.payload);
        self.clicks.push(click);
        self.received.click = click.offset + 1;
    }

    pub fn receive_consent(&mut self, mut consent: HeldConsent) {
        if consent.offset < self.received.consent || self.faults.consent.is_some() {
            return;
        }
        self.received.consent = consent.offset + 1;
        if self.engine.has_live(consent.key()) {
            consent.set_of_live();
        }
        self.urgent += usize::from(consent.is_urgent());
        self.waiting += usize::from(consent.waits());
        self.consent_bytes += consent.size;
        self.consents.push_back(consent);
    }

    /// How far the consumers are: also beyond control records, which nobody receives.
    pub fn advance(&mut self, click: Option<&i64>, consent: Option<&i64>) {
        let further =
            |known: i64, position: Option<&i64>| position.map_or(known, |&p| p.max(known));
        if self.faults.clicks.is_none() {
            self.received.click = further(self.received.click, click);
        }
        if self.faults.consent.is_none() {
            self.received.consent = further(self.received.consent, consent);
        }
    }

    /// Of the last audit batch that was committed; `None`: there is none.
    pub fn committed_sequence(&self) -> Option<i64> {
        self.committed_sequence
    }

    /// Where the consumers go on.
    pub fn received(&self) -> Offsets {
        self.received
    }

    /// Is a consent held that may take something away?
    pub fn is_urgent(&self) -> bool {
        self.urgent > 0
    }

    /// Of the consents held: how many may take something away, and the oldest one's append time.
    pub fn opt_outs_pending(&self) -> (usize, Option<Timestamp>) {
        if self.urgent == 0 {
            return (0, None);
        }
        let urgent = self.consents.iter().filter(|held| held.is_urgent());
        (self.urgent, urgent.map(|held| held.arrival.appended).min())
    }

    /// Other keys from now on; the changelog is to be read for them.
    pub fn set_keys(&mut self, setup: Arc<Setup>) -> Result<(), Refusal> {
        self.ids_complete_at = None;
        self.engine.set_keys(setup)
    }

    /// Memory that the consents held take, in bytes.
    pub fn consent_bytes(&self) -> usize {
        self.consent_bytes
    }

    /// Consents held, in order.
    pub fn consents(&self) -> &VecDeque<HeldConsent> {
        &self.consents
    }

    /// Where consent stands while no batch is at hand: below this, everything is applied.
    fn applied(&self) -> i64 {
        self.consents.front().map_or(self.received.consent, |first| first.offset)
    }

    /// The questions that what is applied has reached.
    pub fn settle(&mut self) -> impl Iterator<Item = Question> + use<> {
        self.barrier.reach(self.applied())
    }

    /// Do clicks wait that no question covers yet?
    pub fn wants_question(&self) -> bool {
        !self.clicks.is_empty() && !self.barrier.will_cover(self.clicks.received())
    }

    /// How many clicks a batch could decide now.
    pub fn ready(&self, bounds: &Bounds, now: Moment) -> usize {
        if self.bisection.is_some_and(|bisection| bisection.rests(now)) || self.first_click_waits()
        {
            return 0;
        }
        // Consent that must wait holds up what follows it, as in a cut.
        let consent_to = if self.consents_wait() { self.applied() } else { self.received.consent };
        let (clicks, _) = self.clicks_ready(bounds, now, consent_to, &self.barrier);
        clicks.min(self.clicks_max(now))
    }

    /// How soon this partition needs a batch.
    pub fn commit_urgency(&self, bounds: &Bounds, now: Moment) -> Urgency {
        match self.bisection {
            Some(bisection) if bisection.rests(now) => return Urgency::Nothing,
            Some(bisection) if bisection.wants_relief() => return Urgency::AtOnce,
            _ => {}
        }
        let due = self.engine.next_due();
        let clicks = self.ready(bounds, now);
        let (consents, urgent) =
            if self.consents_wait() { (0, 0) } else { (self.consents.len(), self.urgent) };
        let overdue = due.is_some_and(|due| due + TIMER_PATIENCE <= now.wall);
        if urgent > 0 || overdue || consents >= CONSENTS_PER_BATCH {
            return Urgency::AtOnce;
        }
        let deferred = self.engine.has_deferred() && self.gate_open(bounds, now);
        let uncovered = self.received != self.committed
            && self.clicks.is_empty()
            && now.uptime - self.committed_at >= IDLE_COVERAGE;
        let moves = (!self.ids_to_rotate.is_empty() || self.knows_all_ids(&self.barrier))
            && self.gate_open(bounds, now);
        let some = clicks > 0 || moves || consents > 0 || due.is_some_and(|due| due <= now.wall);
        let unnoted = self.synced(&self.barrier, now).is_some_and(|synced| synced.asks_for_batch);
        if some || deferred || uncovered || unnoted { Urgency::Regular } else { Urgency::Nothing }
    }

    /// The most clicks of a batch now.
    fn clicks_max(&self, now: Moment) -> usize {
        self.bisection.map_or(usize::MAX, |bisection| bisection.clicks_max(now))
    }

    /// How many of the clicks held may be decided, and the end of consent that this rests on.
    fn clicks_ready(
        &self,
        bounds: &Bounds,
        now: Moment,
        consent_to: i64,
        ahead: &Barrier,
    ) -> (usize, i64) {
        if ahead.lag(now) > bounds.max_sync_lag {
            return (self.clicks.len(), ahead.newest().map_or(consent_to, |question| question.end));
        }
        match self.barrier.covered(consent_to) {
            Some(question) => (self.clicks.held_of(question.clicks), question.end),
            None => (0, consent_to),
        }
    }

    /// A misrouted record is not covered before its right partition has it, nor one that can't be
    /// read before the schema registry has said what it is, nor is what follows.
    fn consents_ready(&self) -> usize {
        let first = self.consents.iter().take(CONSENTS_PER_BATCH);
        first.take_while(|held| !held.must_wait()).count()
    }

    fn consents_wait(&self) -> bool {
        self.consents.front().is_some_and(HeldConsent::must_wait)
    }

    /// Consents that must be sent on to their right partition first.
    pub fn misrouted(&self) -> impl Iterator<Item = &HeldConsent> {
        self.consents.iter().filter(|held| held.is_misrouted())
    }

    /// The first so many of [`Self::misrouted`] are acknowledged.
    pub fn set_forwarded(&mut self, count: usize) {
        let misrouted = self.consents.iter_mut().filter(|held| held.is_misrouted());
        misrouted.take(count).for_each(HeldConsent::set_forwarded);
    }

    /// What a batch of at most so many clicks would hold now.
    pub fn cut(&self, bounds: &Bounds, now: Moment, clicks_max: usize) -> Cut {
        let consents = self.consents_ready();
        let consent_to = if consents == self.consents.len() {
            self.received.consent
        } else {
            self.consents[consents].offset
        };
        let applied = self.consents.iter().take(consents).map(|held| held.arrival).max();
        let ahead = self.barrier.ahead(consent_to, applied);
        let stale = ahead.lag(now) > bounds.max_sync_lag;
        let (ready, barrier) = self.clicks_ready(bounds, now, consent_to, &ahead);
        let clicks = self.readable(ready.min(clicks_max).min(self.clicks_max(now)));
        let clicks = self.clicks.within(clicks, INPUTS_PER_BATCH);
        let click_to = if clicks == self.clicks.len() {
            self.received.click
        } else {
            self.clicks.end_of(clicks).unwrap_or(self.committed.click)
        };
        let is_closed = self.closed_anyway(bounds, now).next().is_some();
        let gate_open = ahead.was_reached() && !stale && !is_closed;
        let ids_to_rotate =
            if gate_open { self.ids_to_rotate.len().min(UPKEEP_PER_BATCH_MAX) } else { 0 };
        Cut {
            clicks,
            consents,
            ids_to_rotate,
            ends_old_keys: gate_open
                && ids_to_rotate == self.ids_to_rotate.len()
                && self.knows_all_ids(&ahead),
            coverage: Coverage { click_to, consent_to, barrier, synced: self.synced(&ahead, now) },
            gate_open,
            stale,
        }
    }

    /// Decides a batch: consent by offset, then what time alone asks for, then clicks by offset.
    pub fn decide(self, cut: &Cut, clicks: &ClickReader, wall: Timestamp) -> (Self, BatchOutput) {
        let Self {
            ref consents, ref ids_to_rotate, clicks: ref held, ref known, partition, ..
        } = self;
        let (engine, mut output) = self.engine.decide(wall, cut.gate_open, |mut batch| {
            for consent in consents.iter().take(cut.consents) {
                batch.consent(&consent.input());
            }
            batch.timers();
            for id in ids_to_rotate.iter().take(cut.ids_to_rotate) {
                batch.change_key(id);
            }
            if cut.ends_old_keys {
                batch.end_old_keys();
            }
            for received in held.first(cut.clicks) {
                if let Some(dead) = received.dead {
                    batch.dead_clicks(dead);
                    continue;
                }
                let ReceivedClick { offset, key, payload, .. } = received;
                let inbound = Inbound { partition, key, payload };
                let click = clicks.read_with(&inbound, known).map_err(Unread::into_rejection);
                batch.click(&ClickInput { offset, payload, click });
            }
            batch.finish(cut.coverage)
        });
        output.hold_to_account(held.inputs_of(cut.clicks), cut.consents);
        (Self { engine, ..self }, output)
    }

    /// The batch is committed: what it held is forgotten.
    #[must_use]
    pub fn confirm(self, cut: &Cut, now: Moment) -> Self {
        let (engine, was_decided) = self.engine.confirm();
        let mut task = Self { engine, ..self };
        if was_decided {
            task.forget(cut, now);
        } // else nothing is covered
        task
    }

    fn forget(&mut self, cut: &Cut, now: Moment) {
        self.clicks.forget(cut.clicks);
        self.ids_to_rotate.drain(..cut.ids_to_rotate);
        if cut.ends_old_keys && !self.engine.has_old_keys() {
            self.ids_complete_at = None;
        }
        for consent in self.consents.drain(..cut.consents) {
            self.urgent -= usize::from(consent.is_urgent());
            self.waiting -= usize::from(consent.waits());
            self.consent_bytes -= consent.size;
            self.barrier.applied(consent.arrival);
            // A closed gate deferred its new key, and the changelog may be read already.
            if !cut.gate_open && self.engine.has_old_keys_of(consent.key()) {
                if self.ids_to_rotate.len() < IDS_HELD {
                    self.ids_to_rotate.push_back(consent.key().into());
                } else {
                    (self.ids_complete_at, self.lacks_ids) = (None, true);
                }
            }
        }
        self.committed = Offsets { click: cut.coverage.click_to, consent: cut.coverage.consent_to };
        self.committed_sequence = self.engine.positions().map(|it| it.next_sequence - 1);
        self.committed_at = now.uptime;
        self.waiting_since.committed();
        self.bisection = self.bisection.and_then(|bisection| bisection.confirmed(cut.clicks));
        self.notice_signs(now);
    }

    /// The batch broke an invariant and is not committed. Its inputs are tried again, first without
    /// clicks, then with fewer and fewer of them: one click may be the cause, or the cause has passed.
    #[must_use]
    pub fn isolate(self, cut: &Cut, now: Moment) -> Self {
        let bisection = Some(Bisection::by(cut.clicks, self.bisection, now));
        Self { bisection, ..self.rollback() }
    }

    /// Has a batch broken an invariant, and is its cause not found or gone yet?
    pub fn is_bisecting(&self) -> bool {
        self.bisection.is_some()
    }

    /// The batch is not committed: it runs again from what is held.
    #[must_use]
    pub fn rollback(self) -> Self {
        Self { engine: self.engine.rollback(), ..self }
    }
}
